//! Whom to serve.
//!
//! Leeching: tit for tat. Every ten seconds the peers that send us most get the slots, all but one; the last goes to
//! somebody by chance and moves on every thirty seconds, newcomers being three times as likely (BEP 3). Who took and did
//! not give though it could waits for that last slot, at half the chance of others, and has it for one round. Seeding:
//! in turns. Whoever has waited longest gets the next slot and keeps it for a minute, longer if nobody waits, so
//! that pieces are spread over all peers rather than fed to the nearest fast one. Hosts take turns rather than
//! connections: of two that wait, the one of whose host fewer are served or came before it is next.
//!
//! Only peers that are interested take part. As long as there are slots for all of them, nobody is choked.

use crate::PeerKey;
use crate::limits::{CHOKE_INTERVAL, MIN_SERVED, OPTIMISTIC_INTERVAL, SEED_TURN};
use crate::slots::Slots;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::IpAddr;
use fastrand::Rng;
use types::Time;

#[derive(Debug)]
pub(crate) struct Choker {
    slots: Slots,
    optimistic: Option<PeerKey>,
    next_optimistic: Time,
    next_round: Time,
}

/// An interested peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) peer: PeerKey,
    /// See [`host`](crate::dial_guard::host).
    pub(crate) host: (IpAddr, IpAddr),
    pub(crate) unchoked: bool,
    /// When it was last choked or unchoked; when it came, if never.
    pub(crate) since: Time,
    /// It was never unchoked.
    pub(crate) newcomer: bool,
    /// It lets our requests wait.
    pub(crate) snubbed: bool,
    /// It took and did not give though it could.
    pub(crate) freeloads: bool,
    /// Bytes per second that it sends us.
    pub(crate) rate: u64,
}

impl Choker {
    pub(crate) fn new(slots: usize, now: Time) -> Choker {
        Choker {
            slots: Slots::new(slots, now),
            optimistic: None,
            next_optimistic: now,
            next_round: now + CHOKE_INTERVAL,
        }
    }

    /// From the next round on, so many peers may be served at once at most.
    pub(crate) fn set_slots(&mut self, most: usize) {
        self.slots.set_most(most);
    }

    /// How many peers may be served at once, for now.
    pub(crate) fn slots(&self) -> usize {
        self.slots.count()
    }

    /// Whether the peer has the slot that is given by chance.
    pub(crate) fn is_optimistic(&self, peer: PeerKey) -> bool {
        self.optimistic == Some(peer)
    }

    /// When [`round`](Self::round) is due, if anybody is interested.
    pub(crate) fn next_round(&self) -> Time {
        self.next_round
    }

    /// Who is to be unchoked from now on; everybody else is to be choked. So many bytes were `sent` since the start.
    pub(crate) fn round(
        &mut self,
        now: Time,
        sent: u64,
        seeding: bool,
        mut candidates: Vec<Candidate>,
        rng: &mut Rng,
    ) -> Vec<PeerKey> {
        self.next_round = now + CHOKE_INTERVAL;
        self.slots.round(now, sent, candidates.len());
        let slots = self.slots.count();
        // The chance is drawn first, so that equals do not fall in the order of keys.
        rng.shuffle(&mut candidates);
        if seeding {
            self.optimistic = None;
            let mut candidates = in_turns(now, candidates);
            candidates.sort_by_key(|c| c.freeloads);
            let givers = candidates.iter().filter(|c| !c.freeloads).count();
            // One slot is everybody's.
            let mut rest = candidates.split_off(givers.min(slots - 1));
            if now >= self.next_optimistic {
                self.next_optimistic = now + OPTIMISTIC_INTERVAL;
                rest = in_turns(now, rest);
            }
            let free = if candidates.len() < MIN_SERVED { slots - candidates.len() } else { 1 };
            candidates.extend(rest.into_iter().take(free));
            return candidates.iter().map(|c| c.peer).collect();
        }
        candidates.sort_by_key(|c| Reverse(merit(c)));
        let givers = candidates.iter().filter(|c| !c.snubbed && !c.freeloads);
        let mut chosen: Vec<PeerKey> = givers.take(slots - 1).map(|c| c.peer).collect();
        let rest: Vec<Candidate> = candidates.into_iter().filter(|c| !chosen.contains(&c.peer)).collect();
        chosen.extend(self.choose_optimistic(now, &rest, rng));
        // Slots that only snubbing peers are left for: better used than not. Who only takes gets one only if our line
        // would have too little to do.
        let few = chosen.len() < MIN_SERVED;
        let others = rest.iter().filter(|c| few || !c.freeloads).map(|c| c.peer);
        let others = others.filter(|&peer| Some(peer) != self.optimistic);
        let free = slots - chosen.len();
        chosen.extend(others.take(free));
        chosen
    }

    fn choose_optimistic(&mut self, now: Time, rest: &[Candidate], rng: &mut Rng) -> Option<PeerKey> {
        let stays = self.optimistic.and_then(|peer| rest.iter().find(|c| c.peer == peer));
        // Within a round it decided whom to serve, too.
        let in_vain = stays.is_some_and(|c| c.freeloads && now.since(c.since) >= CHOKE_INTERVAL);
        let stays = stays.map(|c| c.peer);
        if !in_vain && stays.is_some() && now < self.next_optimistic {
            return stays;
        }
        // If there is anybody else, the slot moves on.
        let others: Vec<&Candidate> = rest.iter().filter(|c| Some(c.peer) != stays).collect();
        let weight = |c: &Candidate| match (c.newcomer, c.freeloads) {
            (true, _) => 6,
            (false, false) => 2,
            (false, true) => 1,
        };
        let sum: usize = others.iter().map(|c| weight(c)).sum();
        self.optimistic = stays;
        if sum > 0 {
            let mut ticket = rng.usize(0..sum);
            let drawn = others.into_iter().find(|c| match ticket.checked_sub(weight(c)) {
                None => true,
                Some(left) => {
                    ticket = left;
                    false
                }
            });
            self.optimistic = drawn.map(|c| c.peer);
            self.next_optimistic = now + OPTIMISTIC_INTERVAL;
        }
        self.optimistic
    }
}

/// Who is served has to be beaten by a tenth: two peers that are as good do not push each other out every round.
fn merit(c: &Candidate) -> u64 {
    if c.unchoked { c.rate.saturating_add(c.rate / 10) } else { c.rate }
}

/// First who is at it, then who waits (in turns of hosts, longest first), then whose turn is over (longest first).
fn in_turns(now: Time, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let place = |c: &Candidate| match (c.unchoked, now.since(c.since) < SEED_TURN) {
        (true, true) => 0,
        (false, _) => 1,
        (true, false) => 2,
    };
    candidates.sort_by_key(|c| (Reverse(c.unchoked), c.since));
    let mut of_host = BTreeMap::<_, usize>::new();
    let mut ranked: Vec<_> = candidates
        .into_iter()
        .map(|c| {
            let before = of_host.entry(c.host).or_default();
            *before += 1;
            (place(&c), if c.unchoked { 0 } else { *before }, c)
        })
        .collect();
    ranked.sort_by_key(|&(place, rank, c)| (place, rank, c.since));
    ranked.into_iter().map(|(_, _, c)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use core::time::Duration;
    use std::collections::BTreeSet;

    fn candidate(key: u64, rate: u64) -> Candidate {
        let host = IpAddr::from(Ipv4Addr::from(u32::try_from(key).unwrap()));
        Candidate {
            peer: PeerKey(key),
            host: (host, host),
            unchoked: false,
            since: Time::ZERO,
            newcomer: false,
            snubbed: false,
            freeloads: false,
            rate,
        }
    }

    #[test]
    fn serves_the_best_and_one_by_chance() {
        let mut choker = Choker::new(3, Time::ZERO);
        let peers: Vec<_> = (1..=10).map(|n| candidate(n, n * 1000)).collect();
        let chosen = choker.round(Time::from_secs(10), 0, false, peers, &mut Rng::with_seed(1));
        assert_eq!(chosen[..2], [PeerKey(10), PeerKey(9)]);
        assert_eq!(chosen.len(), 3);
        assert!(chosen[2] < PeerKey(9));
    }

    #[test]
    fn nobody_is_choked_while_slots_are_free() {
        let mut choker = Choker::new(4, Time::ZERO);
        let mut peers: Vec<_> = (1..=4).map(|n| candidate(n, 0)).collect();
        peers[0].snubbed = true;
        peers[1].snubbed = true;
        peers[2].snubbed = true;
        assert_eq!(choker.round(Time::from_secs(10), 0, false, peers, &mut Rng::with_seed(1)).len(), 4);
    }

    #[test]
    fn who_snubs_us_gets_no_regular_slot() {
        let mut choker = Choker::new(2, Time::ZERO);
        let mut fast = candidate(1, 9_000);
        fast.snubbed = true;
        let peers = std::vec![fast, candidate(2, 10), candidate(3, 5)];
        let chosen = choker.round(Time::from_secs(10), 0, false, peers, &mut Rng::with_seed(1));
        assert_eq!(chosen[0], PeerKey(2));
    }

    #[test]
    fn the_optimistic_slot_moves_every_thirty_seconds_and_reaches_everybody() {
        let mut choker = Choker::new(2, Time::ZERO);
        let mut rng = Rng::with_seed(7);
        let mut seen = BTreeSet::new();
        let mut last = None;
        for round in 1..=150u64 {
            let peers: Vec<_> = (1..=6).map(|n| candidate(n, u64::from(n == 1) * 1000)).collect();
            let chosen = choker.round(Time::from_secs(round * 10), 0, false, peers, &mut rng);
            if round % 3 == 1 {
                assert_ne!(Some(chosen[1]), last, "round {round}");
            } else {
                assert_eq!(Some(chosen[1]), last, "round {round}");
            }
            last = Some(chosen[1]);
            seen.insert(chosen[1]);
        }
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn who_only_takes_has_the_optimistic_slot_for_a_round() {
        let mut choker = Choker::new(1, Time::ZERO);
        let mut rng = Rng::with_seed(3);
        let mut last = None;
        for round in 1..=20u64 {
            let peers = (1..=6).map(|n| {
                let since =
                    if last == Some(PeerKey(n)) { Time::from_secs(round * 10 - 10) } else { Time::ZERO };
                Candidate { since, freeloads: true, ..candidate(n, 0) }
            });
            let chosen = choker
                .round(Time::from_secs(round * 10), 0, false, peers.collect(), &mut rng)
                .first()
                .copied();
            assert_ne!(chosen, last, "round {round}");
            last = chosen;
        }
    }

    #[test]
    fn newcomers_are_three_times_as_likely() {
        let mut newcomers = 0;
        for seed in 0..1000 {
            let mut peers: Vec<_> = (1..=6).map(|n| candidate(n, 0)).collect();
            peers[5].newcomer = true;
            let mut choker = Choker::new(1, Time::ZERO);
            let chosen = choker.round(Time::from_secs(10), 0, false, peers, &mut Rng::with_seed(seed));
            newcomers += u32::from(chosen == [PeerKey(6)]);
        }
        assert!((310..440).contains(&newcomers), "{newcomers} of 1000, 375 expected");
    }

    #[test]
    fn as_good_is_not_better() {
        let mut served = candidate(1, 1000);
        served.unchoked = true;
        for rival in [1000, 1099] {
            let mut choker = Choker::new(2, Time::ZERO);
            let peers = std::vec![served, candidate(2, rival), candidate(3, 0)];
            let chosen = choker.round(Time::from_secs(10), 0, false, peers, &mut Rng::with_seed(rival));
            assert_eq!(chosen[0], PeerKey(1));
        }
    }

    #[test]
    fn a_seed_serves_everybody_in_turn() {
        let mut choker = Choker::new(2, Time::ZERO);
        let mut peers: Vec<_> = (1..=7).map(|n| candidate(n, 0)).collect();
        let mut rounds_served: BTreeMap<PeerKey, u32> = BTreeMap::new();
        for round in 1..=210u64 {
            let now = Time::ZERO + Duration::from_secs(round * 10);
            let chosen = choker.round(now, 0, true, peers.clone(), &mut Rng::with_seed(round));
            assert_eq!(chosen.len(), 2);
            for c in &mut peers {
                let unchoked = chosen.contains(&c.peer);
                if unchoked != c.unchoked {
                    (c.unchoked, c.since) = (unchoked, now);
                }
                *rounds_served.entry(c.peer).or_default() += u32::from(unchoked);
            }
        }
        assert!(rounds_served.values().all(|rounds| (48..=72).contains(rounds)), "{rounds_served:?}");
    }

    #[test]
    fn a_crowd_of_one_host_waits_for_its_turns() {
        let mut choker = Choker::new(4, Time::ZERO);
        let crowd = candidate(1, 0).host;
        let now = Time::from_secs(70);
        let mut peers: Vec<_> = (1..=20).map(|n| Candidate { host: crowd, ..candidate(n, 0) }).collect();
        peers[..4].iter_mut().for_each(|c| c.unchoked = true);
        peers.extend((30..=32).map(|n| Candidate { since: Time::from_secs(60), ..candidate(n, 0) }));
        let chosen = choker.round(now, 0, true, peers, &mut Rng::with_seed(1));
        assert_eq!(chosen.iter().filter(|peer| peer.0 >= 30).count(), 3, "{chosen:?}");
    }

    #[test]
    fn who_only_takes_gets_the_last_slot_at_most() {
        let taker = |n| Candidate { freeloads: true, ..candidate(n, 0) };
        let mut choker = Choker::new(4, Time::ZERO);
        let mut peers: Vec<_> = (1..=6).map(|n| candidate(n, 0)).collect();
        peers.extend((10..=15).map(taker));
        for round in 1..=100 {
            let now = Time::ZERO + Duration::from_secs(round * 10);
            for seeding in [false, true] {
                let chosen = choker.round(now, 0, seeding, peers.clone(), &mut Rng::with_seed(round));
                assert_eq!(chosen.len(), 4);
                assert!(chosen.iter().filter(|peer| peer.0 >= 10).count() <= 1);
            }
        }
        // With nobody else to serve, the line is better used than not.
        let takers: Vec<_> = (10..=15).map(taker).collect();
        for seeding in [false, true] {
            assert_eq!(choker.round(Time::MAX, 0, seeding, takers.clone(), &mut Rng::with_seed(1)).len(), 4);
        }
    }
}
