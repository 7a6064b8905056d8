//! The words for what the API says of an order in numbers. A number without a word stays a
//! number, so that a new one is seen.

use std::borrow::Cow;

/// The `OrderStatus` of an order that has ended and can still be renewed.
pub(super) const ISOLATED: u64 = 2;

/// The `OrderStatus` of an order that is gone for good.
pub(super) const DESTROYED: u64 = 3;

/// What became of an order (`OrderStatus`).
pub(super) fn status(number: u64) -> Cow<'static, str> {
    word(number, &["", "normal", "isolated", "destroyed"])
}

/// Whether an order renews itself (`AutoRenewFlag`). `unset` is no promise: such an order is
/// renewed for large customers with that privilege only.
pub(super) fn renewal(number: u64) -> Cow<'static, str> {
    word(number, &["unset", "auto", "manual"])
}

/// Where an order comes from (`SourceType`).
pub(super) fn source(number: u64) -> Cow<'static, str> {
    word(
        number,
        &[
            "paid",
            "trial",
            "gift",
            "experience",
            "gift_ssl",
            "gift_cvm",
        ],
    )
}

/// The word at the place `number`; empty ones are none.
fn word(number: u64, words: &[&'static str]) -> Cow<'static, str> {
    let word = usize::try_from(number)
        .ok()
        .and_then(|place| words.get(place));
    match word {
        Some(word) if !word.is_empty() => Cow::Borrowed(word),
        _ => Cow::Owned(number.to_string()),
    }
}

/// The edition of a `LicenseType`, and how it is paid.
pub(super) fn edition_and_payment(number: u64) -> (&'static str, &'static str) {
    match number {
        0 => ("professional", "postpaid"),
        1 | 6 => ("professional", "prepaid"),
        2 | 7 => ("ultimate", "prepaid"),
        3 => ("inclusive", "prepaid"),
        8 => ("ai_security", "prepaid"),
        _ => ("unknown", "unknown"),
    }
}
