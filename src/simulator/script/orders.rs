//! Reads orders: the rows of the list that `DescribeLicenseList` answers.

use serde_json::{Map, Value, json};

use super::super::answer::{AnswerFields, object};
use super::{fields, some_text, texts};
use crate::config::{Fault, Node, Reader, list, whole};

/// The action whose list has orders.
pub(crate) const ACTION: &str = "DescribeLicenseList";

/// The orders of an account.
#[derive(Clone, Default)]
pub(crate) struct Orders(Vec<AnswerFields>);

/// How many orders can be written as one.
const MAX_COUNT: u32 = 10_000;

/// The placeholder of an order's number.
const NUMBER: &str = "{n}";

impl Orders {
    /// The fields of an answer with these orders.
    pub(crate) fn answer(&self) -> AnswerFields {
        object(json!({"List": self.0}))
    }

    /// Adds the orders that `node` lists. If the order with this `ResourceId` exists, the
    /// given fields change.
    pub(crate) fn add(&mut self, reader: &mut Reader, node: Node<'_>) {
        let items = reader.value(Some(node), |node| {
            list(node, "write `- ` before each order")
        });
        for node in items.into_iter().flatten() {
            let Some(mut order) = reader.value(Some(node.clone()), fields) else {
                continue;
            };
            order.remove("count");
            let parts = reader.map(Some(node));
            let id = reader.required(&parts, "ResourceId", some_text);
            let count = reader.value(parts.get("count"), |node| whole(node, 1..=MAX_COUNT));
            let Some(id) = id else { continue };
            if count.is_some() && !id.contains(NUMBER) {
                let fault = Fault::new(
                    "the same for all `count` orders",
                    format!("write `{NUMBER}` where the number goes"),
                );
                reader.report_missing(&parts, "ResourceId", fault);
                continue;
            }
            for number in 0..count.unwrap_or(1) {
                let id = match count {
                    Some(_) => id.replace(NUMBER, &number.to_string()),
                    None => id.clone(),
                };
                self.set(id, order.clone());
            }
        }
    }

    fn set(&mut self, id: String, fields: AnswerFields) {
        let known = self.0.iter().position(|order| order["ResourceId"] == *id);
        let place = known.unwrap_or_else(|| {
            self.0.push(new_order(self.0.len() + 1));
            self.0.len() - 1
        });
        if let Some(order) = self.0.get_mut(place) {
            order.extend(fields);
            order.insert("ResourceId".to_owned(), id.into());
        }
    }

    /// Removes the orders that `node` lists by their `ResourceId`.
    pub(crate) fn remove(&mut self, reader: &mut Reader, node: Node<'_>) {
        let ids = reader.value(Some(node.clone()), |node| {
            texts(node, "write `- ` before each `ResourceId`")
        });
        for id in ids.into_iter().flatten() {
            let before = self.0.len();
            self.0.retain(|order| order["ResourceId"] != *id);
            if self.0.len() == before {
                let what = format!("there is no order `{id}` at this time");
                reader.report(&node, Fault::new(what, "use the `ResourceId` of an order"));
            }
        }
    }
}

/// The fields of an order of which nothing is written: one licence of the professional
/// edition, paid in advance, that ends in a year.
fn new_order(number: usize) -> Map<String, Value> {
    object(json!({
        "LicenseId": number, "LicenseType": 1, "LicenseStatus": 0, "LicenseCnt": 1,
        "UsedLicenseCnt": 0, "OrderStatus": 1, "Deadline": "in 365d", "BuyTime": "in 0s",
        "ResourceId": "", "AutoRenewFlag": 0, "ProjectId": 0, "TaskId": 0, "SourceType": 0,
        "Alias": "", "Tags": [], "FreezeNum": 0,
    }))
}
