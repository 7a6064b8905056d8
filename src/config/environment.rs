//! The environment variables, which are passed to all code that reads them. An empty variable
//! counts as not set.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
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

    /// The value of the variable `name` without surrounding blanks. A variable that is empty
    /// or blank counts as not set, whoever named it: that is how a shell, a unit file and a
    /// manifest take a variable back.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// The first variable of `names` that is set, and its value.
    #[must_use]
    pub fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &str)> {
        let mut set = names
            .iter()
            .filter_map(|name| Some((*name, self.get(name)?)));
        set.next()
    }

    /// The value of the variable `name` as it is.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables whose names begin with `prefix`. Looks at no others: who asks for each
    /// of many accounts may do so in a large environment.
    pub(super) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .take_while(move |(name, _)| name.starts_with(prefix))
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
    fn an_empty_variable_is_not_set() {
        let environment = Environment::from([("A", ""), ("B", " \t\n"), ("C", " c "), ("D", "d")]);
        assert_eq!(environment.get("A"), None);
        assert_eq!(environment.get("B"), None);
        assert_eq!(environment.get("C"), Some("c"));
        assert_eq!(
            environment.first(&["X", "A", "B", "C", "D"]),
            Some(("C", "c"))
        );
        assert_eq!(environment.first(&["X", "A"]), None);
    }

    #[test]
    fn variables_of_a_prefix_are_found_among_others() {
        let names = ["A", "AB", "AB_C", "AB_D", "AC", "B"];
        let environment: Environment = names.map(|name| (name, "x")).into_iter().collect();
        let found: Vec<&str> = environment
            .with_prefix("AB_")
            .map(|(name, _)| name)
            .collect();
        assert_eq!(found, ["AB_C", "AB_D"]);
    }

    #[test]
    fn the_process_has_variables() {
        assert!(Environment::process().get("PATH").is_some());
    }
}
