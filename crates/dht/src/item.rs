//! Items that the DHT stores for anybody (BEP 44): immutable ones under their hash, mutable ones under a key's.

use crate::NodeId;
use crate::limits::{ITEM, MAX_ITEM_LEN, MAX_SALT_LEN};
use alloc::vec::Vec;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// An item that can only be there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImmutableItem {
    /// Its value, bencoded, 1,000 bytes at most.
    pub value: Vec<u8>,
}

/// An item that the owner of a key can replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutableItem {
    /// The public key (Ed25519).
    pub key: [u8; 32],
    /// Which of the key's items it is, 64 bytes at most; empty for its only one.
    pub salt: Vec<u8>,
    /// Which version: the highest counts, 0 to 2^63 - 1.
    pub seq: i64,
    /// Of salt, sequence number and value.
    pub signature: [u8; 64],
    /// Its value, bencoded, 1,000 bytes at most.
    pub value: Vec<u8>,
}

/// What is wrong with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// More than 1,000 bytes.
    #[error("the value is longer than 1,000 bytes")]
    TooBig,
    /// More than 64 bytes.
    #[error("the salt is longer than 64 bytes")]
    SaltTooBig,
    /// Not the one encoding of any value.
    #[error("the value is not canonical bencode")]
    NotBencode,
    /// Less than 0.
    #[error("the sequence number is negative")]
    NegativeSequence,
    /// The key did not sign this.
    #[error("the signature is not valid")]
    BadSignature,
}

impl ImmutableItem {
    /// An item of this value, which is bencoded already.
    ///
    /// # Errors
    /// It is too long, or not canonical bencode.
    pub fn new(value: Vec<u8>) -> Result<ImmutableItem, ItemError> {
        check_value(&value)?;
        Ok(ImmutableItem { value })
    }

    /// What it is called in the DHT.
    pub fn target(&self) -> NodeId {
        immutable_target(&self.value)
    }
}

impl MutableItem {
    /// Signs a version of an item with the private key that `seed` stands for (RFC 8032).
    ///
    /// # Errors
    /// The value is too long or not canonical bencode, the salt too long, or the sequence number negative.
    pub fn sign(seed: &[u8; 32], salt: &[u8], seq: i64, value: Vec<u8>) -> Result<MutableItem, ItemError> {
        let key = SigningKey::from_bytes(seed);
        check_fields(salt, seq, &value)?;
        let signature = key.sign(&signed_bytes(salt, seq, &value)).to_bytes();
        Ok(MutableItem { key: key.verifying_key().to_bytes(), salt: salt.to_vec(), seq, signature, value })
    }

    /// What it is called in the DHT.
    pub fn target(&self) -> NodeId {
        mutable_target(&self.key, &self.salt)
    }

    /// Checks everything.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self) -> Result<(), ItemError> {
        verify(&self.key, &self.salt, self.seq, &self.signature, &self.value)
    }
}

/// The public key of the private one that `seed` stands for (RFC 8032).
pub fn public_key(seed: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

/// What an immutable item is called: the SHA-1 of its value as it is bencoded.
pub fn immutable_target(value: &[u8]) -> NodeId {
    NodeId(hash::sha1(value))
}

/// What a mutable item is called: the SHA-1 of its key and its salt (BEP 44; BEP 46 calls torrents so).
pub fn mutable_target(key: &[u8; 32], salt: &[u8]) -> NodeId {
    let mut sha1 = hash::Sha1::new();
    sha1.update(key);
    sha1.update(salt);
    NodeId(sha1.finalize())
}

pub(crate) fn verify(
    key: &[u8; 32],
    salt: &[u8],
    seq: i64,
    signature: &[u8; 64],
    value: &[u8],
) -> Result<(), ItemError> {
    check_fields(salt, seq, value)?;
    let key = VerifyingKey::from_bytes(key).map_err(|_| ItemError::BadSignature)?;
    let signature = Signature::from_bytes(signature);
    // Strict: a weak key would sign everything, for everybody.
    key.verify_strict(&signed_bytes(salt, seq, value), &signature).map_err(|_| ItemError::BadSignature)
}

fn check_fields(salt: &[u8], seq: i64, value: &[u8]) -> Result<(), ItemError> {
    if salt.len() > MAX_SALT_LEN {
        return Err(ItemError::SaltTooBig);
    }
    if seq < 0 {
        return Err(ItemError::NegativeSequence);
    }
    check_value(value)
}

pub(crate) fn check_value(value: &[u8]) -> Result<(), ItemError> {
    if value.len() > MAX_ITEM_LEN {
        return Err(ItemError::TooBig);
    }
    match bencode::decode_with(value, ITEM) {
        Ok(document) if document.irregularity().is_none() => Ok(()),
        _ => Err(ItemError::NotBencode),
    }
}

/// What is signed: salt, sequence number and value as a dictionary would have them, without its brackets.
pub fn signed_bytes(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if !salt.is_empty() {
        out.extend_from_slice(alloc::format!("4:salt{}:", salt.len()).as_bytes());
        out.extend_from_slice(salt);
    }
    out.extend_from_slice(alloc::format!("3:seqi{seq}e1:v").as_bytes());
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_stored_is_refused() {
        assert_eq!(
            ImmutableItem::new(b"5:hello".to_vec()).map(|item| item.target()),
            Ok(immutable_target(b"5:hello"))
        );
        assert_eq!(ImmutableItem::new(b"hello".to_vec()), Err(ItemError::NotBencode));
        assert_eq!(ImmutableItem::new(b"i01e".to_vec()), Err(ItemError::NotBencode));
        assert_eq!(ImmutableItem::new(Vec::new()), Err(ItemError::NotBencode));
        let long = |len: usize| alloc::format!("{len}:{}", "x".repeat(len)).into_bytes();
        assert!(ImmutableItem::new(long(MAX_ITEM_LEN - 4)).is_ok());
        assert_eq!(ImmutableItem::new(long(MAX_ITEM_LEN - 3)), Err(ItemError::TooBig));
        let deep = |depth: usize| ("l".repeat(depth) + &"e".repeat(depth)).into_bytes();
        assert!(ImmutableItem::new(deep(ITEM.max_depth)).is_ok());
        assert_eq!(ImmutableItem::new(deep(ITEM.max_depth + 1)), Err(ItemError::NotBencode));
        // Nothing of that length has more values than may be.
        let full = alloc::format!("l{}e", "0:".repeat((ITEM.max_input - 2) / 2)).into_bytes();
        assert!(full.len() == MAX_ITEM_LEN && full.len() / 2 <= ITEM.max_values);
        assert!(ImmutableItem::new(full).is_ok());
        let sign = |salt: usize, seq| {
            MutableItem::sign(&[1; 32], &[b's'; MAX_SALT_LEN + 1][..salt], seq, b"le".to_vec()).map(|_| ())
        };
        assert_eq!(sign(MAX_SALT_LEN, 0), Ok(()));
        assert_eq!(sign(MAX_SALT_LEN + 1, 0), Err(ItemError::SaltTooBig));
        assert_eq!(sign(0, -1), Err(ItemError::NegativeSequence));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn only_what_was_signed_verifies(seed: [u8; 32], salt in prop::collection::vec(any::<u8>(), 0..=64), seq in 0i64.., bit in 0usize..512) {
            let item = MutableItem::sign(&seed, &salt, seq, b"5:hello".to_vec()).unwrap();
            prop_assert_eq!(item.verify(), Ok(()));
            prop_assert_eq!(item.key, public_key(&seed));
            let mut forged = item.clone();
            forged.signature[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(forged.verify(), Err(ItemError::BadSignature));
            let forged = MutableItem { value: b"5:hallo".to_vec(), ..item.clone() };
            prop_assert_eq!(forged.verify(), Err(ItemError::BadSignature));
            let forged = MutableItem { seq: seq ^ 1, ..item };
            prop_assert_eq!(forged.verify(), Err(ItemError::BadSignature));
        }
    }
}
