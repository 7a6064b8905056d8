use http::StatusCode;
use serde_json::json;

use super::super::answer::{Answer, documented_example};
use super::super::key::Key;
use super::*;

mod accounts;

fn parse(yaml: &str) -> Result<Scenario, ScenarioError> {
    Script::parse(yaml)?.into_scenario()
}

fn account(rest: &str) -> String {
    format!(
        "accounts:\n  - name: prod\n    secret_id: AKIDprod\n    secret_key: hunter2hunter2\n{rest}"
    )
}

fn message(yaml: &str) -> String {
    let message = parse(yaml).unwrap_err().to_string();
    assert!(!message.contains("hunter2"), "{message}");
    message
}

#[test]
fn every_kind_of_step_is_understood() {
    let scenario = parse(include_str!(
        "../../../tests/fixtures/scenarios/every-step.yml"
    ))
    .unwrap();
    assert_eq!(scenario.rate_limit.get(), 50);
    assert_eq!(scenario.clock_offset, SignedDuration::from_mins(-10));
    let Part {
        account,
        timeline,
        rotations,
    } = scenario.parts.first().unwrap();
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
    let key = |secret_id: &str, secret_key: &str, token: Option<&str>| Key {
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
    let second = scenario.parts.get(1).unwrap();
    assert_eq!(*second.timeline.fields(), documented_example());
}

#[test]
fn limit_is_the_apis_unless_given() {
    let scenario = parse(&account("")).unwrap();
    assert_eq!(scenario.rate_limit.get(), 20);
    assert_eq!(scenario.clock_offset, SignedDuration::ZERO);
}

#[test]
fn mistakes_are_told_with_line_and_remedy() {
    let step = |step: &str| account(&format!("    timeline:\n      - {{{step}}}\n"));
    for (yaml, expected) in [
        (
            "acounts: []".to_owned(),
            "line 1: unknown key `acounts`: did you mean `accounts`?",
        ),
        (
            "repeat: 5m".to_owned(),
            "the key `accounts` is missing: add it",
        ),
        ("accounts: []".to_owned(), "`accounts` is empty"),
        (
            account("    tokn: x"),
            "line 5: unknown key `tokn`: did you mean `token`?",
        ),
        (
            account("    token: ''"),
            "line 2: account `prod`: `token` must be visible ASCII",
        ),
        (
            account("    secret_key: hunter2"),
            "line 5: the key is already in this map: keep one of the two",
        ),
        (
            "accounts:\n  - name: 0123".to_owned(),
            "line 2: wrong kind of value: write a text, in quotes",
        ),
        (
            "accounts: [{name: a, secret_key: k}]\nsts:\n  lifetime: ~\n  rate_limit: -1"
                .to_owned(),
            "line 4: wrong kind of value: write a nonzero u32",
        ),
        (
            step("at: 1s, hang: maybe"),
            "line 6: wrong kind of value: write true or false",
        ),
        (
            step("at: 1s, cut: 99999999999999999999"),
            "line 6: wrong kind of value: write a whole number, 0 or more",
        ),
        (
            step("at: 1s, set: {a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"),
            "line 6: not valid YAML: correct the line or the one before",
        ),
        (
            account("rate_limit: 0"),
            "wrong kind of value: write a nonzero u32",
        ),
        (account("repeat: 0s"), "line 5: `repeat` is zero"),
        (
            account("repeat: 5 apples"),
            "line 5: not a time: write one such as `500ms`",
        ),
        (step("at: -1s, ok: true"), "a time is negative"),
        (
            step("at: 1s"),
            "line 6: account `prod`: the step at 1s says nothing",
        ),
        (
            step("at: 1s, hang: true, reset: true"),
            "the step at 1s says several things",
        ),
        (step("at: 1s, ok: true, reset: true"), "says several things"),
        (step("at: 1s, set: {}, cut: 1"), "says several things"),
        (
            step("at: 1s, hang: false"),
            "says `hang: false`: write `true` or leave it out",
        ),
        (step("at: 1s, hang: true, gzip: true"), "compresses a fault"),
        (
            step("at: 1s, http: {status: 101}"),
            "has no HTTP status: 200 to 599",
        ),
        (
            step("at: 1s, http: {status: 302, location: \"a\\nb\"}"),
            "not visible ASCII",
        ),
        (
            step("at: 1s, oversized: big"),
            "not a size: write one such as `64KiB`",
        ),
        (step("at: 1s, nested: 10000001"), "nests too deep"),
        (
            step("at: 1s, ok: true}\n      - {at: 1s, ok: true"),
            "line 7: account `prod`: the step at 1s comes after",
        ),
        (
            step("at: 5m, ok: true").replace("accounts", "repeat: 5m\naccounts"),
            "is never reached",
        ),
        (
            account("  - name: prod\n    secret_id: AKIDprod\n    secret_key: hunter2\n"),
            "line 5: the name `prod` comes twice: give each its own\n\
             line 5: account `prod`: another one has its `secret_id`",
        ),
        ("accounts: [".to_owned(), "not valid YAML"),
        (
            "accounts: prod".to_owned(),
            "line 1: wrong kind of value: write a list",
        ),
        (
            "accounts: [prod]".to_owned(),
            "line 1: wrong kind of value: write keys with values",
        ),
        (
            "accounts:\n  - {secret_key:hunter2}".to_owned(),
            "line 2: unknown key `secret_key…`: write a blank after its colon",
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
fn no_slip_of_the_pen_brings_a_secret_into_a_message() {
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
