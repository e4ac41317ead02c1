//! Local service discovery (BEP 14): peers of a torrent on the same network find each other by multicast.
//!
//! [`Discovery`] does no I/O and reads no clock. The driver hands in datagrams and what torrents there are
//! ([`Discovery::handle`]), lets deadlines pass ([`Discovery::handle_timeout`]), does what [`Discovery::poll_output`]
//! says until it says nothing more, and comes back at [`Discovery::poll_timeout`] at the latest. The same seed and the
//! same inputs at the same times give the same outputs.
//!
//! ```
//! use lsd::{Config, Discovery, Input, Output, Part};
//! use types::{InfoHashV1, Time};
//!
//! let mut discovery = Discovery::new(Config { v4: 6881.try_into().ok(), v6: None }, 1, Time::ZERO);
//! let (torrent, public) = (InfoHashV1([7; 20]), Some(false));
//! discovery.handle(Time::ZERO, Input::Join { torrent, part: Part::of(public).unwrap() });
//! let soon = discovery.poll_timeout().unwrap();
//! discovery.handle_timeout(soon);
//! let Some(Output::Send { bytes, .. }) = discovery.poll_output() else { panic!() };
//! assert!(bytes.starts_with(b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: 0707"));
//! ```
//!
//! A private torrent (BEP 27) takes no part: see [`Part::of`], the only way to one. Whoever is on the network may say
//! anything, also that it is somebody else: what is heard is an address to try, and only so many a minute.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod discovery;
mod event;
pub mod limits;
pub mod message;
mod network;

pub use discovery::Discovery;
pub use event::{Config, Input, Output, Part};
pub use network::{Family, GROUP_V4, GROUP_V6, Subnet};
