//! Bodies of scrapes, each rendered and compressed at most once for a change, whatever
//! the number of scrapers, and not at all while there are none.
//!
//! A body has two parts, which are buffer_pool where they are small. That of the accounts is
//! kept until a snapshot changes or a value grows too old. The live part is rendered anew
//! with it, or once it is `LIVE_FOR` old.
//!
//! With few accounts, a scrape that finds a change renders at once. With many that takes
//! a while: then a task renders again and again while scrapes come, away from the threads
//! that answer them, and they get what there is unless it is `BEHIND` the snapshots.

#[cfg(test)]
mod tests;

use std::io::{self, Read as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::{Buf as _, Bytes};
use flate2::bufread::GzDecoder;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::error;

use super::buffer_pool::BufferPool;
use super::gzip::{Compressor, Start};
use crate::exposition::{Exposition, Format};
use crate::server::answers::{AnswerLimits, LimitReached, MemoryPermit};
use crate::server::body::{Body, holding};
use crate::system::clock::TimePoint;

/// How long a live part is used while no snapshot changes.
const LIVE_FOR: Duration = Duration::from_millis(10);

/// With so many accounts at the most, a scrape renders by itself: it takes about a
/// millisecond.
const FEW: usize = 100;

/// With so many accounts at the most, text is kept: about 5 MB. With more accounts only the
/// compressed text is, which is a tenth, and a client that wants plain text gets it
/// decompressed while it is sent: slow clients would hold too much otherwise.
const MOST_KEPT_AS_TEXT: usize = 2_000;

/// How much plain text is decompressed at a time, in bytes.
const PIECE: usize = 32 * 1024;

/// How much memory it takes to decompress a body while it is sent, in bytes: a piece, and
/// the decoder with its window.
const DECOMPRESSING: usize = PIECE + 48 * 1024;

/// How many bytes the part of an account takes in one kind or another, for the first time
/// that it is rendered.
const BYTES_EACH: usize = 512;

/// How far behind the snapshots a scrape may be when many accounts change all the time.
const BEHIND: Duration = Duration::from_secs(1);

/// How often the accounts' part of many accounts is rendered while scrapes come. It
/// leaves time to do so before what there is gets too far [`BEHIND`].
const RENDER_EVERY: Duration = Duration::from_millis(700);

/// How long after a scrape the next one is prepared for. Who scrapes less often waits for
/// the rendering, which is little then against rendering all the time.
const PREPARE_FOR: Duration = Duration::from_secs(35);

/// The bodies of `/metrics`.
#[derive(Debug)]
pub struct Bodies {
    exposition: Arc<Exposition>,
    limits: Arc<AnswerLimits>,
    text: Arc<CachedBody>,
    text_gzip: Arc<CachedBody>,
    openmetrics: Arc<CachedBody>,
    openmetrics_gzip: Arc<CachedBody>,
}

/// What is kept in one format and coding.
#[derive(Debug)]
struct CachedBody {
    exposition: Arc<Exposition>,
    limits: Arc<AnswerLimits>,
    format: Format,
    gzip: bool,
    created: Instant,
    accounts: ArcSwapOption<AccountsPart>,
    whole: ArcSwapOption<FullBody>,
    /// Held by who renders, for others to wait for.
    rendering_accounts: Mutex<()>,
    rendering_live: Mutex<BufferPool>,
    /// Whether a task prepares for the next scrape.
    preparing: AtomicBool,
    /// When the last scrape came, in milliseconds since the creation.
    asked: AtomicU64,
}

/// The accounts' part of a moment, as it is sent.
#[derive(Debug)]
struct AccountsPart {
    revision: u64,
    at: TimePoint,
    /// The same by tokio's clock.
    instant: Instant,
    /// How long after that moment all of its values are young enough to be shown.
    fresh_for: Duration,
    /// The text. It holds its memory until it is neither kept nor sent.
    bytes: Bytes,
    /// What it takes to go on behind it, if it is compressed.
    compressed: Option<Start>,
}

/// There is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoBody {
    /// It cannot be made.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// Others hold too much.
    #[error(transparent)]
    Refused(#[from] LimitReached),
}

/// Both parts.
#[derive(Debug)]
struct FullBody {
    accounts: Arc<AccountsPart>,
    /// One after the other, or buffer_pool.
    pieces: [Bytes; 2],
    /// Until when nothing in it is too old.
    until: Instant,
    /// Until when it may be behind the snapshots.
    may_be_behind_until: Instant,
}

/// The bytes of a body that is kept nowhere.
pub(super) fn once(text: Vec<u8>, gzip: bool) -> io::Result<Bytes> {
    if !gzip {
        return Ok(text.into());
    }
    let (bytes, start) = Compressor::new(0).finish()?;
    Ok([bytes, start.end(&text)?].concat().into())
}

impl Bodies {
    /// Bodies of `exposition`, none of them rendered yet, of which at most `scrapes` may
    /// be under way at a time; 0 is no limit.
    #[must_use]
    pub fn new(exposition: Exposition, scrapes: usize) -> Self {
        let exposition = Arc::new(exposition);
        let limits = Arc::new(AnswerLimits::new(scrapes));
        let kept = |format, gzip| Arc::new(CachedBody::new(&exposition, &limits, format, gzip));
        Self {
            text: kept(Format::Text, false),
            text_gzip: kept(Format::Text, true),
            openmetrics: kept(Format::OpenMetrics, false),
            openmetrics_gzip: kept(Format::OpenMetrics, true),
            limits,
            exposition,
        }
    }

    /// What they are bodies of.
    #[must_use]
    pub fn exposition(&self) -> &Exposition {
        &self.exposition
    }

    /// The limits of the answers under way.
    pub(in crate::server) fn limits(&self) -> &Arc<AnswerLimits> {
        &self.limits
    }

    /// The body of a scrape in this format, compressed or not, if nothing has to be done
    /// for it `now`.
    pub(super) fn at_hand(&self, format: Format, gzip: bool, now: Instant) -> Option<Body> {
        self.kept(format, gzip).at_hand(now).map(Body::pieces)
    }

    /// The body of a scrape in this format, compressed or not.
    pub(super) async fn body(&self, format: Format, gzip: bool) -> Result<Body, NoBody> {
        let accounts = self.exposition.account_count();
        let decompressed = !gzip && accounts > MOST_KEPT_AS_TEXT;
        let kept = self.kept(format, gzip || decompressed);
        let pieces = match kept.at_hand(Instant::now()) {
            Some(pieces) => pieces,
            None => {
                if accounts > FEW {
                    kept.prepare();
                }
                kept.renewed(accounts).await?.pieces.clone()
            }
        };
        if decompressed {
            let memory = self.limits.memory(DECOMPRESSING).await?;
            return Ok(Body::streamed(decompress(pieces)).holding(memory));
        }
        Ok(Body::pieces(pieces))
    }

    fn kept(&self, format: Format, gzip: bool) -> &Arc<CachedBody> {
        match (format, gzip) {
            (Format::Text, false) => &self.text,
            (Format::Text, true) => &self.text_gzip,
            (Format::OpenMetrics, false) => &self.openmetrics,
            (Format::OpenMetrics, true) => &self.openmetrics_gzip,
        }
    }
}

impl CachedBody {
    fn new(
        exposition: &Arc<Exposition>,
        limits: &Arc<AnswerLimits>,
        format: Format,
        gzip: bool,
    ) -> Self {
        Self {
            exposition: Arc::clone(exposition),
            limits: Arc::clone(limits),
            format,
            gzip,
            created: Instant::now(),
            accounts: ArcSwapOption::empty(),
            whole: ArcSwapOption::empty(),
            rendering_accounts: Mutex::default(),
            rendering_live: Mutex::default(),
            preparing: AtomicBool::new(false),
            asked: AtomicU64::new(0),
        }
    }

    /// What there is, if it will do.
    fn at_hand(&self, now: Instant) -> Option<[Bytes; 2]> {
        let whole = self.whole.load();
        let whole = whole.as_ref()?;
        let is_close = whole.accounts.revision == self.exposition.revision()
            || now < whole.may_be_behind_until;
        (is_close && now < whole.until).then(|| whole.pieces.clone())
    }

    /// Both parts after whatever has changed is rendered.
    async fn renewed(&self, count: usize) -> Result<Arc<FullBody>, NoBody> {
        let many = count > FEW;
        let accounts = match self.accounts.load_full() {
            Some(accounts) if many && self.is_close(&accounts) => accounts,
            Some(accounts) if self.is_current(&accounts) => accounts,
            _ => {
                let memory = self.limits.memory(self.expected_size(count)).await?;
                self.renewed_accounts(memory, many).await?
            }
        };
        let mut buffers = self.rendering_live.lock().await;
        let now = Instant::now();
        // Who waited finds what the one before has rendered.
        if let Some(whole) = &*self.whole.load()
            && now < whole.until
            && Arc::ptr_eq(&whole.accounts, &accounts)
        {
            return Ok(Arc::clone(whole));
        }
        let fresh_for = accounts.fresh_for.saturating_sub(self.age(&accounts));
        let live = self.exposition.live(self.format);
        let whole = Arc::new(FullBody {
            pieces: match &accounts.compressed {
                None => buffers.pieces(&accounts.bytes, live),
                Some(start) => buffers.pieces(&accounts.bytes, start.end(&live)?),
            },
            until: now + LIVE_FOR.min(fresh_for),
            may_be_behind_until: accounts.instant + if many { BEHIND } else { Duration::ZERO },
            accounts,
        });
        self.whole.store(Some(Arc::clone(&whole)));
        Ok(whole)
    }

    /// The accounts' part as it is now.
    async fn renewed_accounts(
        &self,
        memory: MemoryPermit,
        many: bool,
    ) -> io::Result<Arc<AccountsPart>> {
        let _rendering = self.rendering_accounts.lock().await;
        let before = self.accounts.load_full();
        let size = match before {
            Some(accounts) if self.is_current(&accounts) => return Ok(accounts),
            // Were it a little too small, it would be doubled.
            Some(accounts) => accounts.bytes.len() + accounts.bytes.len() / 16,
            None => 0,
        };
        let (exposition, format, gzip) = (Arc::clone(&self.exposition), self.format, self.gzip);
        let render = move || AccountsPart::render(&exposition, format, gzip, size, memory);
        let accounts = if many {
            tokio::task::spawn_blocking(render).await??
        } else {
            render()?
        };
        let accounts = Arc::new(accounts);
        self.accounts.store(Some(Arc::clone(&accounts)));
        // It has the part before, of which no more is needed.
        self.whole.store(None);
        Ok(accounts)
    }

    /// How many bytes the accounts' part of so many accounts takes, about.
    fn expected_size(&self, count: usize) -> usize {
        let before = self.accounts.load();
        before
            .as_ref()
            .map_or(count.saturating_mul(BYTES_EACH), |before| {
                before.bytes.len()
            })
    }

    /// Whether nothing has changed since, and nothing has grown too old.
    fn is_current(&self, accounts: &AccountsPart) -> bool {
        accounts.revision == self.exposition.revision() && self.is_fresh(accounts)
    }

    /// Whether what has changed since is young, and nothing has grown too old.
    fn is_close(&self, accounts: &AccountsPart) -> bool {
        accounts.instant.elapsed() < BEHIND && self.is_fresh(accounts)
    }

    fn is_fresh(&self, accounts: &AccountsPart) -> bool {
        self.age(accounts) < accounts.fresh_for
    }

    fn age(&self, accounts: &AccountsPart) -> Duration {
        self.exposition.now().since(accounts.at)
    }

    /// Sees to it that the accounts' part is rendered again and again while scrapes come.
    fn prepare(self: &Arc<Self>) {
        self.asked.store(self.millis(), Ordering::Relaxed);
        if !self.preparing.swap(true, Ordering::Relaxed) {
            tokio::spawn(prepare(Arc::downgrade(self)));
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Renders again and again until there was no scrape for a while; then lets go of all.
async fn prepare(kept: Weak<CachedBody>) {
    let mut next = Instant::now() + RENDER_EVERY;
    loop {
        tokio::time::sleep_until(next).await;
        // Gone when the server has stopped.
        let Some(kept) = kept.upgrade() else {
            return;
        };
        let idle = kept.millis() - kept.asked.load(Ordering::Relaxed);
        if u128::from(idle) > PREPARE_FOR.as_millis() {
            kept.whole.store(None);
            kept.accounts.store(None);
            kept.rendering_live.lock().await.clear();
            kept.preparing.store(false, Ordering::Relaxed);
            return;
        }
        next = Instant::now() + RENDER_EVERY;
        // Where memory is short, those who scrape wait for it.
        let expected = kept.expected_size(kept.exposition.account_count());
        let Some(memory) = kept.limits.try_memory(expected) else {
            continue;
        };
        if let Err(error) = kept.renewed_accounts(memory, true).await {
            error!(%error, "cannot render the metrics; please report this");
        }
    }
}

impl AccountsPart {
    /// Renders it from the snapshots, perhaps about as large as `size`.
    fn render(
        exposition: &Exposition,
        format: Format,
        gzip: bool,
        size: usize,
        memory: MemoryPermit,
    ) -> io::Result<Self> {
        // First, so that what changes from here on is not missed.
        let revision = exposition.revision();
        let (at, instant) = (exposition.now(), Instant::now());
        let (bytes, compressed, fresh_for) = if gzip {
            let mut compressor = Compressor::new(size);
            let fresh_for = exposition.write_accounts(format, &mut compressor)?;
            let (bytes, start) = compressor.finish()?;
            (bytes, Some(start), fresh_for)
        } else {
            let mut text = Vec::with_capacity(size);
            let fresh_for = exposition.write_accounts(format, &mut text)?;
            (text, None, fresh_for)
        };
        Ok(Self {
            revision,
            at,
            instant,
            fresh_for,
            bytes: holding(boxed(bytes), memory),
            compressed,
        })
    }
}

/// These bytes in no more space than they need.
fn boxed(bytes: Vec<u8>) -> Bytes {
    bytes.into_boxed_slice().into()
}

/// The plain text of a compressed body, a piece at a time.
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
