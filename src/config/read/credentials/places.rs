//! Credentials that are read from a place where others keep them.

use super::super::super::credentials::{
    Credentials, Profile, Tccli, TkeOidc, is_profile, is_role_name,
};
use super::super::super::environment::Environment;
use super::super::super::problem::Fault;
use super::super::super::reader::{Reader, Section, text};
use super::super::super::tree::Node;
use super::path;

pub(super) fn profile(
    reader: &mut Reader,
    node: &Node<'_>,
    section: &Section<'_>,
    environment: &Environment,
) -> Option<Credentials> {
    let name = optional(reader, section, "profile", |node| {
        let name = text(node)?.trim();
        if name.is_empty() || name.contains(['[', ']', '\n']) {
            return Err(Fault::new(
                "not a profile's name",
                "write the section's name without brackets",
            ));
        }
        Ok(name.to_owned())
    });
    let file = optional(reader, section, "file", path);
    let (name, file) = (name?, file?);
    let blamed = section.get("file").unwrap_or_else(|| node.clone());
    let profile = Profile {
        name: name.unwrap_or_else(|| Profile::default().name),
        file,
    };
    reader.value(Some(blamed), |_| {
        let read = profile.read(environment);
        read.map_err(|no_key| no_key.into_fault())
    })?;
    Some(Credentials::Profile(profile))
}

pub(super) fn tccli(
    reader: &mut Reader,
    node: &Node<'_>,
    section: &Section<'_>,
    environment: &Environment,
) -> Option<Credentials> {
    let profile = optional(reader, section, "profile", |node| {
        let name = text(node)?;
        if !is_profile(name) {
            return Err(Fault::new(
                "not a profile's name",
                "write the name alone, without a path",
            ));
        }
        Ok(name.to_owned())
    })?;
    let blamed = section.get("profile").unwrap_or_else(|| node.clone());
    let tccli = Tccli { profile };
    reader.value(Some(blamed), |_| {
        let read = tccli.read(environment);
        read.map_err(|no_key| no_key.into_fault())
    })?;
    Some(Credentials::Tccli(tccli))
}

pub(super) fn cvm_role(reader: &mut Reader, section: &Section<'_>) -> Option<Credentials> {
    let role = optional(reader, section, "role", |node| {
        let role = text(node)?;
        if !is_role_name(role) {
            return Err(Fault::new(
                "not a role's name",
                "write the name that the CAM console shows, not the ARN",
            ));
        }
        Ok(role.to_owned())
    })?;
    Some(Credentials::CvmRole { role })
}

pub(super) fn tke_oidc(
    reader: &mut Reader,
    node: &Node<'_>,
    environment: &Environment,
) -> Option<Credentials> {
    reader.value(Some(node), |_| {
        let pod = TkeOidc::from_environment(environment).map_err(|no_key| no_key.into_fault())?;
        pod.token()
    })?;
    Some(Credentials::TkeOidc)
}

/// The setting `name`, `None` inside when it is not written and outside when it is
/// wrong.
pub(super) fn optional<'n, T>(
    reader: &mut Reader,
    section: &Section<'n>,
    name: &str,
    read: impl FnOnce(&Node<'n>) -> Result<T, Fault>,
) -> Option<Option<T>> {
    match section.get(name) {
        Some(node) => reader.value(Some(node), read).map(Some),
        None => Some(None),
    }
}
