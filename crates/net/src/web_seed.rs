//! A web seed (BEP 19): a torrent's files on a web server, for the same ends as a peer's connection.
//!
//! [`run`] takes the [`Command`]s and tells the [`Event`]s of [`conn`](crate::conn): blocks that are asked for become runs,
//! runs become `GET`s for parts of files, and what comes is cut into blocks again, in memory that connections share. Pad
//! files (BEP 47) are not asked for. Up to [`MAX_CONNECTIONS`] answers are under way at once; while the disk has no room
//! nothing is read, and TCP slows the server down. What an answer leaves out is asked for again; of a server that ignores
//! ranges one file at a time is read, from its start, and what is asked for on the way is taken.
//!
//! Whatever goes wrong ends it with a [`WebSeedError`], which says whether another try is worth it. A URL comes from a
//! stranger's torrent: [`WebSeedClient`] sees to it that it leads to the public internet only, or where the owner allows,
//! however often it redirects and whatever a name is looked up to be.

mod client;
mod fetch;
mod queue;
mod sweep;

pub use client::{Found, WebSeedClient};

use crate::conn::{Batch, BlockSink, Chunks, CloseReason, Command, Event, Outbox};
use crate::http::HttpError;
use fetch::Fetcher;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::StatusCode;
use std::ops::Range;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use types::Lengths;

/// Answers of one web seed that are under way at once, each on a connection of its own: half of what browsers open.
pub const MAX_CONNECTIONS: usize = 4;
/// The longest run of blocks that is asked for at once, in bytes; at the limit the rest is another run.
pub const RUN_BYTES: u64 = 4 << 20;
/// While others are under way, no run is begun that is shorter than this, in bytes: it may grow meanwhile.
pub const MIN_RUN: u64 = 256 << 10;
/// How many redirects are followed; one more is an error.
pub const MAX_REDIRECTS: usize = 5;
/// Of how many files it is remembered where they were found after redirects; at the limit, those of others are not.
pub const MAX_TARGETS: usize = 64;
/// What may be read in vain of an answer that ignores the range it was asked for, in bytes; beyond, files are read from their
/// start from then on, one at a time.
pub const MAX_SKIPPED: u64 = 4 << 20;
/// What may be read in vain of a web seed whose files are read from their start, in bytes, beside four times what was of use;
/// beyond, it is given up.
pub const MAX_VAIN: u64 = 256 << 20;
/// The longest silence while waiting for an answer or its next bytes.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What has to come of an answer within [`STALL_TIMEOUT`] of waiting, in bytes; a server that is slower has stalled. One
/// that answers with less of a longer part is given up.
pub const MIN_PROGRESS: usize = 4 << 10;
/// The longest wait that a web seed can ask for (`Retry-After`); a longer one is cut to this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(1800);

/// Scheme, host and port of a web seed's URL: what of it may be shown.
pub fn name(url: &str) -> String {
    reqwest::Url::parse(url)
        .map_or_else(|_| "a web seed without a URL".into(), |url| crate::http::origin(&url))
}

/// What a web seed has.
pub trait Content: Send + Sync {
    /// How the torrent's bytes divide into pieces and blocks.
    fn lengths(&self) -> Lengths;

    /// The parts of files that hold the torrent's bytes in this range, in order; together they are as long.
    fn parts(&self, bytes: Range<u64>) -> Vec<Part>;

    /// Where a file is; not asked of pad files.
    fn url(&self, file: usize) -> String;
}

/// Some bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which file, as the torrent counts them.
    pub file: usize,
    /// How long the file is.
    pub file_len: u64,
    /// From the start of the file.
    pub offset: u64,
    /// How many; not 0.
    pub len: u64,
    /// It is a pad file (BEP 47): its bytes are zeros, and no server has it.
    pub is_pad: bool,
}

/// What is wrong with a web seed.
#[derive(Debug, Error)]
pub enum WebSeedError {
    /// No http or https URL.
    #[error("not an http or https URL")]
    NotHttp,
    /// Its host's name is an internationalised one (`xn--`), which lets one name look like another.
    #[error("internationalised host names are not allowed for web seeds")]
    Idna,
    /// It is in a private network or on this machine, and the owner did not allow that.
    #[error("it is at a private address")]
    Private,
    /// One that is public leads to one that is not.
    #[error("it redirects to a private address")]
    RedirectsInside,
    /// See the module's page: not even the owner can allow it.
    #[error("its address is one that must not be asked")]
    Forbidden,
    /// A private one that wants more than a file's path: what answers there may take it for an order.
    #[error("a web seed at a private address must not have a query in its URL")]
    PrivateQuery,
    /// No connection, no answer, or none that makes sense.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A file is not there (404, 410).
    #[error("a file is not there: HTTP status {status}")]
    Missing {
        /// Which, as the torrent counts them.
        file: usize,
        /// What was answered.
        status: StatusCode,
    },
    /// It has too much to do (429, 503).
    #[error("it is busy: HTTP status {status}")]
    Busy {
        /// What was answered.
        status: StatusCode,
        /// How long it wants to be left alone, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// Another answer that is no success.
    #[error("the answer is HTTP status {0}")]
    Status(StatusCode),
    /// It sends files from their start on, whatever is asked for, and too little of that is of use.
    #[error("it cannot send parts of files")]
    NoRanges,
    /// It sends another part than it was asked for.
    #[error("it sends another part of the file than was asked for")]
    WrongRange,
    /// What it has is not as long as the torrent says.
    #[error("a file there has another length than in the torrent")]
    WrongLength,
    /// The body is packed, though nobody asked for that.
    #[error("it sends packed content ('{0}')")]
    Encoded(String),
    /// The body ends before it should.
    #[error("the answer is shorter than it says")]
    Short,
    /// Less than [`MIN_PROGRESS`] in [`STALL_TIMEOUT`].
    #[error("no answer within {} s", STALL_TIMEOUT.as_secs())]
    Stalled,
    /// What went wrong where a redirect led.
    #[error("redirected to {host}: {error}")]
    Redirected {
        /// Scheme, host and port.
        host: String,
        /// What went wrong there.
        error: Box<WebSeedError>,
    },
}

/// Whether it is worth it to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Later, after this time at the earliest if it says so.
    Later(Option<Duration>),
    /// At once, but never for this file.
    Without(usize),
    /// Never.
    Hopeless,
}

impl WebSeedError {
    fn ignores_ranges(&self) -> bool {
        match self {
            WebSeedError::NoRanges => true,
            WebSeedError::Redirected { error, .. } => error.ignores_ranges(),
            _ => false,
        }
    }

    /// Whether it is worth it to ask again.
    pub fn outlook(&self) -> Outlook {
        match self {
            WebSeedError::Missing { file, .. } => Outlook::Without(*file),
            WebSeedError::Busy { retry_after, .. } => Outlook::Later(*retry_after),
            WebSeedError::Redirected { error, .. } => error.outlook(),
            WebSeedError::Http(
                HttpError::Circle | HttpError::TooManyRedirects | HttpError::Downgrade | HttpError::NotHttp,
            ) => Outlook::Hopeless,
            WebSeedError::Http(_) | WebSeedError::Short | WebSeedError::Stalled => Outlook::Later(None),
            WebSeedError::Status(status)
                if status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT =>
            {
                Outlook::Later(None)
            }
            _ => Outlook::Hopeless,
        }
    }
}

/// What a web seed needs beside its queues.
#[derive(Clone, Debug)]
pub struct Context<D> {
    /// Where blocks go.
    pub disk: D,
    /// Memory to gather blocks in, shared with connections.
    pub chunks: Chunks,
    /// How many connections it may have, at most [`MAX_CONNECTIONS`].
    pub connections: usize,
}

/// Runs one web seed until something is wrong with it or its owner drops the other end of `commands`, and reports all of
/// it, [`Event::Closed`] last, to `events`. Commands but [`Command::Request`] and [`Command::Cancel`] mean nothing to it.
pub async fn run<C, D, K>(
    seed: Found,
    content: C,
    context: Context<D>,
    key: K,
    mut commands: mpsc::Receiver<Vec<Command>>,
    events: mpsc::Sender<Batch<K>>,
) where
    C: Content,
    D: BlockSink,
    K: Copy + Send + Sync,
{
    let outbox = Outbox::new(key, events);
    let fetcher = Fetcher::new(seed, content, &context, &outbox);
    let reason = {
        let mut runs = FuturesUnordered::new();
        loop {
            while let Some(work) = fetcher.next_work(runs.len()) {
                runs.push(fetcher.work(work));
            }
            tokio::select! {
                told = commands.recv() => match told {
                    Some(told) => fetcher.obey(told),
                    None => break CloseReason::Ours,
                },
                Some(fetched) = runs.next() => {
                    if let Err(error) = fetched {
                        break CloseReason::WebSeed(Box::new(error));
                    }
                }
            }
        }
    };
    context.disk.tell();
    context.chunks.release_unused_soon();
    outbox.tell(&mut vec![Event::Closed(reason)]).await;
}

#[cfg(test)]
pub(crate) mod tests;
