//! The log of a test.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// The lines that this thread logs, at the level info or above, while this value exists.
pub(crate) struct CapturedLog {
    lines: CapturedLines,
    _guard: DefaultGuard,
}

/// Where a subscriber writes to.
#[derive(Clone, Default)]
struct CapturedLines(Arc<Mutex<Vec<u8>>>);

impl Write for CapturedLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the log of a test independent of other tests. With a single subscriber, tracing asks
/// the subscriber of the first thread that logs a line whether the line is wanted, and
/// remembers the answer for all threads. So there is always a second subscriber.
pub(crate) fn not_the_only_subscriber() {
    static OTHER: LazyLock<Dispatch> =
        LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&OTHER);
}

impl CapturedLog {
    pub(crate) fn start() -> Self {
        not_the_only_subscriber();
        let lines = CapturedLines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        Self { lines, _guard }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}
