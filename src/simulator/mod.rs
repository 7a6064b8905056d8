//! A simulator of the CWP API, the security token service and instance metadata, on loopback.
//!
//! The simulator verifies what the real services verify, refuses with the same codes, and
//! answers by a [`Scenario`]: figures that change, keys that are rotated, expire or are
//! revoked, errors, cut and hanging connections. All three services have one address:
//! a request's version and path say which service it is for.
//! The commands `simulate` and `demo` and the end-to-end tests use it.
//!
//! A request that is authentic, permitted and within the rate limit gets the scenario's
//! answer; any other request is refused.

mod action;
mod answer;
mod cloud_state;
mod connection;
mod handle;
mod headers;
mod key;
mod log;
mod metadata;
mod rate;
mod refusal;
mod relative_time;
mod reply;
mod response_script;
mod scenario;
mod script;
mod state;
mod sts;
mod temporary;
mod tenants;
mod timeline;
mod verify;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub use self::answer::{Answer, AnswerFields, documented_example};
pub use self::handle::{Handle, UnknownAccount};
pub use self::log::Received;
pub use self::scenario::{Scenario, SimulatedAccount};
use self::state::SimulatorState;
use crate::system::clock::Clock;
use crate::system::log_limit::{LogLimit, hidden};

/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The simulated API, bound to its address but not yet serving.
pub struct Simulator {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<SimulatorState>,
}

impl Simulator {
    /// Binds to a loopback address; port 0 takes any free port.
    ///
    /// `clock` is the API's: it is compared with timestamps and sent in `Date` headers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an address other than loopback: others must not read a
    /// scenario's answers. Otherwise the error of binding.
    pub async fn bind(address: SocketAddr, scenario: Scenario, clock: Clock) -> io::Result<Self> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the simulated API listens on loopback only, not on {address}: \
                     use 127.0.0.1 or [::1]"
                ),
            ));
        }
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            state: Arc::new(SimulatorState::new(scenario, clock)),
        })
    }

    /// The address it is bound to, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A handle to control and observe it with.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            state: Arc::clone(&self.state),
        }
    }

    /// Serves until `shutdown`; the scenario's time begins now.
    ///
    /// It then ends at once: connections that are still open are cut off.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            address,
            state,
        } = self;
        tracing::info!(url = %format_args!("http://{address}"), "simulating the CWP API");
        state.start(Instant::now());
        let mut connections = JoinSet::new();
        let log_limit = LogLimit::minute();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        state.connections.fetch_add(1, Ordering::Relaxed);
                        connections.spawn(connection::serve(stream, Arc::clone(&state)));
                    }
                    Err(error) => {
                        if let Some(count) = log_limit.admit() {
                            tracing::warn!(%error, hidden = hidden(count), "cannot accept a connection: the simulator tries again");
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::warn!(error = %error, "a connection's task panicked; please report this");
                    }
                }
            }
        }
        drop(listener);
        connections.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
