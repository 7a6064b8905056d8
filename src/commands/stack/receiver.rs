//! The webhook receiver of the demo's Alertmanager.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// The largest notification, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// One message of Alertmanager to one receiver (webhook, version 4).
#[derive(Debug, Deserialize)]
pub struct Notification {
    receiver: String,
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A line for each alert.
impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for alert in &self.alerts {
            write!(f, "Notified {}: {}", self.receiver, alert.status)?;
            for name in ["severity", "alertname"] {
                if let Some(value) = alert.labels.get(name) {
                    write!(f, " {value}")?;
                }
            }
            if let Some(description) = alert.annotations.get("description") {
                write!(f, ": {description}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Sends the notifications that are posted to `listener` to `notifications`.
pub async fn receive(listener: TcpListener, notifications: mpsc::Sender<Notification>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept notifications any more");
                return;
            }
        };
        let notifications = notifications.clone();
        let service = service_fn(move |request| {
            let notifications = notifications.clone();
            async move { Ok::<_, Infallible>(take(request, &notifications).await) }
        });
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                debug!(%error, "a notification's connection ended early");
            }
        });
    }
}

async fn take(
    request: Request<Incoming>,
    notifications: &mpsc::Sender<Notification>,
) -> Response<Empty<Bytes>> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let notification = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    let status = match notification {
        Some(notification) => match notifications.send(notification).await {
            Ok(()) => StatusCode::OK,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        },
        None => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_reads_as_a_line_for_each_alert() {
        let notification: Notification = serde_json::from_str(
            r#"{"version": "4", "receiver": "tickets", "status": "firing", "alerts": [
                {"status": "firing", "labels": {"alertname": "NearExpiry", "severity": "warning", "job": "x"},
                 "annotations": {"summary": "Licences expire.", "description": "Account prod has 4."}},
                {"status": "resolved", "labels": {"alertname": "Down"}}
            ]}"#,
        )
        .unwrap();
        assert_eq!(
            notification.to_string(),
            "Notified tickets: firing warning NearExpiry: Account prod has 4.\n\
             Notified tickets: resolved Down\n"
        );
    }
}
