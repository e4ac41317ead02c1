//! Tracker protocol logic: announce and scrape over HTTP and UDP, tiers and intervals (BEP 3, 7, 12, 15, 23, 31, 41, 48).
//!
//! No I/O: sockets, DNS and HTTP itself are the driver's. What is here:
//!
//! | module | what it does |
//! |---|---|
//! | [`TrackerUrl`] | reads a tracker's URL, keeps its private part out of sight, guards the services of private networks |
//! | [`http`] | announce and scrape URLs out, bencoded bodies in |
//! | [`udp`] | packets, and [`udp::Exchange`], one request with its retransmissions |
//! | [`Schedule`] | whom to announce to, when, and with which event |
//! | [`serve`] | the logic of a small tracker |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod http;
pub mod limits;
mod message;
pub mod schedule;
pub mod serve;
mod text;
pub mod udp;
mod url;

pub use message::{Announce, AnnounceResponse, Error, Event, ScrapeEntry};
pub use schedule::{Schedule, TrackerId};
pub use url::{
    Host, PrivatePaths, Refused, Scheme, Tiers, TrackerUrl, UrlError, UrlRules, is_idna, parse_tiers,
    parse_tiers_by,
};
