//! Requests to the token service.

use super::*;

/// Turns a sample into a good request to the token service.
fn ask_for_role(s: &mut Sample) {
    s.set("x-tc-action", "AssumeRole");
    s.set("x-tc-version", "2018-08-13");
    s.set("x-tc-region", "ap-guangzhou");
    s.body = br#"{"RoleArn":"qcs::cam::uin/1:roleName/a","RoleSessionName":"me"}"#.to_vec();
    s.sign(&["content-type", "host"], "sts", str::to_owned);
}

#[test]
fn token_service_has_its_own_scope_version_region_and_permission() {
    assert_eq!(tampered(ask_for_role), "ok");
    let cwp = tampered(|s| {
        ask_for_role(s);
        s.sign(&["content-type", "host"], "cwp", str::to_owned);
    });
    assert_eq!(cwp, "AuthFailure.InvalidAuthorization");
    let version = tampered(|s| {
        ask_for_role(s);
        s.set("x-tc-version", "2018-02-28");
    });
    assert_eq!(version, "NoSuchVersion");
    let region = tampered(|s| {
        ask_for_role(s);
        s.headers.remove("x-tc-region");
    });
    assert_eq!(region, "MissingParameter");
    for (allow, expected) in [
        ("cwp:*", "AuthFailure.UnauthorizedOperation"),
        ("sts:AssumeRole", "ok"),
    ] {
        let verdict = tampered(|s| {
            ask_for_role(s);
            s.claim = s.claim.take().map(|claim| claim.allowing(&[allow]));
        });
        assert_eq!(verdict, expected, "{allow}");
    }
}

#[test]
fn web_identity_takes_no_signature_but_the_rest_of_the_rules() {
    let unsigned = |s: &mut Sample| {
        ask_for_role(s);
        s.set("x-tc-action", "AssumeRoleWithWebIdentity");
        s.set("authorization", "SKIP");
        s.body = br#"{"RoleArn":"qcs::cam::uin/1:roleName/a","RoleSessionName":"me",
            "ProviderId":"tke","WebIdentityToken":"t"}"#
            .to_vec();
        s.claim = None;
    };
    assert_eq!(tampered(unsigned), "ok");
    for (name, value, expected) in [
        ("authorization", "skip", "AuthFailure.InvalidAuthorization"),
        ("authorization", "", "MissingParameter"),
        ("x-tc-timestamp", "1", "AuthFailure.SignatureExpire"),
        ("x-tc-region", "", "MissingParameter"),
        ("x-tc-version", "2018-02-28", "NoSuchVersion"),
        (
            "x-tc-action",
            "AssumeRole",
            "AuthFailure.InvalidAuthorization",
        ),
    ] {
        let verdict = tampered(|s| {
            unsigned(s);
            s.set(name, value);
        });
        assert_eq!(verdict, expected, "{name}: {value}");
    }
}
