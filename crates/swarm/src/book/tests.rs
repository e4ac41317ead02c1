use super::*;
use crate::limits::{MAX_HOST_DIALS, MAX_RECENT_DIALS};
use crate::priority::External;
use fastrand::Rng;
use proptest::prelude::*;

/// A peer that tells of others.
const TELLER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 200, 0, 1));

fn addr(n: u32) -> SocketAddr {
    let [_, b, c, d] = n.to_be_bytes();
    SocketAddr::from(([10, b, c, d], 6881))
}

fn book_of(count: u32) -> Book {
    let mut book = Book::new(Rng::with_seed(1));
    (0..count).for_each(|n| book.add(addr(n), PeerSource::Tracker, Time::ZERO));
    book
}

#[test]
fn each_address_is_dialed_once_in_random_order() {
    let mut book = book_of(100);
    let order: Vec<_> = core::iter::from_fn(|| book.next(Time::ZERO)).collect();
    assert_eq!(order.len(), 100);
    assert!(!order.is_sorted());
    assert_eq!(book.dialing(), 100);
    book.add(addr(5), PeerSource::Tracker, Time::ZERO);
    assert_eq!(book.next(Time::ZERO), None);
}

#[test]
fn those_that_are_due_are_dialed_by_priority_as_soon_as_it_is_known() {
    let mut book = book_of(50);
    let first = book.next(Time::ZERO).unwrap();
    let mut external = External::new(&[[99, 1, 2, 3].into()], [1; 2]);
    book.set_ours(external.ours());
    let order: Vec<_> = core::iter::from_fn(|| book.next(Time::ZERO)).collect();
    assert_eq!(order.len(), 49);
    assert!(order.is_sorted_by_key(|&addr| Reverse(external.ours().priority(addr))));
    book.failed(first, Time::ZERO);
    external = External::default();
    book.set_ours(external.ours());
    let due = book.next_due().unwrap();
    assert!(due >= Time::ZERO + DIAL_INTERVAL, "who waits still waits");
    assert_eq!((book.next(Time::ZERO), book.next(due)), (None, Some(first)));
}

/// Fails at one address until it is forgotten; the waits in between.
fn waits(book: &mut Book, addr: SocketAddr) -> Vec<Duration> {
    let mut now = Time::ZERO;
    let mut waits = Vec::new();
    loop {
        assert_eq!(book.next(now), Some(addr));
        book.failed(addr, now);
        assert_eq!((book.next(now), book.dialing()), (None, 0));
        let Some(due) = book.next_due() else { break };
        waits.push(due.since(now));
        now = due;
    }
    assert_eq!(book.len(), 0);
    waits
}

#[test]
fn failures_back_off_until_the_address_is_forgotten() {
    let never_there = waits(&mut book_of(1), addr(0));
    assert_eq!(never_there.len(), MAX_FAILURES as usize - 1);
    assert!(never_there.iter().all(|&wait| wait >= DIAL_INTERVAL && wait <= RETRY_MAX * 5 / 4));
    assert!(never_there[..3].is_sorted(), "{never_there:?}");

    let mut book = book_of(1);
    book.next(Time::ZERO);
    book.answered(addr(0));
    book.closed(addr(0), Time::ZERO, true);
    let due = book.next_due().unwrap();
    assert!(due <= Time::ZERO + RETRY_MIN * 5 / 4, "a peer is there");
    assert_eq!(book.next(due), Some(addr(0)));
    book.failed(addr(0), due);
    assert!(book.next_due().unwrap().since(due) <= RETRY_MIN * 5 / 2);

    let mut book = Book::new(Rng::with_seed(1));
    book.add_told(addr(0), TELLER, Time::ZERO);
    assert_eq!(waits(&mut book, addr(0)).len(), MAX_FAILURES_TOLD as usize - 1);
}

#[test]
fn what_the_user_gave_is_tried_for_ever() {
    let mut book = Book::new(Rng::with_seed(1));
    book.add(addr(0), PeerSource::Tracker, Time::ZERO);
    book.add(addr(0), PeerSource::User, Time::ZERO);
    let mut now = Time::ZERO;
    for _ in 0..50 {
        assert_eq!(book.next(now), Some(addr(0)));
        book.failed(addr(0), now);
        let due = book.next_due().unwrap();
        assert!(due.since(now) <= RETRY_MAX_USER * 5 / 4);
        now = due;
    }
}

#[test]
fn a_useful_connection_clears_the_record() {
    let mut book = book_of(1);
    let mut now = Time::ZERO;
    for _ in 0..30 {
        assert_eq!(book.next(now), Some(addr(0)));
        book.answered(addr(0));
        assert_eq!(book.dialing(), 0);
        book.closed(addr(0), now, true);
        let due = book.next_due().unwrap();
        assert!(due.since(now) <= RETRY_MIN * 5 / 4);
        now = due;
    }
}

/// As many as fit, of this source.
fn full_book(source: PeerSource) -> (Book, SocketAddr) {
    let full = u32::try_from(MAX_KNOWN_PEERS).unwrap();
    let mut book = Book::new(Rng::with_seed(1));
    (0..full).for_each(|n| book.add(addr(n), source, Time::ZERO));
    (book, addr(full))
}

#[test]
fn the_book_is_bounded_and_prefers_what_never_failed() {
    let (mut book, new) = full_book(PeerSource::Tracker);
    book.add(new, PeerSource::Tracker, Time::ZERO);
    assert_eq!(book.len(), MAX_KNOWN_PEERS);
    assert!(!book.knows(new), "nobody had failed");
    let bad = book.next(Time::ZERO).unwrap();
    book.failed(bad, Time::ZERO);
    book.add(new, PeerSource::Tracker, Time::ZERO);
    assert_eq!(book.len(), MAX_KNOWN_PEERS);
    assert!(book.knows(new) && !book.knows(bad));
}

#[test]
fn who_is_trusted_more_takes_the_place_of_who_is_trusted_less() {
    let (mut book, new) = full_book(PeerSource::Dht);
    assert!(!book.add_told(new, TELLER, Time::ZERO));
    book.add(new, PeerSource::Dht, Time::ZERO);
    assert!(!book.knows(new), "no better than the others");
    book.add(new, PeerSource::Tracker, Time::ZERO);
    assert!(book.knows(new));
    let parked = book.next(Time::ZERO).unwrap();
    assert_eq!(parked, new, "and comes first");
    book.park(parked);
    book.add(addr(9_999_998), PeerSource::Tracker, Time::ZERO);
    assert!(!book.knows(parked), "a seed that we want nothing from");
    book.check();
}

#[test]
fn nobody_takes_the_place_of_who_is_trusted_more() {
    let (mut book, new) = full_book(PeerSource::Tracker);
    let [failed, parked] = [0; 2].map(|_| book.next(Time::ZERO).unwrap());
    book.failed(failed, Time::ZERO);
    book.park(parked);
    book.add(new, PeerSource::Dht, Time::ZERO);
    assert!(!book.add_told(new, TELLER, Time::ZERO) && !book.knows(new), "strangers may have made it up");
    book.add(new, PeerSource::Tracker, Time::ZERO);
    assert!(book.knows(new) && !book.knows(failed), "who failed goes first");
    book.add(addr(9_999_999), PeerSource::Lsd, Time::ZERO);
    assert!(!book.knows(parked), "then a seed that we want nothing from");
    book.check();
}

#[test]
fn who_tells_much_has_a_share() {
    let mut book = Book::new(Rng::with_seed(1));
    let most = u32::try_from(MAX_TOLD_BY_ONE).unwrap();
    let news = (0..2 * most).filter(|&n| book.add_told(addr(n), TELLER, Time::ZERO)).count();
    assert_eq!(news, MAX_TOLD_BY_ONE);
    assert!(book.add_told(addr(9_999_999), [9, 9, 9, 9].into(), Time::ZERO), "others have theirs");
    book.check();
    book.add(addr(0), PeerSource::Tracker, Time::ZERO);
    assert!(book.add_told(addr(most), TELLER, Time::ZERO), "one is not only its word any more");
    let failed = book.next(Time::ZERO).unwrap();
    assert_eq!(failed, addr(0));
    book.check();
    let told = book.next(Time::ZERO).unwrap();
    for n in 0..MAX_FAILURES_TOLD {
        book.failed(told, Time::ZERO + DIAL_INTERVAL * 2 * n);
        while book.next(Time::ZERO + DIAL_INTERVAL * 2 * (n + 1)).is_some() {}
    }
    assert!(!book.knows(told));
    book.check();
}

#[test]
fn seeds_are_parked_while_we_want_nothing() {
    let mut book = book_of(1);
    book.next(Time::ZERO);
    book.answered(addr(0));
    book.park(addr(0));
    book.closed(addr(0), Time::ZERO, true);
    assert_eq!(book.next_due(), None);
    book.unpark(Time::from_secs(9));
    assert_eq!(book.next(Time::from_secs(9)), Some(addr(0)));
}

#[test]
fn nonsense_is_not_written_down() {
    let mut book = Book::new(Rng::with_seed(1));
    for text in ["1.2.3.4:0", "0.0.0.0:5", "224.0.0.1:5", "255.255.255.255:5", "[::]:5", "[ff02::1]:5"] {
        book.add(text.parse().unwrap(), PeerSource::Tracker, Time::ZERO);
    }
    assert_eq!(book.len(), 0);
}

#[test]
fn one_address_written_in_two_ways_is_one() {
    let mut book = book_of(1);
    book.add("[::ffff:10.0.0.0]:6881".parse().unwrap(), PeerSource::Dht, Time::ZERO);
    assert_eq!((book.len(), book.next(Time::ZERO)), (1, Some(addr(0))));
    let mut book = Book::new(Rng::with_seed(1));
    let of_link = "[fe80::1%3]:6881".parse().unwrap();
    book.add(of_link, PeerSource::User, Time::ZERO);
    assert_eq!(book.next(Time::ZERO), Some(of_link), "the user knows by which link");
}

#[test]
fn a_user_need_not_wait() {
    let mut book = book_of(1);
    book.next(Time::ZERO);
    book.failed(addr(0), Time::ZERO);
    let now = Time::from_secs(1);
    assert_eq!(book.next(now), None);
    book.add(addr(0), PeerSource::User, now);
    assert_eq!(book.next(now), Some(addr(0)));
}

#[test]
fn so_many_are_dialed_within_five_minutes() {
    let mut book = Book::new(Rng::with_seed(1));
    let mut dialed = 0;
    for n in (0..).take(MAX_RECENT_DIALS + 100) {
        book.add(addr(n), PeerSource::Tracker, Time::ZERO);
        if let Some(addr) = book.next(Time::ZERO) {
            dialed += 1;
            book.failed(addr, Time::ZERO);
            book.forget(addr);
        }
        book.check();
    }
    assert_eq!((dialed, book.len()), (MAX_RECENT_DIALS, 100));
    assert_eq!(book.next_due(), Some(Time::ZERO + DIAL_INTERVAL));
    book.add(addr(1 << 20), PeerSource::User, Time::ZERO);
    assert_eq!(book.next(Time::ZERO), Some(addr(1 << 20)), "the user may");
    assert!(book.next(Time::ZERO + DIAL_INTERVAL).is_some());
}

#[test]
fn whom_strangers_tell_comes_last() {
    let mut book = Book::new(Rng::with_seed(1));
    book.add_told(addr(1), TELLER, Time::ZERO);
    book.add(addr(2), PeerSource::Dht, Time::ZERO);
    book.add(addr(3), PeerSource::Tracker, Time::ZERO);
    book.add(addr(4), PeerSource::User, Time::ZERO);
    book.add_told(addr(5), TELLER, Time::ZERO);
    while let Some((at, ..)) = book.queue.first().copied() {
        assert_eq!(at, Time::ZERO);
        let waiting = book.queue.first().unwrap().2;
        book.set(waiting, State::Due(NO_RANK));
    }
    book.add(addr(5), PeerSource::Tracker, Time::ZERO);
    let order: Vec<_> = core::iter::from_fn(|| book.next(Time::ZERO)).collect();
    assert_eq!((order[0], &order[3..]), (addr(4), &[addr(2), addr(1)][..]));
}

/// What may happen to a book.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody advertises so many ports of a host, from one on.
    Advertise(PeerSource, u8, u16, u16),
    /// So many of the dials under way come to nothing.
    Fail(usize),
    /// A peer of that host connects, says where it listens, and goes.
    Visit(u8, u16),
    /// Whatever can be forgotten is.
    Forget,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let source = prop_oneof![
        Just(PeerSource::Tracker),
        Just(PeerSource::Dht),
        Just(PeerSource::Lsd),
        Just(PeerSource::Link),
        Just(PeerSource::Pex)
    ];
    prop_oneof![
        (source, 0u8..4, 1u16..30, 1u16..30).prop_map(|(s, h, p, n)| Step::Advertise(s, h, p, n)),
        (1usize..30).prop_map(Step::Fail),
        (0u8..4, 1u16..30).prop_map(|(h, p)| Step::Visit(h, p)),
        Just(Step::Forget),
        (0u64..400).prop_map(Step::Pass),
    ]
}

fn victim(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

proptest! {
    /// Of addresses at which nobody answers: one dial in five minutes, and eight of a host.
    #[test]
    fn nobody_is_dialed_too_often(steps in prop::collection::vec(step(), 1..120)) {
        let mut book = Book::new(Rng::with_seed(1));
        let (mut now, mut under_way) = (Time::from_secs(1), Vec::new());
        let mut dials: BTreeMap<SocketAddr, Vec<Time>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Advertise(PeerSource::Pex, host, port, count) => (port..port + count).for_each(|port| {
                    book.add_told(victim(host, port), TELLER, now);
                }),
                Step::Advertise(source, host, port, count) => {
                    (port..port + count).for_each(|port| book.add(victim(host, port), source, now));
                }
                Step::Fail(count) => {
                    for addr in under_way.drain(..count.min(under_way.len())) {
                        book.failed(addr, now);
                    }
                }
                Step::Visit(host, port) => {
                    book.add(victim(host, port), PeerSource::Peer, now);
                    book.connected(victim(host, port));
                    book.closed(victim(host, port), now, true);
                }
                Step::Forget => {
                    let idle = |state| !matches!(state, State::Dialing | State::Connected);
                    let idle = book.known.iter().filter(|(_, known)| idle(known.state));
                    let idle: Vec<_> = idle.map(|(&addr, _)| addr).collect();
                    idle.into_iter().for_each(|addr| book.forget(addr));
                }
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            while let Some(addr) = book.next(now) {
                dials.entry(addr).or_default().push(now);
                under_way.push(addr);
            }
            book.check();
        }
        for (addr, times) in &dials {
            prop_assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) >= DIAL_INTERVAL), "{addr} {times:?}");
        }
        for host in 0..4 {
            let of_host = dials.iter().filter(|(addr, _)| addr.ip() == victim(host, 1).ip());
            let mut times: Vec<_> = of_host.flat_map(|(_, times)| times.iter().copied()).collect();
            times.sort_unstable();
            let windows = times.windows(MAX_HOST_DIALS + 1);
            for window in windows {
                prop_assert!(window[MAX_HOST_DIALS].since(window[0]) >= DIAL_INTERVAL, "host {host} {times:?}");
            }
        }
    }
}

#[test]
fn the_local_network_tells_by_which_link_it_is_reached() {
    let mut book = Book::new(Rng::with_seed(1));
    let addr: SocketAddr = "[fe80::1%3]:6881".parse().unwrap();
    book.add(addr, PeerSource::Lsd, Time::ZERO);
    assert_eq!(book.next(Time::ZERO), Some(addr));
    book.add(addr, PeerSource::Tracker, Time::ZERO);
    assert_eq!(book.next(Time::ZERO), None, "it is the same host, which was dialed just now");
    assert_eq!(book.next(Time::ZERO + DIAL_INTERVAL), None, "a tracker cannot know the link");
}

#[test]
fn who_called_over_a_link_is_known_by_it() {
    let mut book = book_of(0);
    let caller: SocketAddr = "[fe80::1%3]:6881".parse().unwrap();
    book.add(caller, PeerSource::Peer, Time::ZERO);
    book.connected(caller);
    assert_eq!(book.next(Time::ZERO), None, "it is here, and without the link nobody is");
    book.closed(caller, Time::ZERO, true);
    let due = book.next_due().unwrap();
    assert_eq!(book.next(due), Some(caller));
}

/// Whoever names it, in every spelling.
#[test]
fn no_metadata_service_is_dialed() {
    const SERVICES: [&str; 9] = [
        "169.254.169.254:80",
        "169.254.170.2:80",
        "100.100.100.200:80",
        "168.63.129.16:80",
        "[::ffff:169.254.169.254]:80",
        "[64:ff9b::a9fe:a9fe]:80",
        "[2002:a9fe:a9fe::1]:80",
        "[fe80::a9fe:a9fe%2]:80",
        "[fd00:ec2::254]:80",
    ];
    let mut book = Book::new(Rng::with_seed(1));
    for source in PeerSource::ALL {
        for service in SERVICES {
            book.add(service.parse().unwrap(), source, Time::ZERO);
            book.add_told(service.parse().unwrap(), addr(1).ip(), Time::ZERO);
            assert_eq!(book.next(Time::ZERO), None, "{service} by {source:?}");
        }
        // A host of our link is dialed if it says itself where it is, or the user does.
        let on_link = "169.254.1.1:1".parse().unwrap();
        book.add(on_link, source, Time::ZERO);
        let is_believed = matches!(source, PeerSource::User | PeerSource::Peer | PeerSource::Lsd);
        assert_eq!(book.next(Time::ZERO).is_some(), is_believed, "{source:?}");
        book = Book::new(Rng::with_seed(1));
    }
}

#[test]
fn in_any_minute_no_more_is_heard_of_one_host() {
    let mut book = book_of(0);
    let (start, half) = (Time::from_secs(100), EXCHANGE_INTERVAL / 2);
    let [teller, neighbour, other] = [[10, 0, 0, 1], [10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
    assert_eq!(book.hear(teller, 20, start), 20);
    assert_eq!(book.hear(neighbour, 100, start + half), MAX_EXCHANGED - 20);
    assert_eq!(book.hear(teller, 1, start + half), 0);
    assert_eq!(book.hear(other, 100, start + half), MAX_EXCHANGED, "somebody else");
    assert_eq!(book.hear(teller, 100, start + EXCHANGE_INTERVAL), 20, "as many as a minute ago");
    assert_eq!(book.hear(teller, 100, start + EXCHANGE_INTERVAL + half), MAX_EXCHANGED - 20);
}

#[test]
fn what_is_remembered_of_who_was_heard_is_bounded() {
    let mut book = book_of(0);
    for n in 0..u32::try_from(MAX_HEARD).unwrap() + 10 {
        assert_eq!(book.hear(IpAddr::from(n.to_be_bytes()), 1, Time::from_secs(100)), 1);
        book.check();
    }
}
