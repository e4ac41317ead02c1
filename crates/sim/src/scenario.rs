//! Swarms that have a name.

use crate::spec::{Checks, DiskSpec, Fault, PeerSpec, Role, Skew, Spec};
use fastrand::Rng;
use std::time::Duration;
use types::Lengths;

/// A kind of swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Everybody comes at once and only the seeds have anything.
    FlashCrowd,
    /// Peers come one after another, and go a while after they have completed.
    Steady,
    /// The only seed sends a tenth of what a peer does.
    SlowSeed,
    /// Lines from a quarter to four times the usual.
    Heterogeneous,
    /// Three of ten peers send nothing.
    FreeRiders,
    /// Some peers send wrong blocks.
    Poisoned,
    /// The network falls apart for a minute.
    Partition,
    /// One peer plays the content at 80 % of its line while it downloads; the seeds could send more than that.
    Streaming,
    /// A small swarm in which everything that can go wrong does; what exactly is up to the seed.
    Chaos,
}

/// What a scenario leaves open.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many peers begin without anything; at least 1.
    pub leechers: usize,
    /// How many have everything; at least 1.
    pub seeds: usize,
    /// Bytes of the content.
    pub size: u64,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// Bytes per second that a line carries away.
    pub up: u64,
    /// Bytes per second that a line carries to a peer.
    pub down: u64,
    /// Connections of a peer at most.
    pub neighbours: usize,
    /// The shortest and the longest round trip between two peers.
    pub round_trip: (Duration, Duration),
    /// Peers that crash or leave in a minute, of a hundred; they come back.
    pub churn_percent: u32,
    /// Of a thousand packets, how many are lost.
    pub loss_permille: u32,
    /// Peers that lie ([`Scenario::Poisoned`]).
    pub liars: usize,
    /// Seeds reveal their pieces one by one (BEP 16).
    pub super_seed: bool,
    /// Whether to recount what the brains count after every step or, much faster, after one of 10,007; `None`: every
    /// one in swarms of up to 100 peers.
    pub check_all: Option<bool>,
}

/// Up to how many peers everything is recounted after every step.
const CHECK_ALL_UP_TO: usize = 100;

impl Scenario {
    /// Every one with its name on the command line.
    pub const ALL: [(&'static str, Scenario); 9] = [
        ("flash-crowd", Scenario::FlashCrowd),
        ("steady", Scenario::Steady),
        ("slow-seed", Scenario::SlowSeed),
        ("heterogeneous", Scenario::Heterogeneous),
        ("free-riders", Scenario::FreeRiders),
        ("poisoned", Scenario::Poisoned),
        ("partition", Scenario::Partition),
        ("streaming", Scenario::Streaming),
        ("chaos", Scenario::Chaos),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Scenario::ALL.iter().find(|(_, scenario)| *scenario == self).map_or("", |(name, _)| name)
    }

    /// How many leechers there are unless somebody says otherwise.
    pub fn leechers(self) -> usize {
        match self {
            Scenario::Poisoned => 20,
            Scenario::Streaming => 1,
            Scenario::SlowSeed => 30,
            _ => 100,
        }
    }

    /// How large the content is unless somebody says otherwise.
    pub fn size(self) -> u64 {
        match self {
            Scenario::Poisoned | Scenario::SlowSeed => 25 << 20,
            _ => 100 << 20,
        }
    }

    /// The swarm; chance is drawn from the seed. `None` if the content cannot be of that size.
    pub fn spec(self, options: &Options, seed: u64) -> Option<Spec> {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        if self == Scenario::Chaos {
            return Some(chaos(&mut rng));
        }
        let lengths = Lengths::new(options.size, options.piece_length).ok()?;
        let mut spec = Spec {
            name: self.name().to_owned(),
            lengths,
            peers: peers(options, &mut rng),
            neighbours: options.neighbours,
            faults: Vec::new(),
            deadline: Duration::from_secs(3600) + options.least_time() * 50,
            checks: Checks::Sampled(10_007),
            buggify: false,
            #[cfg(feature = "planted")]
            planted: None,
        };
        self.shape(options, &mut rng, &mut spec);
        if options.check_all.unwrap_or(spec.peers.len() <= CHECK_ALL_UP_TO) {
            spec.checks = Checks::Every;
        }
        churn(options, &mut rng, &mut spec);
        Some(spec)
    }

    /// What makes it this scenario.
    fn shape(self, options: &Options, rng: &mut Rng, spec: &mut Spec) {
        let leechers = options.seeds..spec.peers.len();
        let time = options.least_time();
        match self {
            Scenario::FlashCrowd | Scenario::Chaos => {}
            Scenario::Steady => {
                for peer in &mut spec.peers[leechers] {
                    peer.start = time.mul_f64(2.0 * rng.f64());
                    peer.stays = Some(time.mul_f64(rng.f64()));
                }
            }
            Scenario::SlowSeed => {
                spec.peers[..options.seeds].iter_mut().for_each(|peer| peer.up = (options.up / 10).max(1));
            }
            Scenario::Heterogeneous => {
                for peer in &mut spec.peers[leechers] {
                    let quarters = [1, 2, 4, 8, 16][rng.usize(0..5)];
                    (peer.up, peer.down) = (peer.up * quarters / 4, peer.down * quarters / 4);
                }
            }
            Scenario::FreeRiders => {
                let count = leechers.len() * 3 / 10;
                spec.peers[leechers].iter_mut().take(count).for_each(|peer| peer.role = Role::FreeRider);
            }
            Scenario::Poisoned => {
                spec.peers[leechers]
                    .iter_mut()
                    .take(options.liars)
                    .for_each(|peer| peer.poison_permille = 10);
            }
            Scenario::Partition => {
                let half = spec.peers.len() / 2;
                spec.faults.push((time / 3, Fault::Partition(half, Duration::from_secs(60))));
            }
            Scenario::Streaming => {
                spec.peers[leechers.start].playback = Some(options.down * 8 / 10);
            }
        }
    }
}

impl Options {
    /// What a scenario is run with unless somebody says otherwise.
    pub fn of(scenario: Scenario) -> Options {
        let film = scenario == Scenario::Streaming;
        let up = if film { 250_000 } else { 1_000_000 };
        Options {
            leechers: scenario.leechers(),
            seeds: if film { 10 } else { 1 },
            size: scenario.size(),
            piece_length: if film { 1 << 20 } else { 256 << 10 },
            up,
            down: up * 4,
            neighbours: 50,
            round_trip: (Duration::from_millis(40), Duration::from_millis(200)),
            churn_percent: 0,
            loss_permille: 0,
            liars: 5,
            super_seed: false,
            check_all: None,
        }
    }

    /// The content over one line.
    fn least_time(&self) -> Duration {
        Duration::from_secs_f64(self.size as f64 / self.up.max(1) as f64)
    }
}

fn peers(options: &Options, rng: &mut Rng) -> Vec<PeerSpec> {
    let (least, most) = options.round_trip;
    let one = |number: usize, rng: &mut Rng| PeerSpec {
        role: if number < options.seeds { Role::Seed } else { Role::Leecher },
        up: options.up,
        down: options.down,
        // Two halves there and two back.
        latency: least / 4 + (most.saturating_sub(least) / 4).mul_f64(rng.f64()),
        loss_permille: options.loss_permille,
        super_seed: options.super_seed && number < options.seeds,
        ..PeerSpec::default()
    };
    (0..options.seeds + options.leechers).map(|number| one(number, rng)).collect()
}

fn churn(options: &Options, rng: &mut Rng, spec: &mut Spec) {
    if options.churn_percent == 0 {
        return;
    }
    let minutes = options.least_time().as_secs_f64() * 2.0 / 60.0;
    let count = spec.peers.len() as f64 * minutes * f64::from(options.churn_percent) / 100.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a bounded, positive count
    let count = count.ceil().min(1e6) as usize;
    for _ in 0..count {
        let peer = rng.usize(options.seeds..spec.peers.len());
        let back = Some(Duration::from_secs(rng.u64(1..60)));
        let fault = if rng.bool() { Fault::Crash(peer, back) } else { Fault::Leave(peer, back) };
        spec.faults.push((Duration::from_secs_f64(minutes * 60.0 * rng.f64()), fault));
    }
}

/// A few peers, little content, and whatever can go wrong.
fn chaos(rng: &mut Rng) -> Spec {
    let block = u64::from(types::BLOCK_LEN);
    let piece_length = types::BLOCK_LEN << rng.u32(0..4);
    let size = rng.u64(block / 2..block * 200);
    let count = rng.usize(2..13);
    let mut peers: Vec<PeerSpec> = (0..count).map(|_| chaotic_peer(rng)).collect();
    // Somebody has everything, stays, tells the truth and can be found.
    peers[0] = PeerSpec { role: Role::Seed, up: rng.u64(100_000..2_000_000), ..PeerSpec::default() };
    let mut spec = Spec {
        name: "chaos".to_owned(),
        lengths: Lengths::new(size, piece_length).expect("a valid piece length"),
        peers,
        neighbours: rng.usize(2..16),
        faults: Vec::new(),
        deadline: Duration::from_secs(3600),
        checks: Checks::Every,
        buggify: rng.bool(),
        #[cfg(feature = "planted")]
        planted: None,
    };
    for _ in 0..rng.usize(0..6) {
        let at = Duration::from_millis(rng.u64(0..60_000));
        let back = Some(Duration::from_millis(rng.u64(0..30_000)));
        let peer = rng.usize(1..count);
        let fault = match rng.u32(0..5) {
            0 => Fault::Crash(peer, back),
            1 => Fault::Leave(peer, back),
            2 => Fault::Leave(peer, None),
            3 => Fault::Partition(rng.usize(1..count), Duration::from_millis(rng.u64(0..90_000))),
            _ => Fault::Cut(rng.usize(1..5)),
        };
        spec.faults.push((at, fault));
    }
    spec
}

fn chaotic_peer(rng: &mut Rng) -> PeerSpec {
    let one_in = |n: u32, rng: &mut Rng| rng.u32(0..n) == 0;
    PeerSpec {
        role: match rng.u32(0..10) {
            0 => Role::Seed,
            1 => Role::FreeRider,
            _ => Role::Leecher,
        },
        up: rng.u64(20_000..2_000_000),
        down: rng.u64(50_000..8_000_000),
        max_down: None,
        latency: Duration::from_millis(rng.u64(0..200)),
        start: Duration::from_millis(if rng.bool() { 0 } else { rng.u64(0..30_000) }),
        nat: one_in(5, rng),
        fast: !one_in(4, rng),
        poison_permille: if one_in(8, rng) { rng.u32(1..300) } else { 0 },
        loss_permille: if one_in(4, rng) { rng.u32(1..50) } else { 0 },
        skew: Skew {
            ahead: Duration::from_millis(rng.u64(0..1_000_000)),
            ppm: if one_in(4, rng) { rng.i64(-200_000..200_000) } else { 0 },
        },
        disk: DiskSpec {
            delay: Duration::from_millis(if one_in(4, rng) { rng.u64(0..3_000) } else { 2 }),
            read_failures_permille: if one_in(6, rng) { rng.u32(1..100) } else { 0 },
        },
        super_seed: one_in(4, rng),
        playback: None,
        stays: None,
    }
}
