//! The CAM policy that a key's user or role needs at least.

use std::fmt;

use serde::Serialize;

use crate::collectors::Collector;

/// A CAM policy in the shape of the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Statement {
    effect: &'static str,
    action: Vec<String>,
    resource: [&'static str; 1],
}

impl Policy {
    /// The policy that allows the requests of these collectors, and no more.
    pub fn of(collectors: impl IntoIterator<Item = &'static dyn Collector>) -> Self {
        let requests = collectors.into_iter().map(|collector| collector.request());
        let actions = requests.map(|request| format!("{}:{}", request.service, request.action));
        Self {
            version: "2.0",
            statement: vec![Statement {
                effect: "allow",
                action: actions.collect(),
                // CWP's actions have no resources of their own: CAM denies a policy that names one.
                resource: ["*"],
            }],
        }
    }
}

/// Indented JSON, to be pasted.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?)
    }
}
