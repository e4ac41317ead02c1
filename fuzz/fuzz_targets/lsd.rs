//! Arbitrary datagrams, and well-formed ones with arbitrary parts, into a discovery while torrents come and go. Nothing
//! may panic, every invariant holds after every input, what it sends can be read, and it comes to rest.
#![no_main]

use common::plant;
use core::net::SocketAddr;
use core::num::NonZeroU16;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use lsd::limits::MAX_SENT;
use lsd::message::{encode, parse};
use lsd::{Config, Discovery, Family, Input, Output, Part, Subnet};
use types::{InfoHashV1, Time};

struct Bench {
    discovery: Discovery,
    now: Time,
    sent: usize,
    found: usize,
}

impl Bench {
    fn input(&mut self, input: Input<'_>) {
        self.discovery.handle(self.now, input);
        self.outputs();
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.discovery.handle_timeout(self.now);
        self.outputs();
        assert!(self.discovery.poll_timeout().is_none_or(|at| at > self.now), "it comes to rest");
    }

    fn outputs(&mut self) {
        while let Some(output) = self.discovery.poll_output() {
            match output {
                Output::Send { family, bytes } => {
                    assert!(bytes.len() <= MAX_SENT);
                    let said = parse(&bytes).expect("what we send is well formed");
                    let again = encode(family, said.port, &said.info_hashes, "0123456789abcdef");
                    assert_eq!(bytes.len(), again.len(), "nothing is lost");
                    self.sent += 1;
                }
                Output::Found { addr, .. } => {
                    assert!(addr.port() != 0);
                    self.found += 1;
                }
            }
        }
        self.discovery.check_invariants();
    }
}

/// Where somebody is: on a local network, or not.
fn place(which: u8) -> SocketAddr {
    match which & 3 {
        0 => SocketAddr::from(([127, 0, 0, 1], 6771)),
        1 => SocketAddr::from(([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(which)], 6771)),
        2 => SocketAddr::from(([192, 168, which >> 4, which], 6771)),
        _ => SocketAddr::from(([80, 0, which >> 4, which], 6771)),
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(said) = parse(data) {
        let cookie = said.cookie.and_then(|cookie| core::str::from_utf8(cookie).ok()).unwrap_or_default();
        let again = encode(Family::V4, said.port, &said.info_hashes, cookie);
        if let Ok(heard) = parse(&again) {
            assert_eq!((heard.port, heard.info_hashes), (said.port, said.info_hashes));
        }
    }
    let Some((&flags, mut rest)) = data.split_first() else { return };
    let config = Config { v4: NonZeroU16::new(u16::from(flags)), v6: NonZeroU16::new(u16::from(flags >> 4)) };
    let discovery = Discovery::new(config, u64::from(flags), Time::ZERO);
    let mut bench = Bench { discovery, now: Time::ZERO, sent: 0, found: 0 };
    // What happens, to whom, and how many bytes it takes.
    while let [what, which, len, bytes @ ..] = rest {
        let (body, after) = bytes.split_at(usize::from(*len).min(bytes.len()));
        rest = after;
        let torrent = InfoHashV1([*which & 63; 20]);
        match what % 6 {
            0 => bench.input(Input::Datagram { from: place(*which), bytes: body }),
            1 => {
                let hashes: Vec<InfoHashV1> = body.iter().map(|n| InfoHashV1([n & 63; 20])).collect();
                let port = NonZeroU16::new(u16::from(*len)).unwrap_or(NonZeroU16::MAX);
                let bytes = encode(Family::V4, port, &hashes, "theirs");
                bench.input(Input::Datagram { from: place(*which), bytes: &bytes });
            }
            2 | 3 => {
                let private = [Some(false), None, Some(true)][usize::from(*len % 3)];
                if let Some(part) = Part::of(private) {
                    bench.input(Input::Join { torrent, part });
                }
            }
            4 if what & 8 == 0 => bench.input(Input::Leave { torrent }),
            4 => {
                let networks: Vec<Subnet> =
                    body.iter().map(|&prefix| Subnet { ip: place(*which).ip(), prefix }).collect();
                bench.input(Input::Networks(&networks));
            }
            _ => bench.pass(u64::from(*which) * u64::from(*len) * 4),
        }
        plant(|| bench.sent >= 2 && bench.found >= 2);
    }
});
