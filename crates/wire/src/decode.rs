//! How messages are read.

use crate::id::Id;
use crate::limits::{MAX_HASHES, MAX_MESSAGE_LEN};
use crate::{Error, HashRange, Limits, Message, Request};
use alloc::borrow::Cow;
use core::ops::RangeInclusive;

/// What stands at the start of a receive buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// The beginning of a message, nothing wrong with it so far.
    Incomplete {
        /// How long the whole buffer must be before it can hold the message; at most [`MAX_MESSAGE_LEN`] + 4.
        need_at_least: usize,
    },
    /// A whole message.
    Message {
        /// The message; it borrows from the buffer.
        message: Message<'a>,
        /// How many bytes of the buffer it took; the next message starts there.
        consumed: usize,
    },
}

/// Reads the message at the start of `buf` without copying it.
///
/// # Errors
/// A length prefix above every limit (refused before its body is there), a message id without a meaning, a length
/// that the kind of message does not have (both refused when the id is there).
pub fn decode<'a>(buf: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, Error> {
    let Some((prefix, rest)) = buf.split_first_chunk::<4>() else {
        return Ok(Decoded::Incomplete { need_at_least: 4 });
    };
    let len = u32::from_be_bytes(*prefix);
    if len == 0 {
        return Ok(Decoded::Message { message: Message::KeepAlive, consumed: 4 });
    }
    if len > MAX_MESSAGE_LEN {
        return Err(Error::TooLong { len, max: MAX_MESSAGE_LEN });
    }
    let need = 4 + len as usize;
    let Some((&id, rest)) = rest.split_first() else {
        return Ok(Decoded::Incomplete { need_at_least: need });
    };
    let id = check(id, len - 1, limits)?;
    match rest.get(..need - 5) {
        Some(payload) => Ok(Decoded::Message { message: read(id, payload), consumed: need }),
        None => Ok(Decoded::Incomplete { need_at_least: need }),
    }
}

/// Whether a message may have this id and, after it, `len` bytes.
fn check(id: u8, len: u32, limits: &Limits) -> Result<Id, Error> {
    let id = Id::from_byte(id).ok_or(Error::UnknownId { id })?;
    let allowed = allowed_len(id, limits);
    if !allowed.contains(&len) {
        return Err(Error::WrongLength { name: id.name(), len, min: *allowed.start(), max: *allowed.end() });
    }
    if id == Id::Hashes && !(len - HASH_RANGE_LEN).is_multiple_of(32) {
        return Err(Error::PartialHash { len: len - HASH_RANGE_LEN });
    }
    Ok(id)
}

const REQUEST_LEN: u32 = 12;
const HASH_RANGE_LEN: u32 = 48;

/// How many bytes may follow the id.
fn allowed_len(id: Id, limits: &Limits) -> RangeInclusive<u32> {
    match id {
        Id::Choke | Id::Unchoke | Id::Interested | Id::NotInterested | Id::HaveAll | Id::HaveNone => 0..=0,
        Id::Port => 2..=2,
        Id::Have | Id::Suggest | Id::AllowedFast => 4..=4,
        Id::Request | Id::Cancel | Id::Reject => REQUEST_LEN..=REQUEST_LEN,
        Id::HashRequest | Id::HashReject => HASH_RANGE_LEN..=HASH_RANGE_LEN,
        Id::Hashes => HASH_RANGE_LEN..=HASH_RANGE_LEN + 32 * MAX_HASHES,
        Id::Bitfield => 0..=limits.bitfield,
        Id::Piece => 8..=limits.block.saturating_add(8),
        Id::Extended => 1..=limits.extended.saturating_add(1),
    }
}

/// Reads what follows the id; its length is one that [`allowed_len`] lets pass.
fn read(id: Id, payload: &[u8]) -> Message<'_> {
    let mut fields = Fields(payload);
    match id {
        Id::Choke => Message::Choke,
        Id::Unchoke => Message::Unchoke,
        Id::Interested => Message::Interested,
        Id::NotInterested => Message::NotInterested,
        Id::Have => Message::Have(fields.u32()),
        Id::Bitfield => Message::Bitfield(fields.rest()),
        Id::Request => Message::Request(fields.request()),
        Id::Piece => Message::Piece { index: fields.u32(), begin: fields.u32(), data: fields.rest() },
        Id::Cancel => Message::Cancel(fields.request()),
        Id::Port => Message::Port(u16::from_be_bytes(fields.take())),
        Id::Suggest => Message::Suggest(fields.u32()),
        Id::HaveAll => Message::HaveAll,
        Id::HaveNone => Message::HaveNone,
        Id::Reject => Message::Reject(fields.request()),
        Id::AllowedFast => Message::AllowedFast(fields.u32()),
        Id::Extended => Message::Extended { id: u8::from_be_bytes(fields.take()), payload: fields.rest() },
        Id::HashRequest => Message::HashRequest(fields.hash_range()),
        Id::Hashes => Message::Hashes { range: fields.hash_range(), hashes: fields.rest() },
        Id::HashReject => Message::HashReject(fields.hash_range()),
    }
}

/// The fields of a payload that is known to be long enough for them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) =
            self.0.split_first_chunk().expect("the length was checked before the payload is read");
        self.0 = rest;
        *field
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn request(&mut self) -> Request {
        Request { index: self.u32(), begin: self.u32(), length: self.u32() }
    }

    fn hash_range(&mut self) -> HashRange {
        HashRange {
            pieces_root: self.take(),
            base_layer: self.u32(),
            index: self.u32(),
            length: self.u32(),
            proof_layers: self.u32(),
        }
    }

    fn rest(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_BLOCK_LEN;
    use alloc::string::{String, ToString};
    use alloc::vec;
    use alloc::vec::Vec;

    const LIMITS: Limits = Limits::for_pieces(100);

    /// The first five bytes of a message, which is all that is needed to refuse it.
    fn head(payload_len: u32, id: u8) -> Vec<u8> {
        [&(payload_len + 1).to_be_bytes()[..], &[id]].concat()
    }

    fn refusal(payload_len: u32, id: u8) -> String {
        decode(&head(payload_len, id), &LIMITS).unwrap_err().to_string()
    }

    fn is_let_in(payload_len: u32, id: u8) -> bool {
        let need_at_least = payload_len as usize + 5;
        decode(&head(payload_len, id), &LIMITS) == Ok(Decoded::Incomplete { need_at_least })
    }

    #[test]
    fn a_huge_prefix_is_refused_before_its_body() {
        let error = decode(&[0xff; 4], &LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "message of 4294967295 bytes where at most 1048576 are accepted");
        assert!(decode(&(MAX_MESSAGE_LEN + 1).to_be_bytes(), &LIMITS).is_err());
        let need_at_least = MAX_MESSAGE_LEN as usize + 4;
        assert_eq!(
            decode(&MAX_MESSAGE_LEN.to_be_bytes(), &LIMITS),
            Ok(Decoded::Incomplete { need_at_least })
        );
    }

    #[test]
    fn fixed_lengths_are_exact() {
        let of_length = |len, ids: &'static [u8]| ids.iter().map(move |&id| (id, len));
        let fixed = of_length(0, &[0, 1, 2, 3, 14, 15]).chain(of_length(2, &[9]));
        let fixed = fixed.chain(of_length(4, &[4, 13, 17])).chain(of_length(12, &[6, 8, 16]));
        for (id, len) in fixed.chain(of_length(48, &[21, 23])) {
            for wrong in (0..60).filter(|&wrong| wrong != len) {
                assert!(
                    refusal(wrong, id).ends_with(&alloc::format!("of {wrong} bytes where {len} are due"))
                );
            }
            let whole = [head(len, id), vec![0; len as usize]].concat();
            assert!(matches!(decode(&whole, &LIMITS), Ok(Decoded::Message { .. })), "id {id}");
        }
        assert_eq!(refusal(13, 6), "request message of 13 bytes where 12 are due");
    }

    #[test]
    fn limits_hold_to_the_byte() {
        assert!(is_let_in(13, 5));
        assert_eq!(refusal(14, 5), "bitfield message of 14 bytes where at most 13 are allowed");
        assert!(is_let_in(8 + MAX_BLOCK_LEN, 7));
        assert_eq!(
            refusal(9 + MAX_BLOCK_LEN, 7),
            "piece message of 131081 bytes where 8 to 131080 are allowed"
        );
        assert_eq!(refusal(7, 7), "piece message of 7 bytes where 8 to 131080 are allowed");
        assert!(is_let_in(MAX_MESSAGE_LEN - 1, 20));
        assert_eq!(refusal(0, 20), "extended message of 0 bytes where 1 to 1048575 are allowed");
        assert!(is_let_in(48 + 32 * MAX_HASHES, 22));
        assert_eq!(
            refusal(80 + 32 * MAX_HASHES, 22),
            "hashes message of 263248 bytes where 48 to 263216 are allowed"
        );
        let small = Limits { extended: 10, ..LIMITS };
        assert!(decode(&head(11, 20), &small).is_ok() && decode(&head(12, 20), &small).is_err());
    }

    #[test]
    fn hashes_come_whole() {
        assert!(is_let_in(48 + 32, 22));
        assert_eq!(
            refusal(48 + 33, 22),
            "hashes message with 33 bytes of hashes, which is not a multiple of 32"
        );
    }

    #[test]
    fn unknown_ids_are_refused_before_their_body() {
        let unknown =
            (0..=255).filter(|&id| decode(&head(1000, id), &LIMITS) == Err(Error::UnknownId { id }));
        let unknown: Vec<u8> = unknown.collect();
        let expected: Vec<u8> = (10..=12).chain(18..=19).chain(24..=255).collect();
        assert_eq!(unknown, expected);
        assert_eq!(refusal(0, 10), "message with the unknown id 10");
    }

    #[test]
    fn the_largest_torrent_fits_while_pieces_are_unknown() {
        let whole = types::MAX_PIECES / 8;
        let limits = Limits::unknown_pieces();
        assert!(decode(&head(whole, 5), &limits).is_ok());
        assert!(decode(&head(whole + 1, 5), &limits).is_err());
        // An extended message has an id of its own.
        let longest = 1 + crate::MAX_UNKNOWN_EXTENDED_LEN;
        assert!(longest > crate::ext::METADATA_PIECE_LEN * 3 / 2);
        assert!(decode(&head(longest, 20), &limits).is_ok());
        assert!(decode(&head(longest + 1, 20), &limits).is_err());
    }

    #[test]
    fn payloads_are_borrowed() {
        let block = [head(12, 7), vec![0; 12]].concat();
        let Ok(Decoded::Message { message: Message::Piece { data, .. }, .. }) = decode(&block, &LIMITS)
        else {
            panic!("no piece");
        };
        assert!(matches!(data, Cow::Borrowed(_)));
        assert_eq!(data.as_ptr(), block[13..].as_ptr());
    }
}
