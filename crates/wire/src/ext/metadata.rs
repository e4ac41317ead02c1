//! The info dictionary, asked for and sent in pieces (BEP 9).

use super::{UT_METADATA, decode_dict};
use crate::Error;
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// The length of every piece of the metadata but perhaps the last, in bytes (16 KiB).
pub const METADATA_PIECE_LEN: u32 = 16 * 1024;

/// The payload of a `ut_metadata` message. Pieces are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata<'a> {
    /// Send me this piece.
    Request {
        /// The piece.
        piece: u32,
    },
    /// Here is a piece.
    Data {
        /// The piece.
        piece: u32,
        /// The length of all the metadata in bytes.
        total_size: u32,
        /// The piece's bytes, as many as its number and `total_size` make due.
        data: Cow<'a, [u8]>,
    },
    /// I do not have this piece, or do not want to send it.
    Reject {
        /// The piece.
        piece: u32,
    },
}

impl<'a> Metadata<'a> {
    /// The message's payload.
    pub fn encode(&self) -> Vec<u8> {
        let (msg_type, piece) = match *self {
            Metadata::Request { piece } => (0u8, piece),
            Metadata::Data { piece, .. } => (1, piece),
            Metadata::Reject { piece } => (2, piece),
        };
        let mut out = bencode::encode_dict(|dict| {
            dict.int("msg_type", msg_type);
            dict.int("piece", piece);
            if let Metadata::Data { total_size, .. } = *self {
                dict.int("total_size", total_size);
            }
        });
        if let Metadata::Data { data, .. } = self {
            out.extend_from_slice(data);
        }
        out
    }

    /// Reads a message's payload; `None` for a type of message that BEP 9 does not name, which it says to ignore.
    ///
    /// # Errors
    /// Not a dictionary, a key missing or of the wrong type, or data that is not exactly as long as `piece` and
    /// `total_size` say.
    pub fn decode(payload: &'a [u8]) -> Result<Option<Metadata<'a>>, Error> {
        let error = |what| Error::Extension { name: UT_METADATA, what };
        let (document, data) = decode_dict(UT_METADATA, payload)?;
        let dict = document.root();
        let number = |key: &str| u32::try_from(dict.get(key)?.as_uint()?).ok();
        let msg_type = dict.get("msg_type").and_then(bencode::Value::as_int);
        let msg_type = msg_type.ok_or(error("msg_type is not a number"))?;
        if !(0..=2).contains(&msg_type) {
            return Ok(None);
        }
        let piece = number("piece").ok_or(error("piece is not a piece number"))?;
        Ok(Some(match msg_type {
            0 => Metadata::Request { piece },
            1 => {
                let total_size = number("total_size").ok_or(error("total_size is not a size"))?;
                let due = piece_len(piece, total_size)
                    .ok_or(error("total_size says that there is no such piece"))?;
                if data.len() != due as usize {
                    return Err(error("the data is not exactly one piece"));
                }
                Metadata::Data { piece, total_size, data: Cow::Borrowed(data) }
            }
            _ => Metadata::Reject { piece },
        }))
    }
}

/// How long a piece of metadata of `total_size` bytes is; `None` if there is no such piece.
fn piece_len(piece: u32, total_size: u32) -> Option<u32> {
    let left = total_size.checked_sub(piece.checked_mul(METADATA_PIECE_LEN)?)?;
    (left > 0).then_some(left.min(METADATA_PIECE_LEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn examples_of_bep_9() {
        assert_eq!(Metadata::Request { piece: 0 }.encode(), b"d8:msg_typei0e5:piecei0ee");
        let mut data = b"d8:msg_typei1e5:piecei0e10:total_sizei3425ee".to_vec();
        data.extend([b'x'; 3425]);
        let message = Metadata::Data { piece: 0, total_size: 3425, data: vec![b'x'; 3425].into() };
        assert_eq!(Metadata::decode(&data), Ok(Some(message.clone())));
        assert_eq!(message.encode(), data);
        assert_eq!(Metadata::decode(b"d8:msg_typei2e5:piecei0ee"), Ok(Some(Metadata::Reject { piece: 0 })));
        assert_eq!(
            Metadata::decode(b"d8:msg_typei3e5:piecei0ee"),
            Ok(None),
            "an unknown type must be ignored"
        );
    }

    #[test]
    fn malformed_messages_are_refused() {
        for (payload, what) in [
            ("", "unexpected end of data at byte 0"),
            ("le", "not a dictionary"),
            ("de", "msg_type is not a number"),
            ("d8:msg_typei0ee", "piece is not a piece number"),
            ("d8:msg_typei0e5:piecei-1ee", "piece is not a piece number"),
            ("d8:msg_typei0e5:piecei4294967296ee", "piece is not a piece number"),
            ("d8:msg_typei1e5:piecei0ee", "total_size is not a size"),
            ("d8:msg_typei1e5:piecei1e10:total_sizei16384ee", "total_size says that there is no such piece"),
            (
                "d8:msg_typei1e5:piecei4294967295e10:total_sizei1ee",
                "total_size says that there is no such piece",
            ),
            ("d8:msg_typei1e5:piecei0e10:total_sizei2ee1", "the data is not exactly one piece"),
            ("d8:msg_typei1e5:piecei0e10:total_sizei2ee123", "the data is not exactly one piece"),
        ] {
            let error = Metadata::decode(payload.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, ["ut_metadata message: ", what].concat(), "{payload}");
        }
    }

    #[test]
    fn the_last_piece_may_be_short() {
        assert_eq!(piece_len(0, 16385), Some(16384));
        assert_eq!(piece_len(1, 16385), Some(1));
        assert_eq!(piece_len(2, 16385), None);
        assert_eq!(piece_len(0, 0), None);
    }
}
