//! The log: one event a line on standard error, as logfmt or JSON, with the same
//! keys in both: `time`, `level`, `msg`, then the event's own fields.

#[cfg(test)]
pub(crate) mod fixture;

use std::fmt;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::system::clock::Clock;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// From which level on events are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Threshold {
    Debug,
    Info,
    Warn,
    Error,
}

/// Logs to standard error from now on, panics included.
pub fn init(format: LogFormat, threshold: Threshold, clock: Clock) {
    let level = match threshold {
        Threshold::Debug => LevelFilter::DEBUG,
        Threshold::Info => LevelFilter::INFO,
        Threshold::Warn => LevelFilter::WARN,
        Threshold::Error => LevelFilter::ERROR,
    };
    // The libraries' own events are for their developers.
    let ours = Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_default(LevelFilter::WARN.min(level));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(LogLines { format, clock })
        .with_writer(std::io::stderr)
        // Complaining about a closed standard error on standard error would panic.
        .log_internal_errors(false);
    let subscriber = tracing_subscriber::registry().with(ours).with(lines);
    // A second call, from a test, leaves the first in place.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(location, error = message, "the exporter panicked");
    }));
}

struct LogLines {
    format: LogFormat,
    clock: Clock,
}

impl<S, N> FormatEvent<S, N> for LogLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let head = [
            ("time", Value::from(format!("{:.3}", self.clock.now()))),
            ("level", level(*event.metadata().level()).into()),
            ("msg", fields.message.into()),
        ];
        let all = head.into_iter().chain(fields.others);
        match self.format {
            LogFormat::Logfmt => logfmt(&mut writer, all)?,
            LogFormat::Json => json(&mut writer, all)?,
        }
        writeln!(writer)
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

fn logfmt(
    writer: &mut Writer<'_>,
    fields: impl Iterator<Item = (&'static str, Value)>,
) -> fmt::Result {
    for (position, (name, value)) in fields.enumerate() {
        if position > 0 {
            writer.write_char(' ')?;
        }
        match value {
            Value::String(text) if is_plain(&text) => write!(writer, "{name}={text}")?,
            Value::String(text) => write!(writer, "{name}={}", Value::String(text))?,
            value => write!(writer, "{name}={value}")?,
        }
    }
    Ok(())
}

/// Written by hand because a map would sort the keys.
fn json(
    writer: &mut Writer<'_>,
    fields: impl Iterator<Item = (&'static str, Value)>,
) -> fmt::Result {
    for (position, (name, value)) in fields.enumerate() {
        let separator = if position == 0 { '{' } else { ',' };
        write!(writer, "{separator}{}:{value}", Value::from(name))?;
    }
    writer.write_char('}')
}

/// Whether a value needs no quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|char| {
            char > ' ' && char != '"' && char != '=' && char != '\\' && !char.is_control()
        })
}

/// The fields of an event, in their order.
#[derive(Default)]
struct EventFields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl EventFields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;
    use std::sync::Arc;

    use super::*;

    /// The line that `log` writes in `format`, at a fixed time.
    fn line(format: LogFormat, log: impl FnOnce()) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let clock = Clock::new(|| "2026-11-23T12:00:00.25Z".parse().unwrap());
        let subscriber = tracing_subscriber::registry().with(
            tracing_subscriber::fmt::layer()
                .event_format(LogLines { format, clock })
                .with_writer(Arc::new(file.try_clone().unwrap())),
        );
        tracing::subscriber::with_default(subscriber, log);
        file.rewind().unwrap();
        std::io::read_to_string(file).unwrap()
    }

    fn log_a_failure() {
        let code: Option<&str> = None;
        tracing::warn!(
            account = "prod \"eu\"\n",
            reason = "timeout",
            code,
            failures = 3,
            "collection failed"
        );
    }

    #[test]
    fn logfmt_quotes_what_needs_it_and_stays_on_one_line() {
        assert_eq!(
            line(LogFormat::Logfmt, log_a_failure),
            "time=2026-11-23T12:00:00.250Z level=warn msg=\"collection failed\" \
             account=\"prod \\\"eu\\\"\\n\" reason=timeout failures=3\n"
        );
    }

    #[test]
    fn json_has_the_same_keys_in_the_same_order() {
        assert_eq!(
            line(LogFormat::Json, log_a_failure),
            "{\"time\":\"2026-11-23T12:00:00.250Z\",\"level\":\"warn\",\
             \"msg\":\"collection failed\",\"account\":\"prod \\\"eu\\\"\\n\",\
             \"reason\":\"timeout\",\"failures\":3}\n"
        );
    }
}
