//! Session files of other clients, read: which torrents there are, where their files lie, and what is claimed of them.
//!
//! Everything is a function of bytes: [`transmission`], [`qbittorrent`], [`rtorrent`] and [`deluge`] turn what the client
//! wrote into an [`Item`]; [`Have::judge`] holds its claims against what the files look like now. Nobody's claim is passed
//! on as it is. Session files have no checksums, so a piece is believed only where the file it lies in has its size, was not
//! changed since a time that the client wrote down, and is said to be complete in two places that agree; all else is hashed.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod assemble;
mod categories;
pub mod deluge;
mod found;
mod judge;
mod libtorrent;
pub mod limits;
mod link;
mod pickle;
pub mod qbittorrent;
pub mod rtorrent;
pub mod transmission;

pub use categories::Categories;
pub use found::{Found, Item, Refused, Wishes};
pub use judge::{Evidence, Have, Judged, Look};
pub use link::Link;

#[cfg(test)]
mod tests;
