//! Torrent files, v1, v2 and hybrid: decoded, checked, made safe, and encoded (BEP 3, 12, 19, 27, 47, 52); and magnet
//! links (BEP 9, 53).
//!
//! [`Metainfo::parse`] either returns a torrent whose numbers agree with each other and whose names are safe to use
//! below a folder of the user's choice, or an [`Error`] that says what is wrong. [`create::Builder`] writes one.
//! [`Magnet::parse`] reads a link, which names a torrent and says where to find it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod duplicates;
mod error;
mod file;
mod info;
mod metainfo;
mod parse;
mod web_seed;

pub mod create;
pub mod magnet;
pub mod merkle;
pub mod names;

pub use error::Error;
pub use file::{File, FileKind, FileSlice, SafePath};
pub use info::{Shelf, Unreadable};
pub use magnet::{Magnet, MagnetError};
pub use metainfo::{Metainfo, Version};
pub use parse::Limits;
pub use web_seed::WebSeedPaths;

/// The longest piece that is accepted: 512 MiB, as far as other clients go.
pub const MAX_PIECE_LENGTH: u32 = 512 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_piece_has_a_length() {
        let parse = |length: u32| {
            let hash = "h".repeat(20);
            let info = format!("d6:lengthi5e4:name1:n12:piece lengthi{length}e6:pieces20:{hash}e");
            Metainfo::parse(format!("d4:info{info}e").as_bytes()).map(|_| ())
        };
        assert_eq!(parse(MAX_PIECE_LENGTH), Ok(()));
        assert!(matches!(parse(MAX_PIECE_LENGTH + 1), Err(Error::PieceLength(_))));
    }
}
