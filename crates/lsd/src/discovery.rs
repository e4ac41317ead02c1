//! Who is announced when, and who is heard.

#[cfg(test)]
mod tests;

use crate::limits::{
    DELAY, FOUND_FOR_SURE, GAP, INTERVAL, JITTER, MAX_FOUND, MAX_FOUND_OF_HOST, MAX_HASHES, MAX_HEARD,
    MAX_HOSTS, MAX_NETWORKS, MAX_TORRENTS, MIN_INTERVAL, MINUTE, TOGETHER,
};
use crate::message::{encode, parse};
use crate::{Config, Family, Input, Output, Part, Subnet};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use fastrand::Rng;
use types::{InfoHashV1, Time, is_local};

/// One client's part in local service discovery. See the [crate's page](crate) for how it is driven.
#[derive(Debug)]
pub struct Discovery {
    config: Config,
    /// By which we know our own datagrams when they come back to us.
    cookie: String,
    rng: Rng,
    now: Time,
    out: VecDeque<Output>,
    torrents: BTreeMap<InfoHashV1, Torrent>,
    /// Those that are to be announced, by when.
    queue: BTreeSet<(Time, InfoHashV1)>,
    /// What was announced within [`MIN_INTERVAL`]; it may have left since.
    recent: BTreeMap<InfoHashV1, Time>,
    /// Nothing is sent before.
    next_send: Time,
    networks: Vec<Subnet>,
    minute: Minute,
}

/// A torrent that takes part.
#[derive(Debug, Default)]
struct Torrent {
    /// When it is announced next, if ever.
    due: Option<Time>,
    /// Who was heard of it, the latest last.
    heard: VecDeque<SocketAddr>,
}

impl Discovery {
    /// Nobody takes part yet.
    pub fn new(config: Config, seed: u64, now: Time) -> Discovery {
        let mut rng = Rng::with_seed(seed);
        let cookie = format!("{:016x}", rng.u64(..));
        Discovery {
            config,
            cookie,
            rng,
            now,
            out: VecDeque::new(),
            torrents: BTreeMap::new(),
            queue: BTreeSet::new(),
            recent: BTreeMap::new(),
            next_send: now,
            networks: Vec::new(),
            minute: Minute::default(),
        }
    }

    /// Plants a fault: one host may have itself passed on as often as all hosts may.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self) {
        self.minute.one_host_may_all = true;
    }

    /// Tells what happened at `now`, which must not run backwards.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Join { torrent, part } => self.on_join(torrent, part),
            Input::Leave { torrent } => {
                self.set_due(torrent, None);
                self.torrents.remove(&torrent);
            }
            Input::Networks(networks) => self.on_networks(networks),
            Input::Datagram { from, bytes } => self.on_datagram(from, bytes),
        }
    }

    /// Lets deadlines pass. To be called at [`poll_timeout`](Self::poll_timeout); earlier or later is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.poll_timeout().is_some_and(|at| at <= self.now) {
            self.announce();
        }
    }

    /// The next thing to do. To be asked until `None` after each `handle` and `handle_timeout`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if nothing happens before; `None`: never.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.queue.first().map(|&(due, _)| due.max(self.next_send))
    }

    /// # Panics
    /// If a count is wrong or a limit is passed.
    pub fn check_invariants(&self) {
        assert!(self.torrents.len() <= MAX_TORRENTS && self.networks.len() <= MAX_NETWORKS);
        let due = self.torrents.iter().filter_map(|(&hash, torrent)| Some((torrent.due?, hash)));
        assert_eq!(due.collect::<BTreeSet<_>>(), self.queue);
        assert!(self.torrents.values().all(|torrent| torrent.heard.len() <= MAX_HEARD));
        let a_minute = MIN_INTERVAL.as_secs().div_ceil(GAP.as_secs());
        assert!(self.recent.len() as u64 <= (a_minute + 1) * MAX_HASHES as u64);
        assert!(self.minute.found <= MAX_FOUND);
        assert!(self.minute.hosts.iter().all(|hosts| hosts.found.len() <= MAX_HOSTS));
    }
}

/// What is said.
impl Discovery {
    fn on_join(&mut self, hash: InfoHashV1, part: Part) {
        if !self.torrents.contains_key(&hash) && self.torrents.len() >= MAX_TORRENTS {
            return;
        }
        let announces =
            part.announces && Family::BOTH.iter().any(|&family| self.config.port(family).is_some());
        let torrent = self.torrents.entry(hash).or_default();
        if announces != torrent.due.is_some() {
            let due = announces.then(|| self.soon(hash));
            self.set_due(hash, due);
        }
    }

    fn on_networks(&mut self, networks: &[Subnet]) {
        let networks: Vec<Subnet> = networks.iter().take(MAX_NETWORKS).copied().collect();
        let is_new = networks.iter().any(|network| !self.networks.contains(network));
        self.networks = networks;
        if is_new {
            // Nobody there has heard of us.
            let waiting: Vec<InfoHashV1> = self.queue.iter().map(|&(_, hash)| hash).collect();
            waiting.into_iter().for_each(|hash| self.hasten(hash));
        }
    }

    /// Announces a torrent in a moment, if it is announced at all.
    fn hasten(&mut self, hash: InfoHashV1) {
        if let Some(due) = self.torrents.get(&hash).and_then(|torrent| torrent.due) {
            let soon = self.soon(hash);
            self.set_due(hash, Some(due.min(soon)));
        }
    }

    /// In a moment, but not too soon after the last time.
    fn soon(&mut self, hash: InfoHashV1) -> Time {
        let (least, most) = DELAY;
        let soon = self.now + least + self.up_to(most.saturating_sub(least));
        self.recent.get(&hash).map_or(soon, |&at| soon.max(at + MIN_INTERVAL))
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.rng.u64(..=millis))
    }

    fn set_due(&mut self, hash: InfoHashV1, due: Option<Time>) {
        let Some(torrent) = self.torrents.get_mut(&hash) else { return };
        if let Some(before) = torrent.due {
            self.queue.remove(&(before, hash));
        }
        torrent.due = due;
        self.queue.extend(due.map(|due| (due, hash)));
    }

    /// One datagram to each group: what is due, and what soon would be.
    fn announce(&mut self) {
        let now = self.now;
        self.recent.retain(|_, at| now.since(*at) < MIN_INTERVAL);
        let soon = self.queue.iter().take_while(|&&(due, _)| due <= now + TOGETHER);
        let may = soon.map(|&(_, hash)| hash).filter(|hash| !self.recent.contains_key(hash));
        let hashes: Vec<InfoHashV1> = may.take(MAX_HASHES).collect();
        let due = now + INTERVAL.saturating_sub(self.up_to(JITTER));
        for &hash in &hashes {
            self.set_due(hash, Some(due));
            self.recent.insert(hash, now);
        }
        for family in Family::BOTH {
            if let Some(port) = self.config.port(family) {
                let bytes = encode(family, port, &hashes, &self.cookie);
                self.out.push_back(Output::Send { family, bytes });
            }
        }
        self.next_send = now + GAP;
    }
}

/// What is heard.
impl Discovery {
    fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        if !self.is_near(from.ip()) {
            return;
        }
        let Ok(said) = parse(bytes) else { return };
        if said.cookie == Some(self.cookie.as_bytes()) {
            return;
        }
        let mut addr = from;
        addr.set_port(said.port.get());
        let ours: Vec<InfoHashV1> =
            said.info_hashes.into_iter().filter(|hash| self.torrents.contains_key(hash)).collect();
        if ours.is_empty() || !self.minute.hears(self.now, addr.ip(), &mut self.rng) {
            return;
        }
        for hash in ours {
            if self.minute.admits(addr.ip()) {
                self.on_peer(hash, addr);
            }
        }
    }

    /// Whether it is on a local network. Nobody else hears us, or is to be heard.
    fn is_near(&self, ip: IpAddr) -> bool {
        is_local(ip) || self.networks.iter().any(|network| network.contains(ip))
    }

    fn on_peer(&mut self, hash: InfoHashV1, addr: SocketAddr) {
        self.out.push_back(Output::Found { torrent: hash, addr });
        let Some(torrent) = self.torrents.get_mut(&hash) else { return };
        if torrent.heard.contains(&addr) {
            return;
        }
        if torrent.heard.len() >= MAX_HEARD {
            torrent.heard.pop_front();
        }
        torrent.heard.push_back(addr);
        // A newcomer has not heard of us.
        self.hasten(hash);
    }
}

/// How many peers were passed on lately.
#[derive(Debug, Default)]
struct Minute {
    since: Time,
    /// Beyond what each host is sure of.
    found: u32,
    /// Over IPv4 and over IPv6: who makes up addresses of one kind takes no room of the other.
    hosts: [Hosts; 2],
    #[cfg(feature = "planted")]
    one_host_may_all: bool,
}

/// The hosts that were heard.
#[derive(Debug, Default)]
struct Hosts {
    /// How many peers of each were passed on.
    found: BTreeMap<IpAddr, u32>,
    /// How often one was heard that had no place.
    strangers: u64,
}

impl Minute {
    /// Whether a host is heard at all: it has a place, or gets one. When all are taken, whoever comes has the same chance of
    /// one that those before it had, whose place goes to it: a host that is there has one among any number that are made up.
    fn hears(&mut self, now: Time, host: IpAddr, rng: &mut Rng) -> bool {
        if now.since(self.since) >= MINUTE {
            (self.since, self.found, self.hosts) = (now, 0, Default::default());
        }
        let hosts = &mut self.hosts[usize::from(host.is_ipv6())];
        if hosts.found.contains_key(&host) {
            return true;
        }
        if hosts.found.len() >= MAX_HOSTS {
            hosts.strangers += 1;
            if rng.u64(0..MAX_HOSTS as u64 + hosts.strangers) >= MAX_HOSTS as u64 {
                return false;
            }
            if let Some(gives_way) = hosts.found.keys().nth(rng.usize(0..MAX_HOSTS)).copied() {
                hosts.found.remove(&gives_way);
            }
        }
        hosts.found.insert(host, 0);
        true
    }

    /// Whether one more peer of a host that is heard may be passed on.
    fn admits(&mut self, host: IpAddr) -> bool {
        #[cfg(feature = "planted")]
        if self.one_host_may_all {
            self.found += u32::from(self.found < MAX_FOUND);
            return self.found < MAX_FOUND;
        }
        let Some(of_host) = self.hosts[usize::from(host.is_ipv6())].found.get_mut(&host) else {
            return false;
        };
        let is_sure = *of_host < FOUND_FOR_SURE;
        let admits = is_sure || self.found < MAX_FOUND && *of_host < MAX_FOUND_OF_HOST;
        if admits {
            self.found += u32::from(!is_sure);
            *of_host += 1;
        }
        admits
    }
}
