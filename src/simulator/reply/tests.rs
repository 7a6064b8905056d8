use super::*;

fn envelope() -> ReplyEnvelope {
    ReplyEnvelope {
        request_id: "id-1".to_owned(),
        date: Timestamp::from_second(1_717_200_000).unwrap(),
    }
}

fn content() -> ReplyContent {
    let mut fields = AnswerFields::new();
    fields.insert("LicenseCnt".to_owned(), Value::from(5));
    ReplyContent::Fields(Arc::new(fields))
}

fn metadata() -> ReplyContent {
    ReplyContent::Plain(StatusCode::OK, r#"{"Code":"Success"}"#.to_owned())
}

async fn respond(answer: &Answer) -> (http::response::Parts, Bytes) {
    respond_with(answer, &content()).await
}

async fn respond_with(answer: &Answer, content: &ReplyContent) -> (http::response::Parts, Bytes) {
    match envelope().reply(answer, content) {
        (_, ConnectionReply::Respond(response)) => {
            let (parts, body) = response.into_parts();
            (parts, body.collect().await.unwrap().to_bytes())
        }
        other => panic!("no response: {other:?}"),
    }
}

#[tokio::test]
async fn good_answer_has_fields_date_and_request_id() {
    let (parts, body) = respond(&Answer::Ok).await;
    assert_eq!(parts.status, 200);
    assert_eq!(parts.headers["date"], "Sat, 01 Jun 2024 00:00:00 GMT");
    assert_eq!(parts.headers["content-type"], "application/json");
    assert_eq!(body, r#"{"Response":{"LicenseCnt":5,"RequestId":"id-1"}}"#);
}

#[tokio::test]
async fn given_fields_replace_the_timelines() {
    let (_, body) = respond(&Answer::Fields(AnswerFields::new())).await;
    assert_eq!(body, r#"{"Response":{"RequestId":"id-1"}}"#);
}

#[tokio::test]
async fn errors_come_in_both_shapes() {
    let error = Answer::Error {
        code: "InternalError".to_owned(),
        message: "Sorry.".to_owned(),
    };
    assert_eq!(
        respond(&error).await.1,
        r#"{"Response":{"Error":{"Code":"InternalError","Message":"Sorry."},"RequestId":"id-1"}}"#
    );
    let legacy = Answer::LegacyError {
        code: 4000,
        message: "Sorry.".to_owned(),
        code_desc: "InvalidParameter".to_owned(),
    };
    assert_eq!(
        respond(&legacy).await.1,
        r#"{"code":4000,"codeDesc":"InvalidParameter","message":"Sorry."}"#
    );
}

#[tokio::test]
async fn oversized_answer_is_valid_and_of_the_size_asked_for() {
    for size in [1_000, 64 * 1024, 1_000_000] {
        let (_, body) = respond(&Answer::Oversized(size)).await;
        assert_eq!(body.len(), usize::try_from(size).unwrap());
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["Response"]["LicenseCnt"], 5);
    }
    let (_, body) = respond(&Answer::Oversized(0)).await;
    assert!(serde_json::from_slice::<Value>(&body).is_ok());
}

#[tokio::test]
async fn nested_answer_is_balanced() {
    let (_, body) = respond(&Answer::Nested(3)).await;
    assert_eq!(
        body,
        r#"{"Response":{"LicenseCnt":[[[]]],"RequestId":"id-1"}}"#
    );
    let (_, body) = respond(&Answer::Nested(20_000)).await;
    assert!(serde_json::from_slice::<Value>(&body).is_err());
}

#[tokio::test]
async fn gateways_answer_keeps_status_and_headers() {
    let (parts, body) = respond(&Answer::Http {
        status: StatusCode::FOUND,
        body: "<html>".to_owned(),
        content_type: None,
        location: Some("/elsewhere".to_owned()),
    })
    .await;
    assert_eq!(parts.status, 302);
    assert_eq!(parts.headers["content-type"], "text/html");
    assert_eq!(parts.headers["location"], "/elsewhere");
    assert_eq!(body, "<html>");
}

#[test]
fn cut_answer_is_never_whole() {
    for (bytes, body) in [
        (0, ""),
        (13, r#"{"Response":{"#),
        (9_999, r#"{"Response":{"LicenseCnt":5,"RequestId":"id-1"}"#),
    ] {
        let (_, reply) = envelope().reply(&Answer::Cut(bytes), &content());
        let ConnectionReply::Interrupt(Interruption::Break(raw)) = reply else {
            panic!("not cut");
        };
        let raw = String::from_utf8(raw.to_vec()).unwrap();
        assert!(raw.contains("content-length: 48\r\n"), "{raw}");
        assert_eq!(raw.split_once("\r\n\r\n").unwrap().1, body);
    }
}

#[test]
fn delays_add_up() {
    let second = Duration::from_secs(1);
    let answer = Answer::Delayed(second, Box::new(Answer::Hang));
    let answer = Answer::Delayed(second, Box::new(answer));
    let (delay, reply) = envelope().reply(&answer, &content());
    assert_eq!(delay, 2 * second);
    assert!(matches!(reply, ConnectionReply::Hang));
}

#[tokio::test]
async fn request_id_of_a_scenario_is_kept() {
    let mut fields = AnswerFields::new();
    fields.insert("RequestId".to_owned(), Value::Null);
    let (_, body) = respond(&Answer::Fields(fields)).await;
    assert_eq!(body, r#"{"Response":{"RequestId":null}}"#);
}

#[tokio::test]
async fn metadata_is_answered_as_it_is_and_without_an_envelope() {
    let (parts, body) = respond_with(&Answer::Ok, &metadata()).await;
    assert_eq!(parts.headers["content-type"], "text/plain");
    assert_eq!(body, r#"{"Code":"Success"}"#);
    let error = Answer::Error {
        code: "Failed".to_owned(),
        message: "Sorry.".to_owned(),
    };
    let (_, body) = respond_with(&error, &metadata()).await;
    assert_eq!(body, r#"{"Code":"Failed","Message":"Sorry."}"#);
    let (_, body) = respond_with(&Answer::Oversized(1_000), &metadata()).await;
    assert_eq!(body.len(), 1_000);
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap()["Code"],
        "Success"
    );
    let nothing = ReplyContent::Plain(StatusCode::NOT_FOUND, String::new());
    assert_eq!(respond_with(&Answer::Ok, &nothing).await.0.status, 404);
}
