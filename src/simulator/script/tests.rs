use http::StatusCode;
use serde_json::json;

use super::super::answer::{Answer, documented_example};
use super::super::key::SimulatedKey;
use super::*;

mod accounts;
mod orders;

fn parse(yaml: &str) -> Result<Scenario, ConfigError> {
    Scenario::parse(yaml)
}

fn account(rest: &str) -> String {
    format!(
        "accounts:\n  - name: prod\n    secret_id: AKIDprod\n    secret_key: hunter2hunter2\n{rest}"
    )
}

/// The problems, a line each.
fn message(yaml: &str) -> String {
    let error = parse(yaml).unwrap_err();
    let problems = error.problems().iter();
    let lines: Vec<String> = problems
        .map(|problem| problem.to_string().replacen("scenario:", "line ", 1))
        .collect();
    let message = lines.join("\n");
    assert!(!message.contains("hunter2"), "{message}");
    message
}

#[test]
fn every_kind_of_step_is_understood() {
    let scenario = parse(include_str!(
        "../../../tests/fixtures/scenarios/every-step.yml"
    ))
    .unwrap();
    assert_eq!(scenario.rate_limit, 50);
    assert_eq!(scenario.clock_offset, SignedDuration::from_mins(-10));
    let ScenarioAccount {
        account,
        timeline,
        rotations,
        ..
    } = scenario.accounts.first().unwrap();
    assert_eq!(account.token(), Some("token-every-step"));
    let round = Duration::from_secs(300);
    assert_eq!(timeline.time(round), Duration::ZERO);
    let ok = || Box::new(Answer::Ok);
    let expected = [
        Answer::Ok,
        Answer::Ok,
        Answer::Error {
            code: "InternalError".to_owned(),
            message: "An internal error has occurred.".to_owned(),
        },
        Answer::LegacyError {
            code: 4000,
            message: "Bad request".to_owned(),
            code_desc: "InvalidParameter".to_owned(),
        },
        Answer::Http {
            status: StatusCode::FOUND,
            body: "<html>moved</html>".to_owned(),
            content_type: Some("text/html".to_owned()),
            location: Some("http://127.0.0.1:9/".to_owned()),
        },
        Answer::Hang,
        Answer::Reset,
        Answer::Cut(40),
        Answer::Body("not json".to_owned()),
        Answer::Body(String::new()),
        Answer::Oversized(8 << 20),
        Answer::Nested(20_000),
        Answer::Gzip,
        Answer::Delayed(Duration::from_millis(1500), ok()),
        Answer::Delayed(Duration::from_secs(2), Box::new(Answer::Reset)),
        Answer::Ok,
        Answer::Ok,
        Answer::Hang,
        Answer::Ok,
    ];
    let answers: Vec<Answer> = timeline
        .steps()
        .iter()
        .map(|step| step.answer.clone())
        .collect();
    assert_eq!(answers, expected);
    let fields = &timeline.at(Duration::from_secs(2)).1.fields;
    assert_eq!(
        serde_json::Value::from(fields.as_ref().clone()),
        json!({
            "LicenseCnt": 100, "ProtectType": null, "FutureCnt": {"any": [1, -2.5, "x"]}
        })
    );
    let key = |secret_id: &str, secret_key: &str, token: Option<&str>| SimulatedKey {
        secret_id: secret_id.to_owned(),
        secret_key: secret_key.to_owned(),
        token: token.map(str::to_owned),
    };
    assert_eq!(
        *rotations,
        [
            (
                Duration::from_secs(17),
                key("AKIDeverystep", "fixture-rotated", None)
            ),
            (
                Duration::from_secs(18),
                key("AKIDnew", "fixture-new", Some("token-new"))
            ),
        ]
    );
    let revoked = timeline.revoked(Duration::from_secs(30));
    assert_eq!(revoked, Some(Duration::from_secs(19)));
    let second = scenario.accounts.get(1).unwrap();
    assert_eq!(*second.timeline.fields(), documented_example());
}

#[test]
fn limit_is_the_apis_by_default() {
    let scenario = parse(&account("")).unwrap();
    assert_eq!(scenario.rate_limit, 20);
    assert_eq!(scenario.clock_offset, SignedDuration::ZERO);
}

#[test]
fn mistakes_are_reported_with_line_and_remedy() {
    let step = |step: &str| account(&format!("    timeline:\n      - {{{step}}}\n"));
    for (yaml, expected) in [
        (
            "acounts: []".to_owned(),
            "line 1: acounts: unknown key; did you mean `accounts`?\nline 1: accounts: missing; add the key",
        ),
        (
            "repeat: 5m".to_owned(),
            "line 1: accounts: missing; add the key",
        ),
        (
            "accounts: []".to_owned(),
            "line 1: accounts: the list is empty; add an account",
        ),
        (
            account("    tokn: x"),
            "line 5: accounts[0].tokn: unknown key; did you mean `token`?",
        ),
        (
            account("    token: ''"),
            "line 5: accounts[0].token: not a token; write visible ASCII, or remove the key for a permanent key",
        ),
        (
            account("    secret_key: hunter2"),
            "line 5: accounts[0].secret_key: the same key is on line 4 already; keep one of the two",
        ),
        (
            "accounts:\n  - name: 0123".to_owned(),
            "line 2: accounts[0].name: expected text, found a number; put it in quotes\nline 2: accounts[0].secret_id: missing; add the key",
        ),
        (
            "accounts: [{name: a, secret_key: k}]\nsts:\n  lifetime: ~\n  rate_limit: -1"
                .to_owned(),
            "line 1: accounts[0].secret_id: missing; add the key\nline 4: sts.rate_limit: -1 is out of range; write a whole number from 1 to 4294967295",
        ),
        (
            step("at: 1s, hang: maybe"),
            "line 6: accounts[0].timeline[0].hang: expected true, found text; write `true`, or remove the key",
        ),
        (
            step("at: 1s, cut: 99999999999999999999"),
            "line 6: accounts[0].timeline[0].cut: 1e+20 is out of range; write a whole number from 0 to 4294967295",
        ),
        (
            step("at: 1s, set: {a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"),
            "line 6:37: maps and lists are nested more than 16 deep; nest less: no setting is so deep",
        ),
        (
            account("rate_limit: 0"),
            "line 5: rate_limit: 0 is out of range; write a whole number from 1 to 4294967295",
        ),
        (
            account("repeat: 0s"),
            "line 5: repeat: 0s is too short; write at least `1ms`",
        ),
        (
            account("repeat: 5 apples"),
            "line 5: repeat: not a duration; write a number and a unit (h, m, s or ms), such as `60s` or `1h30m`",
        ),
        (
            step("at: -1s, ok: true"),
            "line 6: accounts[0].timeline[0].at: a negative duration; write a number and a unit (h, m, s or ms), such as `60s` or `1h30m`",
        ),
        (
            step("at: 1s"),
            "line 6: accounts[0].timeline[0]: the step changes nothing; add `set`, `unset`, `ok` or a fault such as `error`",
        ),
        (
            step("at: 1s, hang: true, reset: true"),
            "line 6: accounts[0].timeline[0]: the step has several answers; write each of them as a step with its own `at`",
        ),
        (step("at: 1s, ok: true, reset: true"), "has several answers"),
        (step("at: 1s, set: {}, cut: 1"), "has several answers"),
        (
            step("at: 1s, hang: false"),
            "line 6: accounts[0].timeline[0].hang: `false` means nothing here; write `true`, or remove the key",
        ),
        (
            step("at: 1s, hang: true, gzip: true"),
            "has `gzip` and a fault",
        ),
        (
            step("at: 1s, http: {status: 101}"),
            "line 6: accounts[0].timeline[0].http.status: 101 is out of range; write a whole number from 200 to 599",
        ),
        (
            step("at: 1s, http: {status: 302, location: \"a\\nb\"}"),
            "line 6: accounts[0].timeline[0].http.location: no header can carry this text; write visible ASCII",
        ),
        (
            step("at: 1s, oversized: big"),
            "line 6: accounts[0].timeline[0].oversized: not a size; write a size such as `64KiB` or `8MiB`",
        ),
        (
            step("at: 1s, nested: 10000001"),
            "line 6: accounts[0].timeline[0].nested: 10000001 is out of range; write a whole number from 0 to 10000000",
        ),
        (
            step("at: 1s, ok: true}\n      - {at: 1s, ok: true"),
            "line 7: accounts[0].timeline[1].at: not later than the step before it; sort the steps by `at`",
        ),
        (
            step("at: 5m, ok: true").replace("accounts", "repeat: 5m\naccounts"),
            "is never reached",
        ),
        (
            account("  - name: prod\n    secret_id: AKIDprod\n    secret_key: hunter2\n"),
            "line 5: accounts[1].name: the same as that of accounts[0] at scenario:2; give each \
             account its own\nline 5: accounts[1].secret_id: the same as that of accounts[0] at \
             scenario:2; give each account its own",
        ),
        ("accounts: [".to_owned(), "not valid YAML"),
        (
            "accounts: prod".to_owned(),
            "line 1: accounts: expected a list, found text; write `- ` before each account",
        ),
        (
            "accounts: [prod]".to_owned(),
            "line 1: accounts[0]: expected a map, found text; write `key: value` lines under it",
        ),
        (
            "accounts:\n  - {secret_key:hunter2}".to_owned(),
            "line 2: accounts[0].<not shown>: unknown key; write a blank after the colon of `secret_key`\nline 2: accounts[0].name: missing; add the key\nline 2: accounts[0].secret_id: missing; add the key",
        ),
        (String::new(), "accounts"),
    ] {
        let message = message(&yaml);
        assert!(
            message.contains(expected),
            "{yaml}\n=> {message}\nnot: {expected}"
        );
    }
}

/// Each input is one that somebody may write in good faith.
#[test]
fn a_value_of_the_wrong_kind_is_reported_with_its_key_and_a_remedy() {
    let step = |step: &str| account(&format!("    timeline:\n      - {{{step}}}\n"));
    for (yaml, expected) in [
        (step("at: 5, ok: true"), "line 6: accounts[0].timeline[0].at: a number without a unit; add the unit, such as `5s`".to_owned()),
        (step("at: '5', ok: true"), "line 6: accounts[0].timeline[0].at: a number without a unit; add the unit, such as `5s`".to_owned()),
        (step("at: 0, ok: true"), "line 6: accounts[0].timeline[0].at: a number without a unit; add the unit, such as `0s`".to_owned()),
        (step("at: 1s, delay: 1.5"), "line 6: accounts[0].timeline[0].delay: a number without a unit; add the unit, such as `1.5s`".to_owned()),
        (account("repeat: 300"), "line 5: repeat: a number without a unit; add the unit, such as `300s`".to_owned()),
        (account("clock_offset: -6"), "line 5: clock_offset: a number without a unit; add the unit, such as `-6s`".to_owned()),
        (account("sts: {lifetime: 60}"), "line 5: sts.lifetime: a number without a unit; add the unit, such as `60s`".to_owned()),
        (
            step("at: [1s], ok: true"),
            "line 6: accounts[0].timeline[0].at: expected a duration, found a list; write a number and a unit (h, m, s or ms), such as `60s` or `1h30m`".to_owned(),
        ),
        (
            step("at: ~, ok: true"),
            "line 6: accounts[0].timeline[0].at: missing; add the key".to_owned(),
        ),
        (
            step("at: -1s, ok: true"),
            "line 6: accounts[0].timeline[0].at: a negative duration; write a number and a unit (h, m, s or ms), such as `60s` or `1h30m`".to_owned(),
        ),
        (
            step("ok: true"),
            "line 6: accounts[0].timeline[0].at: missing; add the key".to_owned(),
        ),
        (
            step("at: 1s, http: 502"),
            "line 6: accounts[0].timeline[0].http: expected a map, found a number; write `key: value` lines under it".to_owned(),
        ),
        (
            step("at: 1s, http: {status: '502'}"),
            "line 6: accounts[0].timeline[0].http.status: the number is text; write the number without quotes".to_owned(),
        ),
        (
            step("at: 1s, http: {status: 99}"),
            "line 6: accounts[0].timeline[0].http.status: 99 is out of range; write a whole number from 200 to 599".to_owned(),
        ),
        (
            step("at: 1s, http: {status: Bad Gateway}"),
            "line 6: accounts[0].timeline[0].http.status: expected a number, found text; write a whole number from 200 to 599".to_owned(),
        ),
        (
            step("at: 1s, http: {status: 502, body: 502}"),
            "line 6: accounts[0].timeline[0].http.body: expected text, found a number; put it in quotes".to_owned(),
        ),
        (
            step("at: 1s, error: InternalError"),
            "line 6: accounts[0].timeline[0].error: expected a map, found text; write `key: value` lines under it".to_owned(),
        ),
        (
            step("at: 1s, legacy_error: {code: InternalError}"),
            "line 6: accounts[0].timeline[0].legacy_error.code: expected a number, found text; write a whole number from -999999 to 999999".to_owned(),
        ),
        (
            step("at: 1s, cut: -1"),
            "line 6: accounts[0].timeline[0].cut: -1 is out of range; write a whole number from 0 to 4294967295".to_owned(),
        ),
        (
            step("at: 1s, cut: 40B"),
            "line 6: accounts[0].timeline[0].cut: expected a number, found text; write a whole number from 0 to 4294967295".to_owned(),
        ),
        (
            step("at: 1s, nested: 1.5"),
            "line 6: accounts[0].timeline[0].nested: 1.5 is not a whole number; write a whole number from 0 to 10000000".to_owned(),
        ),
        (
            step("at: 1s, oversized: 8MB"),
            "line 6: accounts[0].timeline[0].oversized: not a size; write a size such as `64KiB` or `8MiB`".to_owned(),
        ),
        (
            step("at: 1s, oversized: -8"),
            "line 6: accounts[0].timeline[0].oversized: not a size; write a size such as `64KiB` or `8MiB`".to_owned(),
        ),
        (
            step("at: 1s, hang: yes"),
            "line 6: accounts[0].timeline[0].hang: expected true, found text; write `true`, or remove the key".to_owned(),
        ),
        (
            step("at: 1s, unset: LicenseCnt"),
            "line 6: accounts[0].timeline[0].unset: expected a list, found text; write `- ` before each item".to_owned(),
        ),
        (
            step("at: 1s, set: [LicenseCnt]"),
            "line 6: accounts[0].timeline[0].set: expected a map, found a list; write `name: value` lines under it".to_owned(),
        ),
        (
            account("rate_limit: 0"),
            "line 5: rate_limit: 0 is out of range; write a whole number from 1 to 4294967295".to_owned(),
        ),
        (
            account("rate_limit: 20/s"),
            "line 5: rate_limit: expected a number, found text; write a whole number from 1 to 4294967295".to_owned(),
        ),
        (
            account("    count: '10'"),
            "line 5: accounts[0].count: the number is text; write the number without quotes".to_owned(),
        ),
        (
            account("    allow: cwp:DescribeLicenseGeneral"),
            "line 5: accounts[0].allow: expected a list, found text; write `- ` before each item".to_owned(),
        ),
        (
            account("    allow: [DescribeLicenseGeneral]"),
            "line 5: accounts[0].allow[0]: not an action; write `*`, `cwp:*` or a name such as `cwp:DescribeLicenseGeneral`".to_owned(),
        ),
        (
            "accounts: {name: prod}".to_owned(),
            "line 1: accounts: expected a list, found a map; write `- ` before each account".to_owned(),
        ),
        (
            "accounts: [{name: 1234}]".to_owned(),
            "line 1: accounts[0].name: expected text, found a number; put it in quotes\nline 1: accounts[0].secret_id: missing; add the key".to_owned(),
        ),
        (
            account("    role: CwpExporter"),
            "line 5: accounts[0].role: expected a map, found text; write `key: value` lines under it".to_owned(),
        ),
    ] {
        assert_eq!(message(&yaml), expected, "{yaml}");
    }
}

#[test]
fn secrets_are_in_no_message() {
    for yaml in [
        account("   odd"),
        "accounts: hunter2".to_owned(),
        "accounts: [hunter2]".to_owned(),
        "accounts:\n  - secret_key: [hunter2]".to_owned(),
        "accounts:\n  - secret_key: {hunter2: hunter2}".to_owned(),
        "accounts:\n  - secret_key: \"hunter2".to_owned(),
        "accounts:\n  - secret_key: *hunter2".to_owned(),
        "accounts:\n  - secret_key: !hunter2 hunter2".to_owned(),
        "accounts:\n  - secret_key: 'hunter2' hunter2".to_owned(),
        "accounts:\n  - secret_key: a: hunter2: b".to_owned(),
        "accounts:\n  - {name: a, secret_key:hunter2}".to_owned(),
        "accounts:\n  - name: a\n    secret_key:hunter2".to_owned(),
        "accounts:\n  - name: a\n    secret_key:hunter2\n    token: a".to_owned(),
        format!("accounts:\n  - secret_key: \"hunter2{}", "\n\n".repeat(9)),
        "rate_limit: hunter2".to_owned(),
        "repeat: hunter2".to_owned(),
    ] {
        assert!(message(&yaml).len() > 10, "{yaml}");
    }
    let shown = format!("{:?}", parse(&account("    token: hunter2")).unwrap());
    assert!(shown.contains("AKIDprod"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn no_typing_error_brings_a_secret_into_a_message() {
    // With digits, as secrets are: a word cannot be told from a key.
    let block = account("").replace("hunter2hunter2", "q7q7q7q7");
    let flow = "accounts: [{name: prod, secret_id: AKIDprod, secret_key: q7q7q7q7}]";
    let slips = "\"'`:,{}[]&*!|>%@#?-\\\t\n\r\0 \u{85}é";
    let slips = slips.chars().map(String::from).chain([String::new()]);
    let slips: Vec<String> = slips.collect();
    let mut mistakes = 0;
    for right in [block.as_str(), flow] {
        for (place, sign) in right.char_indices() {
            let (before, from) = right.split_at(place);
            let behind = &from[sign.len_utf8()..];
            for slip in &slips {
                for rest in [from, behind] {
                    let yaml = [before, slip, rest].concat();
                    if let Err(error) = parse(&yaml) {
                        assert!(!error.to_string().contains("q7q"), "{yaml}=> {error}");
                        mistakes += 1;
                    }
                }
            }
        }
    }
    assert!(mistakes > 1000, "{mistakes}");
}
