//! Credentials of other programs' files, and of services of the cloud.

use super::super::super::credentials::{
    Credentials, Profile, Tccli, TkeOidc, is_profile, is_role_name,
};
use super::super::super::environment::Environment;
use super::super::super::path::{path, unexpanded};
use super::super::super::problem::Fault;
use super::super::super::reader::{Reader, Section, text};
use super::super::super::regular_file::read_text;
use super::super::super::tree::Node;
use super::check_key;

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
        if let Some(what) = unexpanded(name) {
            return Err(Fault::new(what, "write the profile's name"));
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
    check_key(reader, &blamed, || {
        Ok(Some(profile.read(environment, &read_text)?))
    });
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
        if !is_profile(name) || unexpanded(name).is_some() {
            return Err(Fault::new(
                "not a profile's name",
                "write the name alone, without a path",
            ));
        }
        Ok(name.to_owned())
    })?;
    let blamed = section.get("profile").unwrap_or_else(|| node.clone());
    let tccli = Tccli { profile };
    check_key(reader, &blamed, || {
        Ok(Some(tccli.read(environment, &read_text)?.key))
    });
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
    reader.check_external(node, || {
        TkeOidc::from_environment(environment)?.token(&read_text)
    });
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
