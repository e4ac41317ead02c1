//! Peer exchange with one peer (BEP 11): what it was told, when it is told more, and how much of what it tells is heard.

use crate::limits::{
    EXCHANGE_BURST, EXCHANGE_DELAY, EXCHANGE_INTERVAL, MAX_EXCHANGE_EXCESS, MAX_EXCHANGED, MAX_TOLD,
};
use crate::quota::Quota;
use alloc::collections::BTreeSet;
use core::net::SocketAddr;
use types::Time;
use wire::ext::{Pex, PexPeer};

#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// The number of its `ut_pex` messages, if it wants any.
    id: Option<u8>,
    /// We said that we want its messages.
    pub(crate) is_offered: bool,
    /// What it was told, and not that it is gone.
    told: BTreeSet<SocketAddr>,
    last_told: Option<Time>,
    /// When it is looked at whether there is anything to tell; `None` if there is nothing before something changes.
    due: Option<Time>,
    messages: Quota,
    /// Messages that came too soon.
    excess: u32,
}

/// What becomes of a message of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It is heard.
    Heard,
    /// It came too soon.
    TooSoon,
    /// That happened too often.
    Flood,
}

impl Exchange {
    /// The peer says which number its `ut_pex` messages have, 0 if it wants none.
    pub(crate) fn set_id(&mut self, id: u8) {
        self.id = Some(id).filter(|&id| id != 0);
        self.due = self.due.filter(|_| self.id.is_some());
    }

    pub(crate) fn id(&self) -> Option<u8> {
        self.id
    }

    /// Connections came or went; returns when the peer is to be told. A moment later, since seldom one comes alone, and
    /// not before the time.
    pub(crate) fn news(&mut self, now: Time) -> Option<Time> {
        if self.id.is_some() && self.due.is_none() {
            let earliest = self.last_told.map_or(Time::ZERO, |last| last + EXCHANGE_INTERVAL);
            self.due = Some(earliest.max(now + EXCHANGE_DELAY));
        }
        self.due
    }

    pub(crate) fn due(&self) -> Option<Time> {
        self.due
    }

    /// The difference between what it was told and the peers there are now, if there is any.
    pub(crate) fn tell(&mut self, now: Time, present: &[PexPeer]) -> Option<Pex> {
        self.due = None;
        let there: BTreeSet<SocketAddr> = present.iter().map(|peer| peer.addr).collect();
        let mut pex = Pex::default();
        pex.dropped.extend(self.told.difference(&there).take(MAX_EXCHANGED));
        for gone in &pex.dropped {
            self.told.remove(gone);
        }
        for &peer in present {
            let has_room = pex.added.len() < MAX_EXCHANGED && self.told.len() < MAX_TOLD;
            if has_room && self.told.insert(peer.addr) {
                pex.added.push(peer);
            }
        }
        if pex == Pex::default() {
            return None;
        }
        self.last_told = Some(now);
        let is_full = pex.added.len() == MAX_EXCHANGED || pex.dropped.len() == MAX_EXCHANGED;
        self.due = is_full.then(|| now + EXCHANGE_INTERVAL);
        Some(pex)
    }

    /// A message came.
    pub(crate) fn hear(&mut self, now: Time) -> Hearing {
        if self.messages.allows(now, EXCHANGE_INTERVAL, EXCHANGE_BURST) {
            return Hearing::Heard;
        }
        self.excess += 1;
        if self.excess > MAX_EXCHANGE_EXCESS { Hearing::Flood } else { Hearing::TooSoon }
    }

    /// # Panics
    /// If a limit is passed.
    pub(crate) fn check(&self) {
        assert!(self.told.len() <= MAX_TOLD);
        assert!(self.id.is_some() || self.due.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;
    use std::vec::Vec;
    use wire::ext::PexFlags;

    fn peers(of: impl IntoIterator<Item = u16>) -> Vec<PexPeer> {
        let addr = |n: u16| SocketAddr::from(([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]], 1));
        of.into_iter().map(|n| PexPeer { addr: addr(n), flags: PexFlags(0) }).collect()
    }

    fn talk() -> Exchange {
        let mut exchange = Exchange::default();
        exchange.set_id(5);
        exchange
    }

    #[test]
    fn news_wait_for_others_and_for_the_minute() {
        let start = Time::from_secs(100);
        assert_eq!(Exchange::default().news(start), None, "it wants none");
        let mut exchange = talk();
        assert_eq!(exchange.news(start), Some(start + EXCHANGE_DELAY));
        assert_eq!(exchange.news(start + EXCHANGE_DELAY / 2), Some(start + EXCHANGE_DELAY));
        assert_eq!(exchange.tell(start, &[]), None);
        assert_eq!(exchange.due(), None);
        exchange.news(start);
        assert_eq!(exchange.tell(start, &peers([1])).unwrap().added, peers([1]));
        assert_eq!(exchange.news(start + EXCHANGE_DELAY), Some(start + EXCHANGE_INTERVAL));
        exchange.set_id(0);
        assert_eq!((exchange.due(), exchange.news(start)), (None, None));
    }

    #[test]
    fn what_is_too_much_for_one_message_follows_in_the_next() {
        let (mut exchange, now) = (talk(), Time::from_secs(100));
        let count = u16::try_from(MAX_EXCHANGED).unwrap();
        let all = peers(0..count + 1);
        let first = exchange.tell(now, &all).unwrap();
        assert_eq!((first.added.len(), exchange.due()), (MAX_EXCHANGED, Some(now + EXCHANGE_INTERVAL)));
        let second = exchange.tell(now + EXCHANGE_INTERVAL, &all).unwrap();
        assert_eq!((second.added, exchange.due()), (peers([count]), None));
        let many = peers(0..u16::try_from(2 * MAX_TOLD).unwrap());
        while exchange.tell(now, &many).is_some() {}
        assert_eq!(exchange.told.len(), MAX_TOLD);
    }

    proptest! {
        /// Who follows what it is told knows who is there, whatever came and went in between.
        #[test]
        fn the_messages_add_up(rounds in prop::collection::vec(prop::collection::btree_set(0u16..120, 0..120), 1..12)) {
            let (mut exchange, mut now) = (talk(), Time::from_secs(1));
            let mut known = BTreeSet::new();
            for there in rounds {
                let present = peers(there.iter().copied());
                let there: BTreeSet<SocketAddr> = present.iter().map(|peer| peer.addr).collect();
                for _ in 0..10 {
                    now += EXCHANGE_INTERVAL;
                    let Some(pex) = exchange.tell(now, &present) else { break };
                    prop_assert!(pex.added.len() <= MAX_EXCHANGED && pex.dropped.len() <= MAX_EXCHANGED);
                    for gone in &pex.dropped {
                        prop_assert!(known.remove(gone), "it never was there");
                        prop_assert!(pex.added.iter().all(|peer| peer.addr != *gone), "there and gone");
                    }
                    for peer in &pex.added {
                        prop_assert!(known.insert(peer.addr), "told twice");
                    }
                    exchange.check();
                }
                prop_assert_eq!(&known, &there);
            }
        }
    }

    #[test]
    fn what_comes_too_often_is_not_heard() {
        let (mut exchange, start) = (talk(), Time::from_secs(100));
        for _ in 0..EXCHANGE_BURST {
            assert_eq!(exchange.hear(start), Hearing::Heard);
        }
        assert_eq!(exchange.hear(start), Hearing::TooSoon);
        let later = start + EXCHANGE_INTERVAL;
        assert_eq!(exchange.hear(later), Hearing::Heard);
        for _ in 1..MAX_EXCHANGE_EXCESS {
            assert_eq!(exchange.hear(later), Hearing::TooSoon);
        }
        assert_eq!(exchange.hear(later), Hearing::Flood);

        let (mut honest, mut now) = (talk(), start);
        for _ in 0..200 {
            assert_eq!(honest.hear(now), Hearing::Heard);
            now += EXCHANGE_INTERVAL + Duration::from_millis(1);
        }
    }
}
