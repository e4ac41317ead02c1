//! Node ids that are tied to addresses (BEP 42): who wants many ids near a target needs many addresses.

use crate::{NodeId, is_local};
use core::net::IpAddr;
use crc::{CRC_32_ISCSI, Crc, Table};
use fastrand::Rng;

const CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
const MASK_V4: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];
const MASK_V6: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];
/// The bits of the checksum that an id begins with: the first 21.
const PREFIX: u32 = 0xffff_f800;

/// Whether a node at this address may have this id. At a local address any will do.
pub fn is_valid_id(id: &NodeId, ip: IpAddr) -> bool {
    let [a, b, c, d, ..] = id.0;
    is_local(ip) || (u32::from_be_bytes([a, b, c, d]) ^ checksum(ip, id.0[19])) & PREFIX == 0
}

/// An id for a node at this address; at a local one, any.
pub fn id_for(ip: IpAddr, rng: &mut Rng) -> NodeId {
    let mut id = NodeId::random(rng);
    if !is_local(ip) {
        let [a, b, c, d, ..] = id.0;
        let prefix = checksum(ip, id.0[19]) & PREFIX | u32::from_be_bytes([a, b, c, d]) & !PREFIX;
        id.0[..4].copy_from_slice(&prefix.to_be_bytes());
    }
    id
}

/// The checksum of what counts of an address, with three random bits.
fn checksum(ip: IpAddr, random: u8) -> u32 {
    let random = (random & 7) << 5;
    match ip {
        IpAddr::V4(ip) => masked(ip.octets(), MASK_V4, random),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            masked([a, b, c, d, e, f, g, h], MASK_V6, random)
        }
    }
}

fn masked<const N: usize>(mut ip: [u8; N], mask: [u8; N], random: u8) -> u32 {
    ip.iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
    ip[0] |= random;
    CRC32C.checksum(&ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn our_ids_are_valid(seed: u64, v4: u32, v6: u128) {
            let mut rng = Rng::with_seed(seed);
            for ip in [IpAddr::from(v4.to_be_bytes()), IpAddr::from(v6.to_be_bytes())] {
                let mut id = id_for(ip, &mut rng);
                prop_assert!(is_valid_id(&id, ip));
                id.0[1] ^= 1;
                prop_assert_eq!(is_valid_id(&id, ip), is_local(ip));
            }
        }
    }
}
