//! Bencode: a borrowed, iterative decoder with limits, and a canonical encoder (BEP 3).
//!
//! ```
//! let document = bencode::decode(b"d8:intervali1800e5:peers0:e")?;
//! let reply = document.root();
//! assert_eq!(reply.get("interval").and_then(|v| v.as_int()), Some(1800));
//!
//! let bytes = bencode::encode_dict(|d| {
//!     d.bytes("peers", "");
//!     d.int("interval", 1800);
//! });
//! assert_eq!(bytes, reply.raw(), "keys come out sorted");
//! # Ok::<(), bencode::Error>(())
//! ```
//!
//! What breaks the grammar is an [`Error`]. What every client reads although BEP 3 forbids it (unsorted or
//! repeated keys, leading zeros) is read too, and kept as [`Document::irregularity`] for callers that must be strict.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod decode;
mod encode;
mod value;

pub use decode::{Error, ErrorKind, Limits, decode, decode_prefix, decode_with};
pub use encode::{DictEncoder, ListEncoder, encode_dict, encode_dict_into, encode_list};
pub use value::{Dict, Document, Kind, List, Value};
