//! The environment variables, passed in wherever one is read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Environment variables, captured once. Cheap to clone.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, String>>);

impl Environment {
    /// The variables of this process.
    ///
    /// One whose name or value is not Unicode counts as not set: no setting of
    /// ours can be spelled that way.
    #[must_use]
    pub fn process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of the variable `name`, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Every variable, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self(Arc::new(variables.collect()))
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Environment {
    fn from(variables: [(K, V); N]) -> Self {
        variables.into_iter().collect()
    }
}

/// Names only: a value can be a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_but_no_values() {
        let environment = Environment::from([("TENCENTCLOUD_SECRET_KEY", "hunter2")]);
        assert_eq!(environment.get("TENCENTCLOUD_SECRET_KEY"), Some("hunter2"));
        let text = format!("{environment:?}");
        assert_eq!(text, r#"Environment{"TENCENTCLOUD_SECRET_KEY"}"#);
    }

    #[test]
    fn the_process_has_variables() {
        assert!(Environment::process().get("PATH").is_some());
    }
}
