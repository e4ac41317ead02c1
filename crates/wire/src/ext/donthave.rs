//! A piece that a peer had and has no longer (BEP 54).

use super::LT_DONTHAVE;
use crate::Error;

/// The payload of an `lt_donthave` message: the piece that the sender no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DontHave(pub u32);

impl DontHave {
    /// The message's payload.
    pub fn encode(&self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Reads a message's payload.
    ///
    /// # Errors
    /// Any other length than 4 bytes.
    pub fn decode(payload: &[u8]) -> Result<DontHave, Error> {
        let bytes = payload
            .try_into()
            .map_err(|_| Error::Extension { name: LT_DONTHAVE, what: "a piece number of 4 bytes is due" })?;
        Ok(DontHave(u32::from_be_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn is_four_bytes() {
        assert_eq!(DontHave::decode(&[0, 0, 1, 2]), Ok(DontHave(258)));
        assert_eq!(DontHave(258).encode(), [0, 0, 1, 2]);
        for wrong in [&[][..], &[0; 3], &[0; 5]] {
            let error = DontHave::decode(wrong).unwrap_err();
            assert_eq!(error.to_string(), "lt_donthave message: a piece number of 4 bytes is due");
        }
    }
}
