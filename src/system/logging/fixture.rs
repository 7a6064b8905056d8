//! The log of a test.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// What this thread logs from info on while this is there.
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

/// Lets a test see what it logs whatever other tests log. While there is one subscriber
/// alone, tracing asks that of the thread which logs a line first whether anybody wants the
/// line, and remembers the answer for all threads: so there is always another.
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
