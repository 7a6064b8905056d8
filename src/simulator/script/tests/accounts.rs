//! Roles, many accounts at once, and the services that hand out keys.

use super::*;

const ROLE: &str = "role: {arn: \"qcs::cam::uin/1:roleName/a\"}";

#[test]
fn services_have_the_real_limits_by_default() {
    let scenario = parse(&account("")).unwrap();
    assert_eq!(scenario.sts.rate_limit, 600);
    assert_eq!(scenario.sts.lifetime, Duration::MAX);
    assert!(scenario.metadata.binding.is_none());
    let yaml = account(&format!(
        "    {ROLE}\nmetadata: {{account: prod, timeline: [{{at: 5s, hang: true}}]}}\n\
         sts: {{lifetime: 5s, rate_limit: 7, timeline: [{{at: 1s, reset: true}}]}}"
    ));
    let scenario = parse(&yaml).unwrap();
    assert_eq!(scenario.sts.rate_limit, 7);
    assert_eq!(scenario.sts.lifetime, Duration::from_secs(5));
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
    let last = scenario.accounts.last().unwrap();
    assert_eq!(last.account.name(), "a9999");
    assert_eq!(last.account.secret_id(), "AKIDa9999");
    assert_eq!(last.account.secret_key(), "key-a9999");
    assert_eq!(last.rotations.first().unwrap().1.secret_id, "AKIDa9999");
    assert_eq!(last.rotations.first().unwrap().1.secret_key, "new-9999");
    let role = last.account.role.as_ref().unwrap();
    assert_eq!(role.arn, "qcs::cam::uin/19999:roleName/R");
    assert_eq!(role.trusts.as_ref().unwrap(), &["ops", "a9999"]);
    assert_eq!(role.web_identity.as_ref().unwrap().1, "t9999");
    let first = scenario.accounts.get(1).unwrap();
    assert!(Arc::ptr_eq(&first.timeline, &last.timeline));
}

#[test]
fn number_is_not_replaced_in_a_single_account() {
    let scenario = parse("accounts: [{name: 'a{n}', secret_id: b, secret_key: c}]").unwrap();
    assert_eq!(scenario.accounts().next().unwrap().name(), "a{n}");
}

#[test]
fn mistakes_in_roles_services_and_numbers_are_reported_with_line_and_remedy() {
    let step = |step: &str| account(&format!("    timeline:\n      - {{{step}}}\n"));
    let many = |rest: &str| format!("accounts:\n  - {{{rest}}}");
    for (yaml, expected) in [
        (
            account("    role: {arn: CwpExporter}"),
            "line 5: accounts[0].role.arn: not the ARN of a role; write `qcs::cam::uin/100000000001:roleName/CwpExporter` or `qcs::cam::uin/100000000001:role/4611686018427397919`",
        ),
        (
            account("    role: {arm: x}"),
            "line 5: accounts[0].role.arm: unknown key; did you mean `arn`?\nline 5: accounts[0].role.arn: missing; add the key",
        ),
        (
            account(&format!(
                "    {}",
                ROLE.replace('}', ", trusts: [prod, ops]}")
            )),
            "line 2: accounts[0].role.trusts: `ops` is not an account of this scenario; use the names of accounts",
        ),
        (
            account("    web_identity: {provider: tke, token: hunter2}"),
            "line 2: accounts[0].role: missing; add the role that `web_identity` may assume",
        ),
        (
            account(&format!(
                "    {ROLE}\n    web_identity: {{provider: '', token: hunter2}}"
            )),
            "line 6: accounts[0].web_identity.provider: the text is empty; write any text, such as `demo`",
        ),
        (
            account(&format!("    {ROLE}\n  - {{name: b, {ROLE}}}")),
            "line 6: accounts[1].role.arn: the same as that of accounts[0] at scenario:2; give each account its own",
        ),
        (
            many("name: a, secret_key: hunter2"),
            "line 2: accounts[0].secret_id: missing; add the key",
        ),
        (
            many("name: a, secret_id: b"),
            "line 2: accounts[0].secret_key: missing; add the key",
        ),
        (
            many(&format!("name: a, token: hunter2, {ROLE}")),
            "line 2: accounts[0].secret_id: missing; add `secret_id` and `secret_key`, to which the token belongs",
        ),
        (
            step("at: 1s, rotate: {secret_key: ''}"),
            "line 6: accounts[0].timeline[0].rotate.secret_key: the text is empty; write any text, such as `demo`",
        ),
        (
            step("at: 1s, rotate: {token: hunter2}"),
            "line 6: accounts[0].timeline[0].rotate.secret_key: missing; add the key",
        ),
        (
            step("at: 1s, rotate: {secret_id: a/b, secret_key: hunter2}"),
            "line 6: accounts[0].timeline[0].rotate.secret_id: not a secret id; write visible ASCII without `/` and `,`",
        ),
        (
            step("at: 1s, rotate: {secret_key: hunter2, token: ''}"),
            "line 6: accounts[0].timeline[0].rotate.token: not a token; write visible ASCII, or remove the key for a permanent key",
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
            "line 3: accounts[1].secret_id: the same as that of accounts[0] at scenario:2; give each account its own",
        ),
        (
            step("at: 1s, revoke: false"),
            "line 6: accounts[0].timeline[0].revoke: `false` means nothing here; write `true`, or remove the key",
        ),
        (
            many("count: 2, name: a, secret_id: 'b{n}', secret_key: hunter2"),
            "line 2: accounts[0].name: the same for all `count` accounts; write `{n}` where the number goes",
        ),
        (
            many("count: 2, name: 'a{n}', secret_id: b, secret_key: hunter2"),
            "line 2: accounts[0].secret_id: the same for all `count` accounts; write `{n}` where the number goes",
        ),
        (
            many(&format!("count: 2, name: 'a{{n}}', {ROLE}")),
            "line 2: accounts[0].role.arn: the same for all `count` accounts; write `{n}` where the number goes",
        ),
        (
            many(
                "count: 2, name: 'a{n}', secret_id: '{n}', secret_key: c, \
                 timeline: [{at: 1s, rotate: {secret_id: d, secret_key: hunter2}}]",
            ),
            "line 2: accounts[0].timeline[0].rotate: `secret_id` is the same for all `count` accounts; write `{n}` where the number goes",
        ),
        (
            many("count: 0, name: 'a{n}', secret_id: '{n}', secret_key: c"),
            "line 2: accounts[0].count: 0 is out of range; write a whole number from 1 to 100000",
        ),
        (
            many("count: 100001, name: 'a{n}', secret_id: '{n}', secret_key: c"),
            "line 2: accounts[0].count: 100001 is out of range; write a whole number from 1 to 100000",
        ),
        (
            account("metadata: {account: stage}"),
            "line 5: metadata.account: the scenario has no account `stage`; use the name of an account",
        ),
        (
            account("metadata: {account: prod}"),
            "line 5: metadata.role: missing; add the role's name, or give the account a `roleName/` ARN",
        ),
        (
            account("metadata: {role: a}"),
            "line 5: metadata.account: missing; add the name of the account that has the role",
        ),
        (
            account("metadata: {account: prod, role: 'a?b'}"),
            "line 5: metadata.role: not the name of a role; write visible ASCII without `?`, `#` and `%`",
        ),
        (
            account("metadata: {account: prod, role: a, lifetime: 0s}"),
            "line 5: metadata.lifetime: 0s is too short; write at least `1ms`",
        ),
        (
            account("sts: {lifetime: 0s}"),
            "line 5: sts.lifetime: 0s is too short; write at least `1ms`",
        ),
        (
            account("sts: {timeline: [{at: 1s, set: {}}]}"),
            "line 5: sts.timeline[0]: the step changes an account; write `set`, `unset`, `orders`, `remove_orders`, `between_pages`, `action`, `rotate` and `revoke` in the timelines of accounts",
        ),
        (
            account("metadata: {timeline: [{at: 1s, revoke: true}]}"),
            "line 5: metadata.timeline[0]: the step changes an account; write `set`, `unset`, `orders`, `remove_orders`, `between_pages`, `action`, `rotate` and `revoke` in the timelines of accounts",
        ),
        (
            account("sts: {timeline: [{at: 1s, rotate: {secret_key: hunter2}}]}"),
            "line 5: sts.timeline[0]: the step changes an account; write `set`, `unset`, `orders`, `remove_orders`, `between_pages`, `action`, `rotate` and `revoke` in the timelines of accounts",
        ),
    ] {
        let message = message(&yaml);
        assert!(
            message.contains(expected),
            "{yaml}\n=> {message}\nnot: {expected}"
        );
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
