//! The extension protocol (BEP 10) and the extensions that are spoken over it.
//!
//! An [`Extended`](crate::Message::Extended) message with id 0 carries a [`Handshake`], in which a peer says which
//! number it wants each extension's messages to have. The other types here are the payloads of those messages.

mod donthave;
mod handshake;
mod holepunch;
mod metadata;
mod pex;

pub use donthave::DontHave;
pub use handshake::Handshake;
pub use holepunch::{Holepunch, HolepunchError, HolepunchKind};
pub use metadata::{METADATA_PIECE_LEN, Metadata};
pub use pex::{Pex, PexFlags, PexPeer};

/// The name of metadata exchange (BEP 9).
pub const UT_METADATA: &str = "ut_metadata";
/// The name of peer exchange (BEP 11).
pub const UT_PEX: &str = "ut_pex";
/// The name of "I no longer have this piece" (BEP 54).
pub const LT_DONTHAVE: &str = "lt_donthave";
/// The name of hole punching (BEP 55).
pub const UT_HOLEPUNCH: &str = "ut_holepunch";

/// What bencoded payloads are read with.
const LIMITS: bencode::Limits = bencode::Limits {
    max_input: crate::MAX_MESSAGE_LEN as usize,
    max_depth: crate::MAX_EXTENSION_DEPTH,
    max_values: crate::MAX_EXTENSION_VALUES,
};

/// Reads the dictionary that a payload begins with, and returns the bytes after it too.
fn decode_dict<'a>(
    name: &'static str,
    payload: &'a [u8],
) -> Result<(bencode::Document<'a>, &'a [u8]), crate::Error> {
    let (document, rest) =
        bencode::decode_prefix(payload, LIMITS).map_err(|error| crate::Error::Bencode { name, error })?;
    if document.root().kind() != bencode::Kind::Dict {
        return Err(crate::Error::Extension { name, what: "not a dictionary" });
    }
    Ok((document, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use bencode::ErrorKind;

    #[test]
    fn a_payload_is_read_within_bounds() {
        let kind = |payload: &str| match decode_dict("test", payload.as_bytes()) {
            Ok(_) => None,
            Err(crate::Error::Bencode { error, .. }) => Some(error.kind),
            Err(error) => panic!("{error}"),
        };
        let deep = |depth: usize| format!("d1:a{}{}e", "l".repeat(depth - 1), "e".repeat(depth - 1));
        assert_eq!(kind(&deep(LIMITS.max_depth)), None);
        assert_eq!(kind(&deep(LIMITS.max_depth + 1)), Some(ErrorKind::TooDeep));
        // The dictionary, its key and the list are values as well.
        let many = |values: usize| format!("d1:al{}ee", "0:".repeat(values - 3));
        assert_eq!(kind(&many(LIMITS.max_values)), None);
        assert_eq!(kind(&many(LIMITS.max_values + 1)), Some(ErrorKind::TooManyValues));
        let long = |len: usize| format!("de{}", "x".repeat(len - 2));
        assert_eq!(kind(&long(LIMITS.max_input)), None);
        assert_eq!(kind(&long(LIMITS.max_input + 1)), Some(ErrorKind::InputTooLong));
    }
}
