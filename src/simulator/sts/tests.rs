use super::*;

const ARN: &str = "qcs::cam::uin/100000000001:roleName/CwpExporter";

fn read(action: Action, parameters: Value) -> Result<AssumeRoleRequest, &'static str> {
    let Value::Object(parameters) = parameters else {
        panic!("not an object: {parameters}");
    };
    AssumeRoleRequest::read(&action, &parameters).map_err(|refusal| refusal.code)
}

/// The verdict on AssumeRole's good parameters with one of them changed or, by null, removed.
fn changed(name: &str, value: Value) -> &'static str {
    verdict(Action::AssumeRole, name, value)
}

fn verdict(action: Action, name: &str, value: Value) -> &'static str {
    let mut parameters = json!({"RoleArn": ARN, "RoleSessionName": "cwp-exporter"});
    if action == Action::AssumeRoleWithWebIdentity {
        parameters["ProviderId"] = json!("tke");
        parameters["WebIdentityToken"] = json!("a.b.c");
    }
    if value.is_null() {
        assert!(parameters.as_object_mut().unwrap().remove(name).is_some());
    } else {
        parameters[name] = value;
    }
    read(action, parameters).map_or_else(|code| code, |_| "ok")
}

#[test]
fn every_documented_parameter_is_taken() {
    let role = read(
        Action::AssumeRole,
        json!({
            "RoleArn": ARN, "RoleSessionName": "me", "DurationSeconds": 900, "Policy": "%7B%7D",
            "ExternalId": "x", "Tags": [], "SourceIdentity": "me", "SerialNumber": "1",
            "TokenCode": "1",
        }),
    );
    let expected = AssumeRoleRequest {
        role_arn: ARN.to_owned(),
        duration: Duration::from_secs(900),
        external_id: Some("x".to_owned()),
        web_identity: None,
    };
    assert_eq!(role, Ok(expected));
    let role = read(
        Action::AssumeRoleWithWebIdentity,
        json!({
            "RoleArn": ARN, "RoleSessionName": "me", "ProviderId": "tke", "WebIdentityToken": "t",
        }),
    );
    let role = role.unwrap();
    assert_eq!(role.web_identity, Some(("tke".to_owned(), "t".to_owned())));
    assert_eq!(role.duration, Duration::from_secs(7_200));
}

#[test]
fn undocumented_parameter_is_unknown() {
    assert_eq!(changed("Durationseconds", json!(1)), "UnknownParameter");
    assert_eq!(changed("ProviderId", json!("tke")), "UnknownParameter");
    let by_web = Action::AssumeRoleWithWebIdentity;
    assert_eq!(
        verdict(by_web, "ExternalId", json!("x")),
        "UnknownParameter"
    );
}

#[test]
fn required_parameter_must_be_present() {
    for name in ["RoleArn", "RoleSessionName"] {
        assert_eq!(changed(name, Value::Null), "MissingParameter");
        assert_eq!(changed(name, json!("")), "MissingParameter");
    }
    for name in [
        "ProviderId",
        "WebIdentityToken",
        "RoleArn",
        "RoleSessionName",
    ] {
        let verdict = verdict(Action::AssumeRoleWithWebIdentity, name, Value::Null);
        assert_eq!(verdict, "MissingParameter", "{name}");
    }
}

#[test]
fn role_arn_has_a_form() {
    for (arn, expected) in [
        (ARN, "ok"),
        ("qcs::cam::uin/100000000001:role/4611686018427397919", "ok"),
        ("qcs::cam::uin/1:roleName/", "InvalidParameter.ParamError"),
        ("qcs::cam::uin/:roleName/a", "InvalidParameter.ParamError"),
        ("qcs::cam::uin/x:roleName/a", "InvalidParameter.ParamError"),
        ("qcs::cam::uin/1:user/a", "InvalidParameter.ParamError"),
        ("CwpExporter", "InvalidParameter.ParamError"),
    ] {
        assert_eq!(changed("RoleArn", json!(arn)), expected, "{arn}");
    }
    assert_eq!(changed("RoleArn", json!(1)), "InvalidParameter.ParamError");
}

#[test]
fn session_name_has_2_to_128_of_the_documented_characters() {
    for (name, expected) in [
        ("a_+=,.@-9".to_owned(), "ok"),
        ("ab".to_owned(), "ok"),
        ("a".repeat(128), "ok"),
        ("a".to_owned(), "InvalidParameter.ParamError"),
        ("a".repeat(129), "InvalidParameter.ParamError"),
        ("a b".to_owned(), "InvalidParameter.ParamError"),
        ("a/b".to_owned(), "InvalidParameter.ParamError"),
    ] {
        assert_eq!(changed("RoleSessionName", json!(name)), expected, "{name}");
    }
}

#[test]
fn duration_is_at_most_twelve_hours() {
    for (duration, expected) in [
        (json!(1), "ok"),
        (json!(43_200), "ok"),
        (json!(43_201), "InvalidParameter.OverTimeError"),
        (json!(0), "InvalidParameter.ParamError"),
        (json!(-1), "InvalidParameter.ParamError"),
        (json!(1.5), "InvalidParameter.ParamError"),
        (json!("7200"), "InvalidParameter.ParamError"),
    ] {
        assert_eq!(
            changed("DurationSeconds", duration.clone()),
            expected,
            "{duration}"
        );
    }
}
