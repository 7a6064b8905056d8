//! The verification of client certificates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_CLIENT_AUTH};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

/// Verifies the certificates of clients.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    provider: Arc<CryptoProvider>,
    mandatory: bool,
    /// The trusted authorities; without, any certificate is accepted.
    anchors: Option<TrustAnchors>,
    /// If there is a list, the certificate must have one of these names.
    allowed_sans: Option<Vec<String>>,
}

/// Trusted authorities, and client certificates that are trusted directly.
#[derive(Debug)]
struct TrustAnchors {
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ClientVerifier {
    /// A verifier of any certificate, or only of certificates issued by or equal to one of
    /// `trusted`.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        mandatory: bool,
        trusted: Option<Vec<CertificateDer<'static>>>,
        allowed_sans: Option<Vec<String>>,
    ) -> Self {
        Self {
            provider: Arc::clone(provider),
            mandatory,
            anchors: trusted.map(|trusted| TrustAnchors::new(provider, trusted)),
            allowed_sans,
        }
    }
}

impl TrustAnchors {
    fn new(provider: &Arc<CryptoProvider>, trusted: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Self {
            // Without a root there is no verifier.
            authorities: builder.build().ok(),
            certificates: trusted,
        }
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // `openssl req -x509` marks its certificates as authorities. webpki refuses these for
        // clients, so a certificate that is trusted directly is checked here.
        if self.certificates.iter().any(|own| own == certificate) {
            return check_validity(certificate, now);
        }
        match &self.authorities {
            Some(authorities) => authorities
                .verify_client_cert(certificate, intermediates, now)
                .map(|_| ()),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }
}

/// Checks that the certificate is valid `now` and for a client.
fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = parse(certificate)?;
    let parsed = parsed.tbs_certificate();
    let (now, validity) = (now.as_secs(), parsed.validity());
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    let usage = parsed.get_extension::<ExtendedKeyUsage>();
    match usage.map_err(|_| CertificateError::BadEncoding)? {
        Some((_, ExtendedKeyUsage(usage)))
            if !usage.contains(&ANY_EXTENDED_KEY_USAGE) && !usage.contains(&ID_KP_CLIENT_AUTH) =>
        {
            Err(CertificateError::InvalidPurpose.into())
        }
        _ => Ok(()),
    }
}

fn parse(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

/// Whether the certificate has one of the `allowed` names: a DNS name, an e-mail address, an
/// IP address or a URI, compared as text.
fn is_for_one_of(certificate: &CertificateDer<'_>, allowed: &[String]) -> Result<bool, Error> {
    let parsed = parse(certificate)?;
    let names = parsed.tbs_certificate().get_extension::<SubjectAltName>();
    let names = names.map_err(|_| CertificateError::BadEncoding)?;
    let Some((_, SubjectAltName(names))) = names else {
        return Ok(false);
    };
    Ok(names.iter().any(|name| match name {
        GeneralName::DnsName(name)
        | GeneralName::Rfc822Name(name)
        | GeneralName::UniformResourceIdentifier(name) => {
            allowed.iter().any(|allowed| allowed == name.as_str())
        }
        GeneralName::IpAddress(bytes) => {
            address(bytes.as_bytes()).is_some_and(|address| allowed.contains(&address.to_string()))
        }
        _ => false,
    }))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        // Without a certificate a client has no name that could be allowed.
        self.mandatory || self.allowed_sans.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        let anchors = self.anchors.as_ref();
        let authorities = anchors.and_then(|anchors| anchors.authorities.as_ref());
        authorities.map_or(&[], |authorities| authorities.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(anchors) = &self.anchors {
            anchors.verify(certificate, intermediates, now)?;
        }
        if let Some(allowed) = &self.allowed_sans
            && !is_for_one_of(certificate, allowed)?
        {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
