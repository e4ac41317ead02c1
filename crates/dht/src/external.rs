//! Under which address others see us, by what they say (`ip`, BEP 42).

use crate::addr::{is_local, subnet};
use crate::limits::{EXTERNAL_QUORUM, MAX_EXTERNAL_VOTES};
use alloc::collections::VecDeque;
use core::net::IpAddr;

/// The voices about our address in one family. One network has one voice.
#[derive(Debug, Default)]
pub(crate) struct External {
    /// Who says what, the latest last.
    votes: VecDeque<(IpAddr, IpAddr)>,
    known: Option<IpAddr>,
    /// The owner knows it: others need not be asked.
    is_given: bool,
}

impl External {
    /// `known`: the address that the owner gives.
    pub(crate) fn new(known: Option<IpAddr>) -> External {
        External { votes: VecDeque::new(), known, is_given: known.is_some() }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.known
    }

    /// A node says that it sees us there; gives the address if enough say so, and it is another one than before.
    pub(crate) fn vote(&mut self, voter: IpAddr, ip: IpAddr) -> Option<IpAddr> {
        let voter = subnet(voter)?;
        if self.is_given || is_local(ip) {
            return None;
        }
        self.votes.retain(|(other, _)| *other != voter);
        if self.votes.len() >= MAX_EXTERNAL_VOTES {
            self.votes.pop_front();
        }
        self.votes.push_back((voter, ip));
        let agree = self.votes.iter().filter(|(_, voted)| *voted == ip).count();
        let is_believed = agree >= EXTERNAL_QUORUM && agree * 2 > self.votes.len();
        (is_believed && self.known.replace(ip) != Some(ip)).then_some(ip)
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.votes.len() <= MAX_EXTERNAL_VOTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_networks_must_agree() {
        let mut external = External::default();
        let (ours, lie) = (IpAddr::from([80, 1, 2, 3]), IpAddr::from([80, 9, 9, 9]));
        for n in 0..100 {
            assert_eq!(external.vote([70, 0, 0, n].into(), lie), None, "one network");
        }
        for n in 1..4 {
            assert_eq!(external.vote([70, 0, n, 1].into(), ours), None);
        }
        assert_eq!(external.vote([127, 0, 0, 1].into(), ours), None, "no voice from inside");
        assert_eq!(external.vote([70, 0, 4, 1].into(), ours), Some(ours));
        assert_eq!(external.vote([70, 0, 5, 1].into(), ours), None, "nothing new");
        assert_eq!(
            external.vote([70, 0, 6, 1].into(), [10, 0, 0, 1].into()),
            None,
            "not an address of the Internet"
        );
        assert_eq!(external.ip(), Some(ours));
        for n in 0..40 {
            external.vote([71, 0, n, 1].into(), lie);
        }
        assert_eq!(external.ip(), Some(lie), "the latest voices");
        external.check_invariants();
    }

    #[test]
    fn what_the_owner_knows_needs_no_voices() {
        let (ours, lie) = (IpAddr::from([80, 1, 2, 3]), IpAddr::from([80, 9, 9, 9]));
        let mut external = External::new(Some(ours));
        for n in 0..40 {
            assert_eq!(external.vote([71, 0, n, 1].into(), lie), None);
        }
        assert_eq!(external.ip(), Some(ours));
    }

    #[test]
    fn the_oldest_voice_is_forgotten() {
        let mut external = External::default();
        for n in 0..=u8::try_from(MAX_EXTERNAL_VOTES).unwrap() {
            assert_eq!(external.vote([70, 0, n, 1].into(), [80, n, 2, 3].into()), None);
        }
        assert_eq!(external.votes.len(), MAX_EXTERNAL_VOTES);
        assert_eq!(external.votes[0].1, IpAddr::from([80, 1, 2, 3]));
    }
}
