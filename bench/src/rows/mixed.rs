//! Downloading from several clients at once, each of which gives no more than it is let.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tests::interop::Party;
use tests::interop::cell::Partner;
use tests::tracker::{Answer, Server};

use super::leech::{self, Kept};
use super::seed::Seed;
use super::{GIB, MIB, gib};
use crate::clients::{self, Client, Work};
use crate::content::{NAME, Torrent};
use crate::lab::Lab;
use crate::meter;
use crate::reader::NullReader;
use crate::report::{Bar, Bound, Measure, Over, Table, measure};
use crate::sockets::{Sample, Watch};

const SEEDERS: [Client; 4] = [
    Client::Libtorrent,
    Client::Partner(Partner::Transmission),
    Client::Partner(Partner::Aria2),
    Client::Partner(Partner::Rtorrent),
];
const LEECHER_PORT: u16 = 6_881;
/// Bytes a second of each.
const CAP: u64 = 50 * MIB;
/// The slowest seeder begins ten seconds after the others: what is left then takes as long again.
const SIZE: u64 = 4 * GIB;
/// All four look at their files at once.
const READY: Duration = Duration::from_secs(180);
const LIMIT: Duration = Duration::from_secs(180);
/// Limits let bursts through first.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(4);
/// A seeder that has sent so much has begun.
const BEGUN: u64 = MIB;
/// Until so much is here, every seeder has something to send.
const NEARLY_ALL: u64 = SIZE / 20 * 19;
/// Less time than this tells nothing of a rate.
const AT_LEAST: Duration = Duration::from_secs(3);

const MEASURES: &[Measure] = &[
    measure("rate once all send", "MiB/s", 1),
    measure("seeders' sum", "MiB/s", 1),
    measure("share of it", "", 3),
    measure("CPU", "s/GiB", 2),
    measure("wall", "s", 1),
];
const BARS: &[Bar] = &[
    Bar { of: 2, over: Over::Nothing, bound: Bound::AtLeast(0.95) },
    Bar { of: 3, over: Over::Peer("libtorrent"), bound: Bound::AtMost(0.6) },
];

pub(super) fn run(lab: &Lab) -> Result<Table> {
    let mix = Mix::start(lab)?;
    let clients = [Client::Rawtorrent, Client::Libtorrent];
    let entries = lab.interleave(&clients, leech::settings, |client| mix.leech(lab, client));
    Ok(Table {
        row: "leech-mixed",
        about: format!(
            "One client downloads {} GiB in pieces of 1 MiB over plain TCP from libtorrent, Transmission, aria2 and rTorrent, \
             each held to {} MiB/s. Their sum: what they send, before the first run, to four null readers at once. Rate: what comes \
             in, as the kernel counts it, from when all four have begun to send until 95 % are here.",
            SIZE / GIB,
            CAP / MIB
        ),
        measures: MEASURES,
        bars: BARS,
        entries,
        notes: vec![],
    })
}

/// The seeders.
struct Mix {
    torrent: Torrent,
    kept: Kept,
    seeders: Vec<(Party, Seed)>,
    /// Bytes a second that all send together to readers that take whatever comes.
    sum: f64,
    /// Who comes next.
    next: AtomicU8,
    _tracker: Server,
}

impl Mix {
    fn start(lab: &Lab) -> Result<Mix> {
        let torrent = lab.torrent(SIZE, usize::try_from(MIB)?)?;
        lab.provide(&torrent)?;
        let tracker = Server::start(Answer::Peers(vec![]))?;
        let start = |(number, client): (u8, Client)| -> Result<(Party, Seed)> {
            let party = lab.party_named(&format!("seeder-{number}"), lab.seeder_addr(number))?;
            let seed = Seed::start(lab, client, &party, &torrent, &tracker, Some(CAP));
            Ok((party, seed.with_context(|| client.name())?))
        };
        let seeders = (0..).zip(SEEDERS).map(start).collect::<Result<_>>()?;
        let kept = Kept::make(lab, &torrent, lab.folder("over"))?;
        let mut mix = Mix { torrent, kept, seeders, sum: 0.0, next: AtomicU8::new(0), _tracker: tracker };
        mix.sum = mix.measure(lab)?;
        Ok(mix)
    }

    /// What all send together. To be asked while they are fresh: who comes right after another gets nothing of
    /// Transmission for a while.
    fn measure(&self, lab: &Lab) -> Result<f64> {
        let deadline = Instant::now() + READY;
        let connect = |(party, _): &(Party, Seed)| {
            let reader = NullReader::connect(self.next_addr(lab), party.addr, &self.torrent, deadline);
            reader.with_context(|| party.dir.display().to_string())
        };
        let readers: Vec<NullReader<'_>> = self.seeders.iter().map(connect).collect::<Result<_>>()?;
        thread::scope(|scope| {
            let measuring: Vec<_> = readers
                .into_iter()
                .map(|mut reader| scope.spawn(move || reader.measure(WARM_UP, MEASURED)))
                .collect();
            measuring.into_iter().map(|one| one.join().ok().context("a reader panicked")?).sum()
        })
    }

    /// Where the next downloader comes from: always somewhere else, since Transmission gave nothing to a second one at the
    /// same address.
    fn next_addr(&self, lab: &Lab) -> Ipv4Addr {
        lab.guest_addr(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn leech(&self, lab: &Lab, client: Client) -> Result<Vec<f64>> {
        let sum = self.sum;
        let party = lab.party_named("party", (self.next_addr(lab), LEECHER_PORT).into())?;
        let torrent = self.torrent.write(&party.dir.join("plain.torrent"), None)?;
        self.kept.restore(lab, &party, SIZE)?;
        let (data, file) = (&self.kept.data, self.kept.data.join(NAME));
        let peers: Vec<_> = self.seeders.iter().map(|(party, _)| party.addr).collect();
        let sources: Vec<IpAddr> = peers.iter().map(SocketAddr::ip).collect();
        let mut command = match client {
            Client::Rawtorrent => clients::rawtorrent_leech(lab, &party, &torrent, data, &peers),
            Client::Libtorrent => clients::libtorrent(lab, &party, Work::Leech, &torrent, data, &peers),
            _ => bail!("it does not take part in this"),
        };
        let watch = Watch::start(sources);
        let taken = meter::run(&mut command, &party.dir.join("log"), LIMIT);
        let samples = watch.stop()?;
        let taken = taken?;
        self.torrent.content.verify(&file)?;
        let rate = rate_once_all_send(&samples)?;
        Ok(vec![mib_per_sec(rate), mib_per_sec(sum), rate / sum, taken.cpu / gib(SIZE), taken.wall])
    }
}

fn mib_per_sec(bytes_per_sec: f64) -> f64 {
    bytes_per_sec / f64::from(1 << 20)
}

/// Bytes a second from when all have begun until nearly all is here.
fn rate_once_all_send(samples: &[Sample]) -> Result<f64> {
    let received = |sample: &Sample| sample.received.iter().sum::<u64>();
    let begun = |sample: &&Sample| sample.received.iter().all(|&bytes| bytes >= BEGUN);
    let last = samples.iter().rfind(|sample| received(sample) <= NEARLY_ALL).context("nothing was seen")?;
    let first = samples.iter().find(begun).unwrap_or(last);
    let took = last.at.saturating_duration_since(first.at);
    if took < AT_LEAST {
        let shares: Vec<u64> = last.received.iter().map(|bytes| bytes / MIB).collect();
        bail!("all seeders together sent for {:.1} s only; MiB of each: {shares:?}", took.as_secs_f64());
    }
    #[allow(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
    let bytes = (received(last) - received(first)) as f64;
    Ok(bytes / took.as_secs_f64())
}

#[cfg(test)]
mod tests_of_mixed {
    use super::*;

    #[test]
    fn the_rate_is_that_while_all_send() {
        let start = Instant::now();
        let sample = |second: u64, received: [u64; 2]| Sample {
            at: start + Duration::from_secs(second),
            received: received.map(|gib| gib * GIB / 16).to_vec(),
        };
        let samples = [
            sample(0, [0, 0]),
            sample(1, [8, 0]),
            sample(2, [10, 1]),
            sample(7, [20, 11]),
            sample(9, [53, 11]),
        ];
        let rate = rate_once_all_send(&samples).unwrap();
        assert!((rate - gib_per_16(4.0)).abs() < 1.0, "{rate}");
        assert!(rate_once_all_send(&samples[..2]).is_err());
        assert!(rate_once_all_send(&samples[..3]).is_err());
    }

    #[allow(clippy::cast_precision_loss)]
    fn gib_per_16(parts: f64) -> f64 {
        parts * (GIB / 16) as f64
    }
}
