use super::*;
use crate::Part;
use crate::limits::{MAX_HEARD, MAX_SENT, MAX_TORRENTS};
use crate::message::Message;
use core::num::NonZeroU16;
use proptest::prelude::*;
use std::string::ToString;
use std::vec;

fn hash(n: u32) -> InfoHashV1 {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    InfoHashV1(bytes)
}

fn host(n: u32) -> SocketAddr {
    SocketAddr::new((0x0a00_0000 + n).to_be_bytes().into(), 6771)
}

fn public() -> Part {
    Part::of(Some(false)).unwrap()
}

/// A discovery, its clock, and what it says.
struct Bench {
    discovery: Discovery,
    now: Time,
    /// What was announced over IPv4, and when.
    sent: Vec<(Time, Vec<InfoHashV1>)>,
    found: Vec<(InfoHashV1, SocketAddr)>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Config { v4: NonZeroU16::new(1), v6: None })
    }

    fn with(config: Config) -> Bench {
        let discovery = Discovery::new(config, 7, Time::ZERO);
        Bench { discovery, now: Time::ZERO, sent: Vec::new(), found: Vec::new() }
    }

    fn outputs(&mut self) {
        while let Some(output) = self.discovery.poll_output() {
            match output {
                Output::Found { torrent, addr } => self.found.push((torrent, addr)),
                Output::Send { family, bytes } => {
                    assert!(bytes.len() <= MAX_SENT && family == Family::V4);
                    let Message { port, info_hashes, cookie } = parse(&bytes).unwrap();
                    assert_eq!((port.get(), cookie), (1, Some(self.discovery.cookie.as_bytes())));
                    self.sent.push((self.now, info_hashes));
                }
            }
        }
        self.discovery.check_invariants();
    }

    fn input(&mut self, input: Input<'_>) {
        self.discovery.handle(self.now, input);
        self.outputs();
    }

    fn join(&mut self, n: u32) {
        self.input(Input::Join { torrent: hash(n), part: public() });
    }

    fn leave(&mut self, n: u32) {
        self.input(Input::Leave { torrent: hash(n) });
    }

    /// Somebody announces torrents.
    fn hear(&mut self, from: SocketAddr, torrents: &[u32]) {
        let hashes: Vec<InfoHashV1> = torrents.iter().map(|&n| hash(n)).collect();
        let bytes = encode(Family::V4, NonZeroU16::new(9).unwrap(), &hashes, "theirs");
        self.input(Input::Datagram { from, bytes: &bytes });
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, how_long: Duration) {
        let end = self.now + how_long;
        while let Some(at) = self.discovery.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.discovery.handle_timeout(self.now);
            self.outputs();
            assert!(self.discovery.poll_timeout().is_none_or(|next| next > self.now), "it comes to rest");
        }
        self.now = end;
    }

    /// When a torrent was announced.
    fn times(&self, n: u32) -> Vec<Time> {
        let told = self.sent.iter().filter(|(_, hashes)| hashes.contains(&hash(n)));
        told.map(|&(at, _)| at).collect()
    }
}

#[test]
fn torrents_are_announced_soon_and_every_five_minutes() {
    let mut bench = Bench::new();
    assert_eq!(bench.discovery.poll_timeout(), None);
    (0..3).for_each(|n| bench.join(n));
    bench.pass(Duration::from_secs(3600));
    assert!(bench.sent.iter().all(|(_, hashes)| hashes.len() == 3), "together: {:?}", bench.sent);
    let times = bench.times(0);
    assert!(times[0] >= Time::ZERO + DELAY.0 && times[0] <= Time::ZERO + DELAY.1);
    let gaps: BTreeSet<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (INTERVAL - JITTER..=INTERVAL).contains(gap)), "{gaps:?}");
    assert!(gaps.len() > 5, "not always the same: {gaps:?}");
}

#[test]
fn many_torrents_take_several_datagrams_with_a_gap_between() {
    let mut bench = Bench::new();
    (0..60).for_each(|n| bench.join(n));
    bench.pass(Duration::from_secs(60));
    let lens: Vec<usize> = bench.sent.iter().map(|(_, hashes)| hashes.len()).collect();
    assert_eq!(lens, [25, 25, 10]);
    assert!(bench.sent.windows(2).all(|pair| pair[1].0 - pair[0].0 == GAP));
    assert!((0..60).all(|n| bench.times(n).len() == 1));
}

#[test]
fn who_leaves_is_not_announced_and_who_returns_not_too_soon() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.pass(DELAY.1);
    let first = bench.times(1)[0];
    bench.leave(1);
    bench.join(2);
    bench.hear(host(1), &[1]);
    assert_eq!(bench.found, [], "it is not here");
    bench.join(1);
    bench.join(1);
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.times(1), [first, bench.times(1)[1]]);
    assert!(bench.times(1)[1] - first >= MIN_INTERVAL);
    [1, 2].into_iter().for_each(|n| bench.leave(n));
    assert_eq!(bench.discovery.poll_timeout(), None);
}

#[test]
fn a_private_torrent_takes_no_part_and_an_unknown_one_says_nothing() {
    assert_eq!(Part::of(Some(true)), None);
    let mut bench = Bench::new();
    let (torrent, unknown) = (hash(1), Part::of(None).unwrap());
    bench.input(Input::Join { torrent, part: unknown });
    bench.hear(host(1), &[1]);
    assert_eq!(bench.found, [(torrent, SocketAddr::new(host(1).ip(), 9))]);
    bench.pass(INTERVAL * 2);
    assert_eq!(bench.sent, []);
    bench.input(Input::Join { torrent, part: public() });
    bench.pass(DELAY.1);
    assert_eq!(bench.times(1).len(), 1, "its metadata is known");
    bench.input(Input::Join { torrent, part: unknown });
    assert_eq!(bench.discovery.poll_timeout(), None);
}

#[test]
fn a_newcomer_is_answered_once_a_minute_at_most() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.times(1).len(), 1);
    bench.hear(host(1), &[1]);
    bench.pass(DELAY.1);
    assert_eq!(bench.times(1).len(), 2);
    for n in 2..100 {
        bench.hear(host(n), &[1]);
        bench.pass(Duration::from_secs(1));
    }
    let times = bench.times(1);
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= MIN_INTERVAL));
    bench.pass(MIN_INTERVAL * 2);
    let before = bench.times(1).len();
    // The latest are remembered, and whoever came before the first of them is not.
    let first = 100 - u32::try_from(MAX_HEARD).unwrap();
    (first..100).for_each(|n| bench.hear(host(n), &[1]));
    bench.pass(DELAY.1);
    assert_eq!(bench.times(1).len(), before, "they have heard of us");
    bench.hear(host(first - 1), &[1]);
    bench.pass(DELAY.1);
    assert_eq!(bench.times(1).len(), before + 1, "it was forgotten");
}

#[test]
fn we_do_not_hear_ourselves_nor_the_world() {
    let mut bench = Bench::new();
    bench.join(1);
    let bytes = encode(Family::V4, NonZeroU16::MAX, &[hash(1)], &bench.discovery.cookie.clone());
    bench.input(Input::Datagram { from: host(1), bytes: &bytes });
    let far = ["203.0.113.7:6771", "[2001:db8::7]:6771"].map(|text| text.parse::<SocketAddr>().unwrap());
    far.iter().for_each(|&from| bench.hear(from, &[1]));
    assert_eq!(bench.found, []);
    let networks = far.map(|addr| Subnet { ip: addr.ip(), prefix: 28 });
    bench.input(Input::Networks(&networks));
    far.iter().for_each(|&from| bench.hear(from, &[1]));
    assert_eq!(bench.found.len(), 2, "it is our own network");
    bench.input(Input::Networks(&[]));
    far.iter().for_each(|&from| bench.hear(from, &[1]));
    assert_eq!(bench.found.len(), 2);
    for (from, expected) in [("169.254.1.1:1", "169.254.1.1:9"), ("[fe80::1%3]:1", "[fe80::1%3]:9")] {
        bench.hear(from.parse().unwrap(), &[1]);
        assert_eq!(bench.found.last().unwrap().1.to_string(), expected);
    }
}

#[test]
fn a_new_network_is_told_soon() {
    let mut bench = Bench::new();
    (1..3).for_each(|n| bench.join(n));
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.sent.len(), 1);
    let networks = [1, 2].map(|n| Subnet { ip: [192, 168, n, 1].into(), prefix: 24 });
    bench.input(Input::Networks(&networks));
    bench.pass(DELAY.1);
    assert_eq!(bench.sent.len(), 2, "both together");
    bench.pass(Duration::from_secs(100));
    bench.input(Input::Networks(&networks[1..]));
    bench.pass(DELAY.1);
    assert_eq!(bench.sent.len(), 2, "nothing new");
    for n in 0..10 {
        bench.input(Input::Networks(&networks[n % 2..][..1]));
        bench.pass(Duration::from_secs(5));
    }
    assert_eq!(bench.sent.len(), 3, "once a minute at most");
}

#[test]
fn tables_are_bounded() {
    let mut bench = Bench::new();
    let most = u32::try_from(MAX_TORRENTS).unwrap();
    for n in 0..most + 10 {
        bench.discovery.handle(bench.now, Input::Join { torrent: hash(n), part: public() });
    }
    bench.discovery.check_invariants();
    bench.hear(host(1), &[most - 1, most]);
    assert_eq!(bench.found.len(), 1, "one is not here");
    bench.leave(1);
    bench.join(most);
    bench.hear(host(1), &[most]);
    assert_eq!(bench.found.len(), 2, "there was room");
    let networks = vec![Subnet { ip: [203, 0, 113, 7].into(), prefix: 24 }; MAX_NETWORKS + 1];
    bench.input(Input::Networks(&networks));
    assert_eq!(bench.discovery.networks.len(), MAX_NETWORKS);
}

#[test]
fn only_so_many_peers_a_minute_are_passed_on() {
    let mut bench = Bench::new();
    (0..25).for_each(|n| bench.join(n));
    let all: Vec<u32> = (0..25).collect();
    let found_of =
        |bench: &Bench, n| bench.found.iter().filter(|(_, addr)| addr.ip() == host(n).ip()).count();
    (0..10).for_each(|_| bench.hear(host(1), &all));
    assert_eq!(bench.found.len(), MAX_FOUND_OF_HOST as usize);
    (0..10).for_each(|_| (2..100).for_each(|n| bench.hear(host(n), &all)));
    assert_eq!(bench.found.len(), (MAX_FOUND + 99 * FOUND_FOR_SURE) as usize);
    assert_eq!(found_of(&bench, 99), FOUND_FOR_SURE as usize, "others have taken what is for all");
    bench.now += MINUTE;
    let before = bench.found.len();
    bench.hear(host(1), &all);
    assert_eq!(bench.found.len(), before + 25);
}

#[test]
fn hosts_that_are_made_up_hide_nobody_who_is_there() {
    let all: Vec<u32> = (0..25).collect();
    // So many come before an honest one, once each or five again and again.
    let hidden_among = |made_up: u32, each: u32, rounds: usize| {
        let is_hidden = |round: &usize| {
            let mut bench = Bench::new();
            bench.discovery.rng = fastrand::Rng::with_seed(*round as u64);
            (0..25).for_each(|n| bench.join(n));
            (0..each).for_each(|_| (0..made_up).for_each(|n| bench.hear(host(1000 + n), &all)));
            let passed_on = bench.found.len();
            bench.hear(host(1), &all);
            let v6 = SocketAddr::new([0xfe80, 0, 0, 0, 0, 0, 0, 1].into(), 6771);
            bench.hear(v6, &all);
            let has = |ip: IpAddr| bench.found.iter().filter(|(_, addr)| addr.ip() == ip).count();
            assert_eq!(has(v6.ip()), 25, "of the other family");
            assert!(passed_on < 17_000, "{passed_on}");
            has(host(1).ip()) == 0
        };
        (0..rounds).filter(is_hidden).count()
    };
    assert_eq!(hidden_among(5, 100, 5), 0);
    assert_eq!(hidden_among(u32::try_from(MAX_HOSTS).unwrap() - 1, 5, 2), 0);
    // Three of four that come are not heard any more: an honest one as often as others, and not always.
    let hidden = hidden_among(u32::try_from(MAX_HOSTS).unwrap() * 4, 1, 40);
    assert!((18..40).contains(&hidden), "{hidden} of 40");
}

#[test]
fn each_family_is_told_its_port() {
    let (v4, v6) = (NonZeroU16::new(4), NonZeroU16::new(6));
    for config in [Config { v4, v6 }, Config { v4: None, v6 }, Config::default()] {
        let mut discovery = Discovery::new(config, 1, Time::ZERO);
        discovery.handle(Time::ZERO, Input::Join { torrent: hash(1), part: public() });
        assert_eq!(discovery.poll_timeout().is_some(), config != Config::default(), "nothing to say");
        discovery.handle_timeout(Time::ZERO + DELAY.1);
        let sent = core::iter::from_fn(|| discovery.poll_output()).map(|output| match output {
            Output::Send { family, bytes } => (family, Some(parse(&bytes).unwrap().port)),
            Output::Found { .. } => unreachable!("nobody is there"),
        });
        let expected = [(Family::V4, config.v4), (Family::V6, config.v6)];
        assert!(sent.eq(expected.into_iter().filter(|(_, port)| port.is_some())));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Join(u32, bool),
    Leave(u32),
    Hear(u32, Vec<u32>),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let torrent = 0u32..40;
    prop_oneof![
        (torrent.clone(), any::<bool>()).prop_map(|(n, announces)| Step::Join(n, announces)),
        torrent.clone().prop_map(Step::Leave),
        (0u32..40, proptest::collection::vec(torrent, 1..5)).prop_map(|(from, of)| Step::Hear(from, of)),
        (0u64..100_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn nobody_is_flooded_and_nobody_forgotten(steps in proptest::collection::vec(step(), 1..100)) {
        let mut bench = Bench::new();
        let mut announcing = BTreeSet::new();
        for step in steps {
            let before = bench.sent.len();
            match step {
                Step::Join(n, announces) => {
                    let part = Part::of(announces.then_some(false)).unwrap();
                    bench.input(Input::Join { torrent: hash(n), part });
                    if announces { announcing.insert(hash(n)) } else { announcing.remove(&hash(n)) };
                }
                Step::Leave(n) => {
                    bench.leave(n);
                    announcing.remove(&hash(n));
                }
                Step::Hear(from, of) => bench.hear(host(from), &of),
                Step::Pass(millis) => bench.pass(Duration::from_millis(millis)),
            }
            for (_, hashes) in &bench.sent[before..] {
                prop_assert!(!hashes.is_empty() && hashes.iter().all(|hash| announcing.contains(hash)));
            }
        }
        bench.pass(MIN_INTERVAL + GAP * 2);
        prop_assert!(bench.sent.windows(2).all(|pair| pair[1].0 - pair[0].0 >= GAP));
        for n in 0..40 {
            let times = bench.times(n);
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= MIN_INTERVAL), "{}: {:?}", n, times);
            let lately = times.last().is_some_and(|&at| bench.now - at <= INTERVAL + GAP);
            prop_assert!(lately || !announcing.contains(&hash(n)), "{}: {:?} at {:?}", n, times, bench.now);
        }
    }
}
