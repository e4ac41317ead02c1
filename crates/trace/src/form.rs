//! How values of other crates are written.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    text.len().is_multiple_of(2).then(|| (0..text.len()).step_by(2).map(pair).collect()).flatten()
}

fn array<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(from)?;
    bytes(&text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::custom("not so many hex digits"))
}

/// Bytes as hex digits.
pub(crate) mod hex {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digits(value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        bytes(&String::deserialize(from)?).ok_or_else(|| Error::custom("not hex digits"))
    }
}

/// 32 bytes as hex digits.
pub(crate) mod hex32 {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digits(value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        array(from)
    }
}

/// Seconds, to the nanosecond.
pub(crate) mod seconds {
    use super::*;
    use core::time::Duration;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(value.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(Error::custom)
    }
}

/// The same of what may be absent.
pub(crate) mod maybe_seconds {
    use super::*;
    use core::time::Duration;

    #[allow(clippy::ref_option, reason = "what serde hands over")]
    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_f64(value.as_secs_f64()),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(from)?;
        seconds.map(|seconds| Duration::try_from_secs_f64(seconds).map_err(Error::custom)).transpose()
    }
}

/// An info-hash as it is shown.
pub(crate) mod info_hash {
    use super::*;
    use types::{InfoHash, InfoHashV1, InfoHashV2};

    pub(crate) fn serialize<S: Serializer>(value: &InfoHash, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.to_string())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<InfoHash, D::Error> {
        let text = String::deserialize(from)?;
        let v1 = InfoHashV1::from_str(&text).map(InfoHash::V1);
        v1.or_else(|_| InfoHashV2::from_str(&text).map(InfoHash::V2)).map_err(Error::custom)
    }
}

/// The 20 bytes of a handshake.
pub(crate) mod info_hash_v1 {
    use super::*;
    use types::InfoHashV1;

    pub(crate) fn serialize<S: Serializer>(value: &InfoHashV1, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digits(&value.0))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<InfoHashV1, D::Error> {
        array(from).map(InfoHashV1)
    }
}

/// A peer id as hex digits.
pub(crate) mod peer_id {
    use super::*;
    use types::PeerId;

    pub(crate) fn serialize<S: Serializer>(value: &PeerId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digits(&value.0))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PeerId, D::Error> {
        array(from).map(PeerId)
    }
}

/// Reserved bytes as hex digits.
pub(crate) mod reserved {
    use super::*;
    use wire::Reserved;

    pub(crate) fn serialize<S: Serializer>(value: &Reserved, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digits(&value.0))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Reserved, D::Error> {
        array(from).map(Reserved)
    }
}
