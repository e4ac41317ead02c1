//! The brain above torrents: which of them run, and what each may take of what they share.
//!
//! [`Session`] does no I/O and reads no clock. The driver hands in what happened ([`Session::handle`]) and lets
//! deadlines pass ([`Session::handle_timeout`]), then does what [`Session::poll_output`] says until it says nothing
//! more, and comes back at [`Session::poll_timeout`] at the latest. The same inputs at the same times give the same
//! outputs; nothing is left to chance.
//!
//! ```
//! use session::{Input, Output, Session, Settings, Torrent, TorrentId, Wants};
//! use types::Time;
//!
//! let settings = Settings { max_down: Some(1_000_000), max_active_downloads: Some(1), ..Settings::default() };
//! let mut session = Session::new(settings, Time::ZERO);
//! for id in [TorrentId(1), TorrentId(2)] {
//!     session.handle(Time::ZERO, Input::Added { id, torrent: Torrent::new(Wants::Download) });
//! }
//! let outputs: Vec<_> = std::iter::from_fn(|| session.poll_output()).collect();
//! assert!(matches!(outputs[0], Output::SetLimits(TorrentId(1), limits) if limits.down == Some(1_000_000)));
//! assert_eq!(outputs[1], Output::Start(TorrentId(1)));
//! assert_eq!(outputs.len(), 2, "the second waits for its turn");
//! ```
//!
//! Two questions, two rooms. **Who runs** (the queue): downloads in the user's order, seeds by turns; who moves nothing
//! makes room for who waits. **Who gets how much** (shares): rates, connections and upload slots are dealt out by
//! weighted max-min fairness over what torrents were seen to need, and what nobody needs is spread over all, so that who
//! wakes up finds something. Nothing here costs more than the torrents that run, however many are loaded.
//!
//! When seeding is enough is not decided here but by the torrents' owner, who says so with [`Input::Removed`] or
//! [`Input::SetPaused`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod event;
pub mod limits;
mod meter;
mod queue;
mod session;
mod share;

pub use event::{Input, Output, Report, Settings, Torrent, TorrentId, Wants};
pub use session::Session;
