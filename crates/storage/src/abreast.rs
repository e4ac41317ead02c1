//! Several pieces hashed abreast: it takes little longer than one.
//!
//! A little of each is read, then all of it is hashed at once, and so on: the bytes are still in the processor's cache
//! when they are hashed, and memory does not grow with the pieces.

use crate::limits::{HASH_ABREAST, HASH_ABREAST_BYTES, HASH_READ};
use hash::Sha1;

/// How many pieces of this length are worth taking at once.
pub(crate) fn width(piece_length: u32) -> usize {
    let fit = HASH_ABREAST_BYTES / piece_length.max(1);
    usize::try_from(fit).unwrap_or(HASH_ABREAST).clamp(HASH_ABREAST / 4, HASH_ABREAST)
}

/// The hashes of pieces of these lengths, of which there are at most [`HASH_ABREAST`]. `read` fills the buffer with the
/// bytes of one of them from an offset on; one that cannot be read holds up no other. `buf` is room to be used again.
pub(crate) fn hash<E>(
    lengths: &[u32],
    buf: &mut Vec<u8>,
    mut read: impl FnMut(usize, u32, &mut [u8]) -> Result<(), E>,
) -> Vec<Result<[u8; 20], E>> {
    let chunk = HASH_READ / lengths.len().clamp(1, HASH_ABREAST);
    buf.resize(HASH_READ, 0);
    let mut states: Vec<Result<Sha1, E>> = lengths.iter().map(|_| Ok(Sha1::new())).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    for at in (0..longest).step_by(chunk) {
        let parts = states.iter_mut().zip(lengths).zip(buf.chunks_exact_mut(chunk)).enumerate();
        let filled = parts.filter_map(|(which, ((state, &length), part))| {
            let part = part.get_mut(..chunk.min(length.saturating_sub(at) as usize))?;
            if part.is_empty() || state.is_err() {
                return None;
            }
            if let Err(error) = read(which, at, part) {
                *state = Err(error);
            }
            Some((state.as_mut().ok()?, &*part))
        });
        let filled: Vec<(&mut Sha1, &[u8])> = filled.collect();
        Sha1::update_many(filled);
    }
    states.into_iter().map(|state| state.map(Sha1::finalize)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_one_by_one() {
        let bytes = |which: u32, length: u32| -> Vec<u8> {
            (0..length).map(|n| (n * (which + 3) / 7).to_be_bytes()[3]).collect()
        };
        let chunk = u32::try_from(HASH_READ / HASH_ABREAST).unwrap();
        for count in [0, 1, 3, 16] {
            let length = |n: u32| [chunk * 2, chunk * 2 + n, n, 0][n as usize % 4];
            let lengths: Vec<u32> = (0..count).map(length).collect();
            let contents: Vec<_> = (0..count).map(|n| bytes(n, length(n))).collect();
            let hashes = hash(&lengths, &mut Vec::new(), |which, at, buf| {
                if which == 2 {
                    return Err(());
                }
                buf.copy_from_slice(&contents[which][at as usize..][..buf.len()]);
                Ok(())
            });
            for (which, found) in hashes.into_iter().enumerate() {
                let broken = which == 2 && lengths[which] > 0;
                assert_eq!(
                    found,
                    if broken { Err(()) } else { Ok(hash::sha1(&contents[which])) },
                    "{which} of {count}"
                );
            }
        }
    }

    #[test]
    fn wide_for_small_pieces_and_never_narrow() {
        assert_eq!([1 << 14, 1 << 20, 1 << 22, 1 << 26].map(width), [16, 16, 16, 4]);
    }
}
