//! Roles, many accounts at once, and the services that hand out keys.

use super::*;

const ROLE: &str = "role: {arn: \"qcs::cam::uin/1:roleName/a\"}";

#[test]
fn services_are_the_real_ones_unless_said_otherwise() {
    let scenario = parse(&account("")).unwrap();
    assert_eq!(scenario.sts.rate_limit.get(), 600);
    assert_eq!(scenario.sts.lifetime, None);
    assert!(scenario.metadata.binding.is_none());
    let yaml = account(&format!(
        "    {ROLE}\nmetadata: {{account: prod, timeline: [{{at: 5s, hang: true}}]}}\n\
         sts: {{lifetime: 5s, rate_limit: 7, timeline: [{{at: 1s, reset: true}}]}}"
    ));
    let scenario = parse(&yaml).unwrap();
    assert_eq!(scenario.sts.rate_limit.get(), 7);
    assert_eq!(scenario.sts.lifetime, Some(Duration::from_secs(5)));
    assert_eq!(scenario.sts.timeline.steps().len(), 1);
    assert_eq!(scenario.metadata.timeline.steps().len(), 1);
    let binding = scenario.metadata.binding.unwrap();
    assert_eq!((binding.role.as_str(), binding.tenant), ("a", 0));
    assert_eq!(binding.lifetime, METADATA_LIFETIME);
}

#[test]
fn many_accounts_are_written_as_one() {
    let scenario = parse(
        "accounts:\n  - {name: ops, secret_id: AKIDops, secret_key: k}\n  \
         - {count: 10000, name: 'a{n}', secret_id: 'AKIDa{n}', secret_key: 'key-a{n}', \
         role: {arn: 'qcs::cam::uin/1{n}:roleName/R', trusts: [ops, 'a{n}']}, \
         web_identity: {provider: tke, token: 't{n}'}, \
         timeline: [{at: 1s, rotate: {secret_key: 'new-{n}'}}]}",
    )
    .unwrap();
    assert_eq!(scenario.accounts().len(), 10_001);
    let last = scenario.parts.last().unwrap();
    assert_eq!(last.account.name(), "a9999");
    assert_eq!(last.account.secret_id(), "AKIDa9999");
    assert_eq!(last.account.secret_key(), "key-a9999");
    assert_eq!(last.rotations.first().unwrap().1.secret_id, "AKIDa9999");
    assert_eq!(last.rotations.first().unwrap().1.secret_key, "new-9999");
    let role = last.account.role.as_ref().unwrap();
    assert_eq!(role.arn, "qcs::cam::uin/19999:roleName/R");
    assert_eq!(role.trusts.as_ref().unwrap(), &["ops", "a9999"]);
    assert_eq!(role.web_identity.as_ref().unwrap().1, "t9999");
    let first = scenario.parts.get(1).unwrap();
    assert!(Arc::ptr_eq(&first.timeline, &last.timeline));
}

#[test]
fn number_means_nothing_in_a_single_account() {
    let scenario = parse("accounts: [{name: 'a{n}', secret_id: b, secret_key: c}]").unwrap();
    assert_eq!(scenario.accounts().next().unwrap().name(), "a{n}");
}

#[test]
fn mistakes_in_roles_services_and_numbers_are_told_with_line_and_remedy() {
    let step = |step: &str| account(&format!("    timeline:\n      - {{{step}}}\n"));
    let many = |rest: &str| format!("accounts:\n  - {{{rest}}}");
    for (yaml, expected) in [
        (
            account("    role: {arn: CwpExporter}"),
            "line 2: account `prod`: `arn` must be of the form `qcs::cam::uin/",
        ),
        (
            account("    role: {arm: x}"),
            "line 5: unknown key `arm`: did you mean `arn`?",
        ),
        (
            account(&format!(
                "    {}",
                ROLE.replace('}', ", trusts: [prod, ops]}")
            )),
            "line 2: account `prod`: its role trusts `ops`, which is not an account of this scenario",
        ),
        (
            account("    web_identity: {provider: tke, token: hunter2}"),
            "`web_identity` needs a `role`: add",
        ),
        (
            account(&format!(
                "    {ROLE}\n    web_identity: {{provider: '', token: hunter2}}"
            )),
            "`web_identity` has an empty `provider` or `token`",
        ),
        (
            account(&format!("    {ROLE}\n  - {{name: b, {ROLE}}}")),
            "line 6: account `b`: the account on line 2 has the same `arn`",
        ),
        (
            many("name: a, secret_key: hunter2"),
            "line 2: account `a`: the key `secret_id` is missing: add it",
        ),
        (
            many("name: a, secret_id: b"),
            "the key `secret_key` is missing: add it",
        ),
        (
            many(&format!("name: a, token: hunter2, {ROLE}")),
            "`token` belongs to a key, which is missing",
        ),
        (
            step("at: 1s, rotate: {secret_key: ''}"),
            "line 6: account `prod`: the step at 1s has an empty `secret_key`",
        ),
        (
            step("at: 1s, rotate: {token: hunter2}"),
            "the key `secret_key` is missing",
        ),
        (
            step("at: 1s, rotate: {secret_id: a/b, secret_key: hunter2}"),
            "has a `secret_id` that is not visible ASCII",
        ),
        (
            step("at: 1s, rotate: {secret_key: hunter2, token: ''}"),
            "has a `token` that is not visible ASCII",
        ),
        (
            many(&format!(
                "name: a, {ROLE}, timeline: [{{at: 1s, rotate: {{secret_key: hunter2}}}}]"
            )),
            "replaces the account's key, which is missing",
        ),
        (
            step("at: 1s, rotate: {secret_key: hunter2, secret_id: AKIDb}").replace(
                "accounts:",
                "accounts:\n  - {name: b, secret_id: AKIDb, secret_key: c}",
            ),
            "line 3: account `prod`: the account on line 2 has the same `secret_id`",
        ),
        (
            step("at: 1s, revoke: false"),
            "has `revoke: false`: write `revoke: true`, or remove the key",
        ),
        (
            many("count: 2, name: a, secret_id: 'b{n}', secret_key: hunter2"),
            "line 2: account `a`: `name` would be the same for all `count` accounts: write `{n}`",
        ),
        (
            many("count: 2, name: 'a{n}', secret_id: b, secret_key: hunter2"),
            "`secret_id` would be the same for all `count` accounts",
        ),
        (
            many(&format!("count: 2, name: 'a{{n}}', {ROLE}")),
            "`arn` would be the same for all `count` accounts",
        ),
        (
            many(
                "count: 2, name: 'a{n}', secret_id: '{n}', secret_key: c, \
                 timeline: [{at: 1s, rotate: {secret_id: d, secret_key: hunter2}}]",
            ),
            "has the same `secret_id` for all `count` accounts",
        ),
        (
            many("count: 0, name: 'a{n}', secret_id: '{n}', secret_key: c"),
            "`count`: out of range: write a whole number from 1 to 100000",
        ),
        (
            many("count: 100001, name: 'a{n}', secret_id: '{n}', secret_key: c"),
            "`count`: out of range: write a whole number from 1 to 100000",
        ),
        (
            account("metadata: {account: stage}"),
            "line 5: `metadata`: the scenario has no account `stage`",
        ),
        (
            account("metadata: {account: prod}"),
            "`metadata`: the key `role` is missing: add the role's name",
        ),
        (
            account("metadata: {role: a}"),
            "`metadata`: the key `account` is missing",
        ),
        (
            account("metadata: {account: prod, role: 'a?b'}"),
            "`role` must be visible ASCII",
        ),
        (
            account("metadata: {account: prod, role: a, lifetime: 0s}"),
            "`metadata`: `lifetime` is zero",
        ),
        (
            account("sts: {lifetime: 0s}"),
            "line 5: `sts`: `lifetime` is zero",
        ),
        (
            account("sts: {timeline: [{at: 1s, set: {}}]}"),
            "`sts`: the step at 1s changes an account",
        ),
        (
            account("metadata: {timeline: [{at: 1s, revoke: true}]}"),
            "`metadata`: the step at 1s changes an account",
        ),
        (
            account("sts: {timeline: [{at: 1s, rotate: {secret_key: hunter2}}]}"),
            "`sts`: the step at 1s changes an account",
        ),
    ] {
        let message = message(&yaml);
        assert!(
            message.contains(expected),
            "{yaml}\n=> {message}\nnot: {expected}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn secrets_of_roles_and_rotations_are_in_no_message() {
    for yaml in [
        account("    role: hunter2"),
        account("    role: {arn: hunter2}"),
        account("    role:\n      external_id:hunter2"),
        account("    role: {arn: a, external_id: [hunter2]}"),
        account("    role: {arn: a, external_id: *hunter2}"),
        account("    web_identity: {provider: a, token: [hunter2]}"),
        account("    timeline: [{at: 1s, rotate: hunter2}]"),
        account("    timeline: [{at: 1s, rotate: {secret_key:hunter2}}]"),
        account("    timeline: [{at: 1s, rotate: {secret_key: {hunter2: 1}}}]"),
    ] {
        assert!(message(&yaml).len() > 10, "{yaml}");
    }
    let rest = format!(
        "    {}\n    web_identity: {{provider: tke, token: hunter2}}\n    \
         timeline: [{{at: 1s, rotate: {{secret_key: hunter2}}}}]",
        ROLE.replace('}', ", external_id: hunter2}")
    );
    let shown = format!("{:?}", parse(&account(&rest)).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}
