//! `scrape`: what trackers say of torrents, without taking part (BEP 15, 48).

use crate::args::Scrape;
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::paint::{Look, Paint};
use crate::source::Source;
use crate::text::printable;
use crate::units::grouped;
use crate::{interrupt, runtime, transfer};
use net::announce::{self, TrackerClient, TrackerSettings};
use net::bind::LocalAddrs;
use net::http::{Bounds, HttpClient};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracker::limits::MAX_SCRAPE;
use tracker::udp::Retransmit;
use tracker::{PrivatePaths, Refused, ScrapeEntry, Tiers, TrackerUrl, UrlRules, parse_tiers};
use types::{InfoHash, InfoHashV1};

/// How many requests are under way at a time.
const AT_ONCE: usize = 32;

/// How long a tracker has: somebody is waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a UDP tracker has before it is asked again, at first.
const FIRST_WAIT: Duration = Duration::from_secs(3);

pub(crate) fn run(args: &Scrape, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let runtime = runtime()?;
    let exit = runtime.block_on(scrape(args, console));
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    exit
}

async fn scrape(args: &Scrape, console: &Console) -> Result<Exit, Failure> {
    let mut torrents = Vec::new();
    let mut exit = Exit::Done;
    for source in &args.sources {
        match Torrent::load(Source::new(source), args).await {
            Ok(torrent) => torrents.push(torrent),
            Err(failure) => {
                console.failure(&failure);
                exit = Exit::Failed;
            }
        }
    }
    let answers = ask(&torrents).await?;
    let mut rows = Vec::new();
    for torrent in &torrents {
        let of_torrent = torrent.rows(&answers);
        if of_torrent.iter().all(|row| row.error.is_some()) {
            exit = Exit::Failed;
        }
        rows.extend(of_torrent);
    }
    if args.json {
        console.print(rows.iter().map(json_line).collect::<String>())?;
    } else {
        let swarms: usize = torrents.iter().map(|torrent| torrent.swarms.len()).sum();
        console.print(table(&rows, swarms > 1, Paint::of_stdout()))?;
    }
    complain(&rows, console);
    Ok(exit)
}

/// A torrent, and whom to ask about it.
struct Torrent {
    name: String,
    /// One for each name that it has on the wire, with what people call it where there are two.
    swarms: Vec<Swarm>,
    trackers: Tiers,
    /// What its trackers may be asked for at private addresses.
    private: PrivatePaths,
}

struct Swarm {
    wire: InfoHashV1,
    info_hash: InfoHash,
    /// `album`, or `album (v2)` where a torrent has two.
    label: String,
}

impl Torrent {
    async fn load(source: Source<'_>, args: &Scrape) -> Result<Torrent, Failure> {
        let (info_hash, name, tiers, private) = match source.magnet()? {
            Some(magnet) => {
                let tiers = magnet.trackers.into_iter().map(|tracker| vec![tracker]).collect();
                (magnet.info_hash, magnet.name, tiers, PrivatePaths::Nothing)
            }
            None => {
                let torrent = source.load(transfer::fetch_alone).await?;
                let (name, tiers) = (torrent.name().to_owned(), torrent.trackers().to_vec());
                (torrent.info_hash(), Some(name), tiers, PrivatePaths::Announce)
            }
        };
        // Whatever tracker a person names may be anywhere.
        let is_theirs = args.allow_private || !args.tracker.is_empty();
        let private = if is_theirs { PrivatePaths::Any } else { private };
        let name = name.unwrap_or_else(|| info_hash.to_string());
        let trackers = match &*args.tracker {
            [] => parse_tiers(&tiers, UrlRules { private, ..UrlRules::default() }),
            only => Tiers { usable: vec![only.to_vec()], refused: Vec::new() },
        };
        if trackers.usable.is_empty() && trackers.refused.is_empty() {
            let message = format!("{name}: it names no tracker; name one with --tracker");
            return Err(Failure::new(kind::TRACKER, message).of(&info_hash.to_string()));
        }
        Ok(Torrent { swarms: swarms(info_hash, &name), name, trackers, private })
    }

    /// What the trackers say, in their order.
    fn rows(&self, answers: &Answers) -> Vec<Row> {
        let mut rows = Vec::new();
        for swarm in &self.swarms {
            for tracker in self.trackers.usable.iter().flatten() {
                rows.push(Row::new(swarm, tracker.to_string(), answers.of(tracker, swarm)));
            }
            for Refused { tier, position, error } in &self.trackers.refused {
                // Its text may hold a private key, or could not be read.
                let tracker = format!("tracker {} of tier {} of {}", position + 1, tier + 1, self.name);
                rows.push(Row::new(swarm, tracker, Err(error.to_string())));
            }
        }
        rows
    }
}

/// A torrent's v1 peers, and its v2 peers (BEP 52), are two swarms to a tracker.
fn swarms(info_hash: InfoHash, name: &str) -> Vec<Swarm> {
    let swarm = |info_hash: InfoHash, label: String| Swarm { wire: info_hash.wire(), info_hash, label };
    match info_hash {
        InfoHash::Hybrid(v1, v2) => vec![
            swarm(InfoHash::V1(v1), format!("{name} (v1)")),
            swarm(InfoHash::V2(v2), format!("{name} (v2)")),
        ],
        one => vec![swarm(one, name.to_owned())],
    }
}

/// What came of asking, by tracker and torrent.
#[derive(Default)]
struct Answers(BTreeMap<(TrackerUrl, InfoHashV1), Result<ScrapeEntry, String>>);

impl Answers {
    fn of(&self, tracker: &TrackerUrl, swarm: &Swarm) -> Result<ScrapeEntry, String> {
        let unknown = || Err(format!("it does not tell of {}", swarm.label));
        self.0.get(&(tracker.clone(), swarm.wire)).cloned().unwrap_or_else(unknown)
    }
}

/// Asks every tracker about all of its torrents, as many in one request as it takes.
async fn ask(torrents: &[Torrent]) -> Result<Answers, Failure> {
    let mut questions: BTreeMap<(TrackerUrl, PrivatePaths), BTreeSet<InfoHashV1>> = BTreeMap::new();
    for torrent in torrents {
        for tracker in torrent.trackers.usable.iter().flatten() {
            let wires = torrent.swarms.iter().map(|swarm| swarm.wire);
            questions.entry((tracker.clone(), torrent.private)).or_default().extend(wires);
        }
    }
    let client = client()?;
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for ((tracker, private), wires) in questions {
        let client = client.with_rules(UrlRules { private, ..UrlRules::default() });
        let wires: Vec<_> = wires.into_iter().collect();
        for wires in wires.chunks(MAX_SCRAPE).map(<[_]>::to_vec) {
            let (client, permits, tracker) = (client.clone(), permits.clone(), tracker.clone());
            asking.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let outcome = announce::scrape(&client, &tracker, &wires).await;
                (tracker, wires, outcome.map_err(|error| error.to_string()))
            });
        }
    }
    let mut answers = Answers::default();
    for (tracker, wires, outcome) in asking.join_all().await {
        match outcome {
            Ok(told) => {
                answers.0.extend(told.into_iter().map(|(wire, entry)| ((tracker.clone(), wire), Ok(entry))));
            }
            Err(error) => {
                answers.0.extend(wires.into_iter().map(|wire| ((tracker.clone(), wire), Err(error.clone()))));
            }
        }
    }
    Ok(answers)
}

fn client() -> Result<TrackerClient, Failure> {
    let user_agent = concat!("rawtorrent/", env!("CARGO_PKG_VERSION"));
    let http = HttpClient::new(user_agent, LocalAddrs::default()).or_fail(kind::STARTUP, "cannot start")?;
    let settings = TrackerSettings {
        bounds: Bounds { total: PATIENCE, ..Bounds::TRACKER },
        retransmit: Retransmit { first: FIRST_WAIT, total: PATIENCE, ..Retransmit::default() },
        ..TrackerSettings::default()
    };
    Ok(TrackerClient::new(http, settings))
}

/// What `scrape --json` prints for each tracker of each torrent, in this order of keys: a contract. What is not known is
/// null, and so is `error` where the rest is known.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "scrape")]
struct Row {
    /// Of a hybrid's v2 peers the v2 one.
    info_hash: String,
    /// Scheme, host and port; a URL that cannot be used is named by its place.
    tracker: String,
    seeds: Option<u32>,
    leechers: Option<u32>,
    completed: Option<u32>,
    /// Those that download just now, where the tracker tells them from other leechers.
    downloaders: Option<u32>,
    error: Option<String>,
    #[serde(skip)]
    label: String,
}

impl Row {
    fn new(swarm: &Swarm, tracker: String, answer: Result<ScrapeEntry, String>) -> Row {
        let (entry, error) = match answer {
            Ok(entry) => (Some(entry), None),
            Err(error) => (None, Some(error)),
        };
        Row {
            info_hash: swarm.info_hash.to_string(),
            tracker,
            seeds: entry.map(|entry| entry.seeders),
            leechers: entry.map(|entry| entry.leechers),
            completed: entry.map(|entry| entry.completed),
            downloaders: entry.and_then(|entry| entry.downloaders),
            error,
            label: swarm.label.clone(),
        }
    }
}

/// The rows that have numbers, for people; `named` if they are of several torrents.
fn table(rows: &[Row], named: bool, paint: Paint) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.error.is_none()).collect();
    let Some(width) = rows.iter().map(|row| row.tracker.chars().count()).max() else {
        return String::new();
    };
    let line = |tracker: &str, [seeds, leechers, completed]: [String; 3], label: &str| {
        let label = if named { format!("  {}", printable(label)) } else { String::new() };
        format!("{tracker:<width$}  {seeds:>9}  {leechers:>9}  {completed:>9}{label}")
    };
    let header = line("tracker", ["seeds", "leechers", "completed"].map(String::from), "torrent");
    let mut text = format!("{}\n", paint.paint(Look::Dim, header));
    for row in rows {
        let numbers = [row.seeds, row.leechers, row.completed].map(|n| grouped(n.unwrap_or(0).into()));
        text += &line(&row.tracker, numbers, &row.label);
        text.push('\n');
    }
    text
}

/// A line for every tracker that had nothing to tell, whatever it was asked about.
fn complain(rows: &[Row], console: &Console) {
    let mut told = BTreeSet::new();
    for row in rows {
        if let Some(error) = &row.error
            && told.insert((&row.tracker, error))
        {
            console.error(&Failure::new(kind::TRACKER, format_args!("{}: {error}", row.tracker)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::InfoHashV2;

    fn torrent(info_hash: InfoHash, trackers: &[&str]) -> Torrent {
        let tiers: Vec<_> = trackers.iter().map(|tracker| vec![*tracker]).collect();
        Torrent {
            name: "x".into(),
            swarms: swarms(info_hash, "x"),
            trackers: parse_tiers(&tiers, UrlRules::default()),
            private: PrivatePaths::default(),
        }
    }

    fn counts(seeders: u32) -> ScrapeEntry {
        ScrapeEntry { seeders, leechers: 2, completed: 3456, downloaders: None }
    }

    fn rows() -> Vec<Row> {
        let hybrid = InfoHash::Hybrid(InfoHashV1([1; 20]), InfoHashV2([2; 32]));
        let torrent = torrent(hybrid, &["udp://t:1/secret", "http://u/announce", "wss://v/secret"]);
        let [t, u] = [0, 1].map(|n| torrent.trackers.usable[n][0].clone());
        let mut answers = Answers::default();
        answers.0.insert((t.clone(), InfoHashV1([1; 20])), Ok(counts(1)));
        answers.0.insert((t, InfoHashV1([2; 20])), Ok(counts(0)));
        answers.0.insert((u, InfoHashV1([1; 20])), Ok(counts(7)));
        torrent.rows(&answers)
    }

    #[test]
    fn a_hybrid_is_asked_about_by_both_of_its_names() {
        let v2 = InfoHashV2([2; 32]);
        assert_eq!(swarms(InfoHash::V2(v2), "x")[0].wire, InfoHashV1([2; 20]));
        let told: Vec<_> =
            rows().into_iter().map(|row| (row.label, row.tracker, row.seeds, row.error)).collect();
        let said = |label: &str, tracker: &str, seeds, error: Option<&str>| {
            (label.to_owned(), tracker.to_owned(), seeds, error.map(str::to_owned))
        };
        let unsupported = Some("wss trackers are not supported (http, https and udp are)");
        assert_eq!(
            told,
            [
                said("x (v1)", "udp://t:1", Some(1), None),
                said("x (v1)", "http://u:80", Some(7), None),
                said("x (v1)", "tracker 1 of tier 3 of x", None, unsupported),
                said("x (v2)", "udp://t:1", Some(0), None),
                said("x (v2)", "http://u:80", None, Some("it does not tell of x (v2)")),
                said("x (v2)", "tracker 1 of tier 3 of x", None, unsupported),
            ]
        );
    }

    #[test]
    fn rows_have_exactly_the_fields_of_the_contract() {
        let rows = rows();
        assert_eq!(
            json_line(&rows[0]),
            format!(
                "{{\"event\":\"scrape\",\"info_hash\":\"{}\",\"tracker\":\"udp://t:1\",\"seeds\":1,\
                 \"leechers\":2,\"completed\":3456,\"downloaders\":null,\"error\":null}}\n",
                "01".repeat(20)
            )
        );
        assert!(json_line(&rows[4]).contains(
            "\"seeds\":null,\"leechers\":null,\"completed\":null,\"downloaders\":null,\"error\":\"it does"
        ));
    }

    #[test]
    fn the_table_is_aligned() {
        let rows = rows();
        assert_eq!(
            table(&rows, true, Paint::plain()),
            "tracker          seeds   leechers  completed  torrent\n\
             udp://t:1            1          2      3,456  x (v1)\n\
             http://u:80          7          2      3,456  x (v1)\n\
             udp://t:1            0          2      3,456  x (v2)\n"
        );
        assert!(table(&rows[..1], false, Paint::plain()).ends_with("3,456\n"));
        assert_eq!(table(&rows[2..3], false, Paint::plain()), "");
    }
}
