//! The signals that ask the process to stop or to reload.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment this is made.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    ///
    /// When the system refuses to hand them over.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns when one of them has come.
    pub async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP, which asks for a reload; without this it would end the process.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Catches the signal from now on.
    ///
    /// # Errors
    ///
    /// When the system refuses to hand it over.
    pub fn catch() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Returns when it has come once more.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime is about to end, and no more will come.
            std::future::pending::<()>().await;
        }
    }
}
