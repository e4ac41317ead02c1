//! What holds a torrent back, ranked, each cause with its evidence: a pure function of what is observed.
//!
//! What stops a torrent as a whole comes first, then what stops all of its peers, then what only slows it down. A cause that
//! holds for some of the peers weighs as much less as they are fewer.

mod cause;
mod facts;
#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use facts::{Doing, Facts, PeerFacts, TrackerFacts};

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

/// How long a torrent has to run before it is remarkable that nobody has called.
const CALLED_BY: Duration = Duration::from_secs(120);

/// How long one that is alone has to run before those who could not be connected to say something of our port, rather than that
/// they are gone.
const ALONE_BY: Duration = Duration::from_secs(60);

/// With so many connections it matters little that nobody can call.
const ENOUGH_PEERS: usize = 10;

/// One cause, and how much it weighs.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// From 1 to 100: how much of the download it holds back, as far as can be told.
    pub weight: u8,
    /// What, with its evidence.
    pub cause: Cause,
}

/// What holds a torrent back, the weightiest first; nothing if nothing is seen. Addresses are in the evidence: see
/// [`Cause::mask`].
pub fn why(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings { facts, found: Vec::new() };
    match findings.state() {
        true => {}
        false if facts.connected == 0 => findings.alone(),
        false => findings.in_company(),
    }
    findings.found.sort_by_key(|finding| Reverse(finding.weight));
    findings.found
}

struct Findings<'a> {
    facts: &'a Facts,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, weight: u8, cause: Cause) {
        self.found.push(Finding { weight, cause });
    }

    /// What is so for some of all: as much less as they are fewer; less than half of them hold nobody back.
    fn add_share(&mut self, weight: u8, some: usize, all: usize, cause: Cause) {
        if some > 0 && some == all {
            self.add(weight, cause);
        } else if some * 2 >= all && some > 0 {
            let share = usize::from(weight) * some / all / 2;
            self.add(u8::try_from(share).unwrap_or(weight), cause);
        }
    }

    /// Whether the torrent as a whole does something else than to download.
    fn state(&mut self) -> bool {
        let error = || self.facts.trouble.clone().unwrap_or_default();
        let cause = match self.facts.doing {
            Doing::Downloading => return false,
            Doing::FetchingMetadata => {
                let Facts { connected, known, .. } = *self.facts;
                self.add(60, Cause::MetadataMissing { peers: connected, known });
                return false;
            }
            Doing::Paused => Cause::Paused,
            Doing::Queued => Cause::Queued,
            Doing::Checking => Cause::Checking,
            Doing::Moving => Cause::Moving,
            Doing::Complete => Cause::Complete,
            Doing::Unsettled => Cause::Unsettled { error: error() },
            Doing::Stopped => Cause::Stopped,
            Doing::DiskFull => Cause::DiskFull { error: error() },
            Doing::Unavailable => Cause::Unavailable { error: error() },
            Doing::Failed => Cause::Failed { error: error() },
        };
        self.add(100, cause);
        true
    }

    /// Nobody is connected.
    fn alone(&mut self) {
        let Facts { known, connecting, called, age, ref trackers, .. } = *self.facts;
        self.trackers(95);
        // Who is being connected to for the first time may yet answer, and who can't be connected to may yet call.
        if known > 0 && !called {
            let is_telling = connecting < known && age >= ALONE_BY;
            self.add(if is_telling { 92 } else { 40 }, Cause::PortUnreachable { known, peers: 0 });
        }
        self.add(90, Cause::NoPeers { known, connecting, trackers: trackers.len() });
    }

    fn trackers(&mut self, weight: u8) {
        let failing = self.facts.trackers.iter().filter(|tracker| tracker.error.is_some());
        let (trackers, failing_count) = (self.facts.trackers.len(), failing.clone().count());
        let Some((tracker, error)) =
            failing.clone().find_map(|found| Some((&found.name, found.error.as_ref()?)))
        else {
            return;
        };
        let (tracker, error) = (tracker.clone(), error.clone());
        let cause = Cause::TrackerErrors { failing: failing_count, trackers, tracker, error };
        self.add_share(weight, failing_count, trackers, cause);
    }

    fn in_company(&mut self) {
        let Facts { connected, known, called, age, .. } = *self.facts;
        self.trackers(if connected < ENOUGH_PEERS { 35 } else { 10 });
        if !called && age >= CALLED_BY && connected < ENOUGH_PEERS {
            self.add(30, Cause::PortUnreachable { known, peers: connected });
        }
        if self.facts.doing == Doing::Downloading {
            self.supply();
            let is_limited = self.limits();
            self.peers(is_limited);
        }
    }

    fn supply(&mut self) {
        let Facts { missing, unseen, unhashed, connected, waiting_for_disk, .. } = *self.facts;
        match missing {
            0 => {}
            // It only has to be fetched who has it.
            _ if unseen == missing => self.add(93, Cause::NobodyHas { missing, unseen, peers: connected }),
            _ if unseen > 0 => self.add(25, Cause::NobodyHas { missing, unseen, peers: connected }),
            _ => {}
        }
        let serving = self.facts.peers.iter().filter(|peer| peer.serves()).count();
        let cause = Cause::DiskWaits { connections: waiting_for_disk, unhashed, missing };
        // All that is left has come, or most of those who send are not read any more.
        if unhashed > 0 && unhashed == missing || waiting_for_disk > 0 && waiting_for_disk * 2 >= serving {
            self.add(89, cause);
        } else if waiting_for_disk > 0 || unhashed * 2 >= missing.max(2) {
            self.add(45, cause);
        }
    }

    /// Whether a limit of ours is reached.
    fn limits(&mut self) -> bool {
        let Facts { max_down, held_down, rate_down, .. } = *self.facts;
        // Headers count too, and take some of it.
        let is_near = max_down.is_some_and(|limit| rate_down >= limit / 10 * 8);
        let Some(limit) = max_down.filter(|_| held_down || is_near) else { return false };
        self.add(88, Cause::RateLimit { limit, rate: rate_down });
        true
    }

    fn peers(&mut self, is_limited: bool) {
        let wanted: Vec<&PeerFacts> = self.facts.peers.iter().filter(|peer| peer.interesting).collect();
        let (open, choking): (Vec<&PeerFacts>, Vec<&PeerFacts>) =
            wanted.iter().copied().partition(|peer| !peer.choking);
        let all = wanted.len();
        self.add_share(91, choking.len(), all, Cause::Choked { choking: choking.len(), peers: all });
        let snubbed = open.iter().filter(|peer| peer.snubbed).count();
        self.add_share(90, snubbed, open.len(), Cause::Snubbed { snubbed, peers: open.len() });
        if is_limited {
            // That peers are asked for little, and send no more, is what the limit does.
            return;
        }
        let idle = open.iter().filter(|peer| !peer.snubbed && peer.requests == 0).count();
        self.add_share(80, idle, open.len(), Cause::RequestsEmpty { idle, peers: open.len() });

        let serving = open.iter().copied().filter(|peer| peer.serves());
        let (sending, waiting): (Vec<&PeerFacts>, Vec<&PeerFacts>) = serving.partition(|peer| peer.rate > 0);
        let (waiting, all) = (waiting.len(), open.len());
        self.add_share(54, waiting, all, Cause::Waiting { waiting, peers: all });
        let peers = sending.len();
        let rate: u64 = sending.iter().map(|peer| peer.rate).sum();
        let mut networks: Vec<IpAddr> = sending.iter().map(|peer| network(peer.ip)).collect();
        networks.sort_unstable();
        networks.dedup();
        match networks[..] {
            [] => {}
            [_] if peers > 1 => self.add(55, Cause::SharedLimit { peers, rate }),
            _ => self.add(50, Cause::SlowPeers { peers, rate }),
        }
    }
}

/// What is likely behind one line: a /24 of IPv4, a /48 of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) & (u32::MAX << 8)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & (u128::MAX << 80)).into(),
    }
}
