//! The natural order of names: `fail-2` before `fail-10`.

use std::cmp::Ordering;

/// Compares names, and adjacent digits in them as one number.
pub(super) fn natural_order(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    while !left.is_empty() && !right.is_empty() {
        let ((a, left_rest), (b, right_rest)) = (split(left), split(right));
        let order = match (number(a), number(b)) {
            // Without leading zeros, the longer number is greater.
            (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            _ => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    // Names that differ only in leading zeros are not equal.
    let lengths = |rest: &str, name: &str| (rest.len(), name.len());
    lengths(left, one)
        .cmp(&lengths(right, other))
        .then_with(|| one.cmp(other))
}

/// The leading digits of `text`, or its first character; and the rest.
fn split(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let first = text.chars().next().map_or(0, char::len_utf8);
    text.split_at_checked(digits.max(first))
        .unwrap_or((text, ""))
}

fn number(part: &str) -> Option<&str> {
    let is_number = part.starts_with(|first: char| first.is_ascii_digit());
    is_number.then(|| part.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let names = [
            "",
            "0",
            "00",
            "1",
            "01",
            "2",
            "10",
            "a",
            "a-2",
            "a-2-b",
            "a-10",
            "a1",
            "a2b1",
            "a2b10",
            "a10",
            "a99999999999999999999998",
            "a99999999999999999999999",
            "b",
            "fail",
            "fail-2",
            "fail-10",
            "主-2",
            "主-10",
        ];
        for (index, name) in names.iter().enumerate() {
            for (other_index, other) in names.iter().enumerate() {
                let order = natural_order(name, other);
                assert_eq!(order, index.cmp(&other_index), "{name}, {other}");
            }
        }
    }
}
