//! Bodies of scrapes, rendered and compressed at most once per change for any number of
//! scrapers, and never while nobody scrapes.
//!
//! A body has two parts, which are joined where they are small. The accounts' part is cached
//! until a snapshot changes or a value expires. The live part is rendered together with the
//! accounts' part, and again once it is `LIVE_MAX_AGE` old.
//!
//! Up to `INLINE_ACCOUNTS` accounts, a scrape that finds a change renders at once. Beyond
//! that, a task renders in the background while scrapes come, and a scrape gets the cached
//! part unless it lags more than `MAX_LAG` behind the snapshots.

#[cfg(test)]
mod tests;

use std::io::{self, Read as _};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::{Buf as _, Bytes};
use flate2::bufread::GzDecoder;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::error;

use super::gzip::{Compressor, Start};
use crate::exposition::{Exposition, Format};
use crate::server::answers::{AnswerLimits, AnswerPermit, LimitReached};
use crate::server::body::{Body, holding};
use crate::system::clock::TimePoint;

/// How long a live part is used while no snapshot changes.
const LIVE_MAX_AGE: Duration = Duration::from_millis(10);

/// The most accounts that a scrape renders on the serving thread, in about 1 ms.
const INLINE_ACCOUNTS: usize = 100;

/// The most accounts whose plain text is cached: about 5 MB. Beyond that only the compressed
/// text is cached, a tenth of the size, and clients that want plain text get it decompressed
/// while it is sent. Slow clients would hold too much memory otherwise.
const TEXT_ACCOUNTS: usize = 2_000;

/// The bytes of plain text that are decompressed at a time.
const PIECE: usize = 32 * 1024;

/// The memory that decompression takes while a body is sent, in bytes: a piece, and the
/// decoder with its window.
const DECOMPRESSING: usize = PIECE + 48 * 1024;

/// The estimated bytes per account before the first rendering.
const BYTES_EACH: usize = 512;

/// The longest body whose parts are joined, in bytes. Sent apart, the parts of 100 accounts in
/// gzip take 17 µs of processor time a scrape instead of 11, as each takes a system call; the
/// copy of a longer body would cost more than that.
const JOINED: usize = 256 * 1024;

/// How far a scrape of many accounts may lag behind the snapshots.
const MAX_LAG: Duration = Duration::from_secs(1);

/// The interval of the background rendering, which leaves 300 ms to render before the cached
/// part exceeds [`MAX_LAG`].
const PRERENDER_INTERVAL: Duration = Duration::from_millis(700);

/// How long the background rendering continues after a scrape. Clients that scrape less often
/// wait for the rendering.
const PRERENDER_FOR: Duration = Duration::from_secs(35);

/// The bodies of `/metrics`.
pub struct Bodies {
    exposition: Arc<Exposition>,
    limits: Arc<AnswerLimits>,
    /// Plain and compressed.
    text: [Arc<CachedBody>; 2],
    openmetrics: [Arc<CachedBody>; 2],
}

/// The body in one format and compression.
struct CachedBody {
    exposition: Arc<Exposition>,
    limits: Arc<AnswerLimits>,
    format: Format,
    gzip: bool,
    accounts: ArcSwapOption<AccountsPart>,
    full: ArcSwapOption<FullBody>,
    /// Held while the part is rendered, for other scrapes to wait for.
    rendering_accounts: Mutex<()>,
    rendering_live: Mutex<()>,
    /// When the last scrape came, while a task renders in the background.
    last_scrape: parking_lot::Mutex<Option<Instant>>,
}

/// The accounts' part as of one instant.
#[derive(Debug)]
struct AccountsPart {
    revision: u64,
    at: TimePoint,
    /// The same instant by tokio's clock.
    instant: Instant,
    /// How long after that instant none of its values has expired.
    fresh_for: Duration,
    /// The text. It holds its memory permit until the cache and all sends have dropped it.
    bytes: Bytes,
    /// The state with which the compressed text is continued.
    compressed: Option<Start>,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoBody {
    /// The rendering failed.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// A limit is reached.
    #[error(transparent)]
    Refused(#[from] LimitReached),
}

/// Both parts.
#[derive(Debug)]
struct FullBody {
    accounts: Arc<AccountsPart>,
    /// The two parts, or both joined and nothing.
    pieces: [Bytes; 2],
    /// When a value expires or the live part is too old.
    fresh_until: Instant,
    /// Until when it may lag behind the snapshots.
    may_lag_until: Instant,
}

/// The bytes of a body that is not cached.
pub(super) fn once(text: Vec<u8>, gzip: bool) -> io::Result<Bytes> {
    if !gzip {
        return Ok(text.into());
    }
    let (bytes, start) = Compressor::new().finish()?;
    Ok([bytes, start.end(&text)?].concat().into())
}

impl Bodies {
    /// Bodies of `exposition`, none of them rendered yet, for at most `scrapes` concurrent
    /// scrapes; 0 is no limit.
    #[must_use]
    pub fn new(exposition: Exposition, scrapes: usize) -> Self {
        let exposition = Arc::new(exposition);
        let limits = Arc::new(AnswerLimits::new(scrapes));
        let cached = |format, gzip| {
            Arc::new(CachedBody {
                exposition: Arc::clone(&exposition),
                limits: Arc::clone(&limits),
                format,
                gzip,
                accounts: ArcSwapOption::empty(),
                full: ArcSwapOption::empty(),
                rendering_accounts: Mutex::default(),
                rendering_live: Mutex::default(),
                last_scrape: parking_lot::Mutex::default(),
            })
        };
        let by_gzip = |format| [false, true].map(|gzip| cached(format, gzip));
        Self {
            text: by_gzip(Format::Text),
            openmetrics: by_gzip(Format::OpenMetrics),
            limits,
            exposition,
        }
    }

    /// The exposition that is rendered.
    #[must_use]
    pub fn exposition(&self) -> &Exposition {
        &self.exposition
    }

    /// The limits of the answers in progress.
    pub(in crate::server) fn limits(&self) -> &Arc<AnswerLimits> {
        &self.limits
    }

    /// The cached body in this format, compressed or not, if it is current at `now`.
    pub(super) fn cached(&self, format: Format, gzip: bool, now: Instant) -> Option<Body> {
        self.of(format, gzip).cached(now).map(Body::pieces)
    }

    /// The body of a scrape in this format, compressed or not.
    pub(super) async fn body(&self, format: Format, gzip: bool) -> Result<Body, NoBody> {
        let accounts = self.exposition.account_count();
        let decompressed = !gzip && accounts > TEXT_ACCOUNTS;
        let body = self.of(format, gzip || decompressed);
        let pieces = match body.cached(Instant::now()) {
            Some(pieces) => pieces,
            None => {
                if accounts > INLINE_ACCOUNTS {
                    body.prerender();
                }
                body.refresh(accounts).await?.pieces.clone()
            }
        };
        if decompressed {
            let memory = self.limits.memory(DECOMPRESSING).await?;
            return Ok(Body::streamed(decompress(pieces)).holding(memory));
        }
        Ok(Body::pieces(pieces))
    }

    fn of(&self, format: Format, gzip: bool) -> &Arc<CachedBody> {
        let [plain, compressed] = match format {
            Format::Text => &self.text,
            Format::OpenMetrics => &self.openmetrics,
        };
        if gzip { compressed } else { plain }
    }
}

impl CachedBody {
    /// The cached pieces, if they are current.
    fn cached(&self, now: Instant) -> Option<[Bytes; 2]> {
        let full = self.full.load();
        let full = full.as_ref()?;
        let is_close =
            full.accounts.revision == self.exposition.revision() || now < full.may_lag_until;
        (is_close && now < full.fresh_until).then(|| full.pieces.clone())
    }

    /// Both parts after the outdated ones are rendered.
    async fn refresh(&self, count: usize) -> Result<Arc<FullBody>, NoBody> {
        let many = count > INLINE_ACCOUNTS;
        let accounts = match self.accounts.load_full() {
            Some(accounts) if many && self.is_close(&accounts) => accounts,
            Some(accounts) if self.is_current(&accounts) => accounts,
            _ => {
                let memory = self.limits.memory(self.expected_size(count)).await?;
                self.refresh_accounts(memory, many).await?
            }
        };
        let _rendering = self.rendering_live.lock().await;
        let now = Instant::now();
        // Another scrape may have rendered while this one waited for the lock.
        if let Some(full) = &*self.full.load()
            && now < full.fresh_until
            && Arc::ptr_eq(&full.accounts, &accounts)
        {
            return Ok(Arc::clone(full));
        }
        let fresh_for = accounts.fresh_for.saturating_sub(self.age(&accounts));
        let live = self.exposition.live(self.format);
        let live = match &accounts.compressed {
            None => live,
            Some(start) => start.end(&live)?,
        };
        let full = Arc::new(FullBody {
            pieces: self.pieces(&accounts.bytes, live),
            fresh_until: now + LIVE_MAX_AGE.min(fresh_for),
            may_lag_until: accounts.instant + if many { MAX_LAG } else { Duration::ZERO },
            accounts,
        });
        self.full.store(Some(Arc::clone(&full)));
        Ok(full)
    }

    /// The parts in one piece, if they are small and there is memory for a copy, or in two.
    fn pieces(&self, accounts: &Bytes, live: Vec<u8>) -> [Bytes; 2] {
        let length = accounts.len() + live.len();
        if length <= JOINED
            && let Some(memory) = self.limits.try_memory(length)
        {
            let joined = [accounts, live.as_slice()].concat();
            return [holding(joined.into(), memory), Bytes::new()];
        }
        [accounts.clone(), live.into()]
    }

    /// The current accounts' part, rendered if it is outdated.
    async fn refresh_accounts(
        &self,
        memory: AnswerPermit,
        many: bool,
    ) -> io::Result<Arc<AccountsPart>> {
        let _rendering = self.rendering_accounts.lock().await;
        if let Some(accounts) = self.accounts.load_full()
            && self.is_current(&accounts)
        {
            return Ok(accounts);
        }
        let (exposition, format, gzip) = (Arc::clone(&self.exposition), self.format, self.gzip);
        let render = move || AccountsPart::render(&exposition, format, gzip, memory);
        let accounts = if many {
            tokio::task::spawn_blocking(render).await??
        } else {
            render()?
        };
        let accounts = Arc::new(accounts);
        self.accounts.store(Some(Arc::clone(&accounts)));
        // The full body holds the previous part, which nobody needs any more.
        self.full.store(None);
        Ok(accounts)
    }

    /// The estimated bytes of the accounts' part of `count` accounts.
    fn expected_size(&self, count: usize) -> usize {
        match &*self.accounts.load() {
            Some(accounts) => accounts.bytes.len(),
            None => count.saturating_mul(BYTES_EACH),
        }
    }

    /// Whether nothing has changed or expired since.
    fn is_current(&self, accounts: &AccountsPart) -> bool {
        accounts.revision == self.exposition.revision() && self.is_fresh(accounts)
    }

    /// Whether the part lags less than [`MAX_LAG`], and nothing has expired since.
    fn is_close(&self, accounts: &AccountsPart) -> bool {
        accounts.instant.elapsed() < MAX_LAG && self.is_fresh(accounts)
    }

    fn is_fresh(&self, accounts: &AccountsPart) -> bool {
        self.age(accounts) < accounts.fresh_for
    }

    fn age(&self, accounts: &AccountsPart) -> Duration {
        self.exposition.now().since(accounts.at)
    }

    /// Renders the accounts' part in the background while scrapes come.
    fn prerender(self: &Arc<Self>) {
        if self.last_scrape.lock().replace(Instant::now()).is_none() {
            tokio::spawn(prerender(Arc::downgrade(self)));
        }
    }
}

/// Renders until [`PRERENDER_FOR`] after the last scrape, then drops what is cached.
async fn prerender(body: Weak<CachedBody>) {
    let mut next = Instant::now() + PRERENDER_INTERVAL;
    loop {
        tokio::time::sleep_until(next).await;
        // The body is dropped when the server has stopped.
        let Some(body) = body.upgrade() else {
            return;
        };
        let last_scrape = *body.last_scrape.lock();
        if last_scrape.is_none_or(|last| last.elapsed() > PRERENDER_FOR) {
            body.full.store(None);
            body.accounts.store(None);
            *body.last_scrape.lock() = None;
            return;
        }
        next = Instant::now() + PRERENDER_INTERVAL;
        // At the memory limit, scrapes wait for memory and render themselves.
        let expected = body.expected_size(body.exposition.account_count());
        let Some(memory) = body.limits.try_memory(expected) else {
            continue;
        };
        if let Err(error) = body.refresh_accounts(memory, true).await {
            error!(%error, "cannot render the metrics; please report this");
        }
    }
}

impl AccountsPart {
    /// Renders the part from the snapshots.
    fn render(
        exposition: &Exposition,
        format: Format,
        gzip: bool,
        memory: AnswerPermit,
    ) -> io::Result<Self> {
        // The revision is read first, so that a change during the rendering is not missed.
        let revision = exposition.revision();
        let (at, instant) = (exposition.now(), Instant::now());
        let (bytes, compressed, fresh_for) = if gzip {
            let mut compressor = Compressor::new();
            let fresh_for = exposition.write_accounts(format, &mut compressor)?;
            let (bytes, start) = compressor.finish()?;
            (bytes, Some(start), fresh_for)
        } else {
            let mut text = Vec::new();
            let fresh_for = exposition.write_accounts(format, &mut text)?;
            (text, None, fresh_for)
        };
        // Without the spare capacity, as the bytes are cached.
        let bytes = bytes.into_boxed_slice().into();
        Ok(Self {
            revision,
            at,
            instant,
            fresh_for,
            bytes: holding(bytes, memory),
            compressed,
        })
    }
}

/// The plain text of a compressed body, piece by piece.
fn decompress([first, second]: [Bytes; 2]) -> impl Iterator<Item = io::Result<Bytes>> {
    let mut decoder = GzDecoder::new(first.chain(second).reader());
    std::iter::from_fn(move || {
        let mut piece = Vec::with_capacity(PIECE);
        match decoder.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => None,
            Ok(_) => Some(Ok(piece.into())),
            Err(error) => Some(Err(error)),
        }
    })
}
