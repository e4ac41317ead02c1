//! What the engine reports, a line each: what trackers complain of, with `-v` all that happens, with `-vv` every
//! message to and from peers and every piece as well.

use crate::console::{self, Console};
use crate::text::{counted, printable};
use engine::InfoHash;
use engine::events::{Direction, Event, EventKind, Events, Filter, Kind, NO_TORRENT};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use types::InfoHashV1;

/// Complaints that are remembered, so that each is told once; those beyond are not told.
const MAX_COMPLAINTS: usize = 1000;

/// What is listened to: without `-v` complaints, and whether somebody is met; messages with `-vv` only.
pub(crate) fn wanted(console: &Console) -> Filter {
    match console.verbose().max(console::logged_events()) {
        0 => Filter::of(&[Kind::Tracker, Kind::WebSeed, Kind::Handshake, Kind::Piece, Kind::Torrent]),
        1 => Filter::of(&Kind::ALL.into_iter().filter(|kind| *kind != Kind::Message).collect::<Vec<_>>()),
        _ => Filter::all(),
    }
}

/// Tells people until the engine has shut down.
///
/// Without `-v` only until every torrent has met a peer: until then the question is why nothing happens, afterwards
/// reporting would take time from the download.
pub(crate) async fn pass_on(mut events: Events, console: Console, roll: Arc<Roll>) {
    let verbose = console.verbose().max(console::logged_events());
    let mut told = BTreeSet::new();
    let mut lost = 0;
    while let Some(event) = events.next().await {
        if events.lost() > lost {
            console.note(format_args!("({} left out)", counted(events.lost() - lost, "event")));
            lost = events.lost();
        }
        if verbose > 0 {
            if let Some(text) = line(&event.kind, verbose) {
                let (torrent, at) = (short(event.torrent), event.at.as_secs_f64());
                console.note(format_args!("{torrent:<8} {at:>9.3} {}", printable(&text)));
            }
        } else if let Some(text) = complaint(&event.kind)
            && is_news(&mut told, event.torrent, text.clone())
        {
            console.note(printable(&text));
        }
        if let Some(complaint) = roll.hear(&event) {
            console.note(complaint);
        }
        if verbose == 0 && roll.everyone_met() {
            return;
        }
    }
}

/// As long as git's short hashes: enough to tell a handful of torrents apart. Nothing, of what is of none.
fn short(torrent: InfoHash) -> String {
    if torrent == NO_TORRENT { String::new() } else { torrent.to_string().chars().take(8).collect() }
}

/// Whether a complaint is to be told.
fn is_news(told: &mut BTreeSet<(InfoHash, String)>, torrent: InfoHash, complaint: String) -> bool {
    told.len() < MAX_COMPLAINTS && told.insert((torrent, complaint))
}

/// The torrents that are to be heard of, and what is known of each.
pub(crate) struct Roll(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// Sources of which it is not known yet what torrent they are.
    expected: usize,
    torrents: BTreeMap<InfoHashV1, Entry>,
}

#[derive(Default)]
struct Entry {
    /// Once the torrent was entered: what is said of it if no tracker can be used.
    if_alone: Option<Box<Alone>>,
    /// Trackers that cannot be used.
    refused: usize,
    /// It has had a peer, or something of it has come, or it has ended.
    met: bool,
}

struct Alone {
    name: String,
    trackers: usize,
}

impl Entries {
    fn wait_for(&mut self, torrent: InfoHash, name: &str, trackers: usize, waits: bool) -> Option<String> {
        let entry = self.torrents.entry(torrent.wire()).or_default();
        entry.if_alone = waits.then(|| Box::new(Alone { name: printable(name).into_owned(), trackers }));
        entry.complaint()
    }
}

impl Roll {
    pub(crate) fn new(sources: usize) -> Roll {
        Roll(Mutex::new(Entries { expected: sources, ..Entries::default() }))
    }

    /// A source turned out to be a torrent with so many trackers; `waits` if nobody but them tells of peers. Returns
    /// what is to be told.
    pub(crate) fn enter(
        &self,
        torrent: InfoHash,
        name: &str,
        trackers: usize,
        waits: bool,
    ) -> Option<String> {
        let mut entries = self.entries();
        entries.expected = entries.expected.saturating_sub(1);
        entries.wait_for(torrent, name, trackers, waits)
    }

    /// The metadata of a torrent is looked for: the same, but the source is still to turn out to be a torrent.
    pub(crate) fn await_metadata(
        &self,
        torrent: InfoHash,
        name: &str,
        trackers: usize,
        waits: bool,
    ) -> Option<String> {
        self.entries().wait_for(torrent, name, trackers, waits)
    }

    /// A source came to nothing.
    pub(crate) fn strike(&self) {
        let mut entries = self.entries();
        entries.expected = entries.expected.saturating_sub(1);
    }

    /// Takes in an event, which may come before its torrent is entered. Returns what is to be told.
    fn hear(&self, event: &Event) -> Option<String> {
        let mut entries = self.entries();
        let entry = entries.torrents.entry(event.torrent.wire()).or_default();
        match &event.kind {
            // A web seed is met when something comes from it.
            EventKind::Handshake { .. } | EventKind::PieceVerified { .. } | EventKind::Stopped { .. } => {
                entry.met = true;
            }
            EventKind::AnnounceFailed { tracker, .. } if is_refused(tracker) => {
                entry.refused += 1;
                return entry.complaint();
            }
            _ => {}
        }
        None
    }

    fn everyone_met(&self) -> bool {
        let entries = self.entries();
        entries.expected == 0 && entries.torrents.values().all(|entry| entry.met)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Said once, when it is known that no tracker is of use and nobody else is.
    fn complaint(&mut self) -> Option<String> {
        let Alone { name, trackers } = *self.if_alone.take_if(|alone| alone.trackers <= self.refused)?;
        let none = if trackers == 0 { "no trackers" } else { "no usable trackers" };
        Some(format!("{name}: {none}, no --peer: waiting for peers to connect"))
    }
}

/// The option that helps.
fn option(error: &str) -> &'static str {
    let is_private =
        error.ends_with("private address") || error.starts_with("a tracker at a private address");
    if is_private { " (--allow-private)" } else { "" }
}

/// A tracker that will not be asked is named by its place: its text could not be read, or is private.
fn is_refused(tracker: &str) -> bool {
    tracker.starts_with("tracker ")
}

/// What keeps trackers and web seeds from helping.
fn complaint(event: &EventKind) -> Option<String> {
    match event {
        EventKind::WebSeedFailed { .. } => line(event, 0),
        EventKind::AnnounceFailed { .. } | EventKind::Announced { warning: Some(_), .. } => line(event, 0),
        _ => None,
    }
}

/// What is told of the stream: all of it is `--trace`'s to show.
fn line(event: &EventKind, verbose: u8) -> Option<String> {
    Some(match event {
        EventKind::AnnounceFailed { tracker, error } if is_refused(tracker) => {
            format!("{tracker} cannot be used: {error}{}", option(error))
        }
        EventKind::AnnounceFailed { error, .. } => format!("{event}{}", option(error)),
        EventKind::WebSeedFailed { error, again: None, .. } => format!("{event}{}", option(error)),
        EventKind::Dialing { peer } => format!("connecting to {peer}"),
        EventKind::DialFailed { peer, error } => format!("cannot connect to {peer}: {error}"),
        EventKind::Handshake { peer, direction: Direction::In, peer_id, client, extensions, .. } => {
            let client = client.as_deref().unwrap_or("unknown client");
            format!("{peer} is {client} ({peer_id}), can do: {extensions}")
        }
        EventKind::Message { peer, direction, said, .. } if verbose > 1 => {
            format!("{peer} {direction} {said}")
        }
        EventKind::PieceVerified { .. }
        | EventKind::DiskWaited { .. }
        | EventKind::LimitReached { .. }
        | EventKind::DhtAsked { .. }
        | EventKind::DhtAnswered { .. }
        | EventKind::DhtFailed { .. }
            if verbose < 2 =>
        {
            return None;
        }
        EventKind::Checking { .. }
        | EventKind::MetadataFound { .. }
        | EventKind::Announcing { .. }
        | EventKind::Announced { .. }
        | EventKind::DhtSearched { .. }
        | EventKind::DhtAsked { .. }
        | EventKind::DhtAnswered { .. }
        | EventKind::DhtFailed { .. }
        | EventKind::WebSeedOpened { .. }
        | EventKind::WebSeedFailed { .. }
        | EventKind::PeersExchanged { .. }
        | EventKind::LocalPeer { .. }
        | EventKind::Disconnected { .. }
        | EventKind::PieceVerified { .. }
        | EventKind::PieceFailed { .. }
        | EventKind::PieceLost { .. }
        | EventKind::DiskWaited { .. }
        | EventKind::LimitReached { .. }
        | EventKind::Banned { .. }
        | EventKind::Finished => match (event.peer(), event.direction()) {
            (Some(peer), Some(direction)) => format!("{peer} {direction} {event}"),
            (Some(peer), None) => format!("{peer} {event}"),
            (None, _) => event.to_string(),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::events::{Block, Peer, Said, VERSION};
    use std::time::Duration;

    #[test]
    fn messages_are_for_the_very_curious() {
        let peer = Peer::from("127.0.0.1:6881".parse::<std::net::SocketAddr>().unwrap());
        let said = Said::Request(Block { piece: 3, offset: 0, length: 16384 });
        let message = EventKind::Message { peer, direction: Direction::Out, said, reason: None, took: None };
        assert_eq!(line(&message, 1), None);
        assert_eq!(line(&message, 2).unwrap(), "127.0.0.1:6881 <- request piece 3, 16384 bytes at 0");
        let (query, target) = ("ping".into(), None);
        let asked = EventKind::DhtAsked { peer, direction: Direction::In, query, target };
        assert_eq!((line(&asked, 1), &*line(&asked, 2).unwrap()), (None, "127.0.0.1:6881 -> DHT ping"));
        assert_eq!((&*short(NO_TORRENT), short(torrent_of(1)).len()), ("", 8));
        let failed = EventKind::AnnounceFailed { tracker: "udp://t:1".into(), error: "no answer".into() };
        let told = EventKind::PeersExchanged { from: peer, peers: 2 };
        assert_eq!(line(&told, 1).unwrap(), "127.0.0.1:6881 tells of 2 other peers");
        assert_eq!(line(&failed, 1), complaint(&failed));
        assert_eq!(complaint(&failed).unwrap(), "udp://t:1 failed: no answer");
        let of_web_seed = |error: &str, again| {
            let (web_seed, error) = ("http://w:80".into(), error.into());
            complaint(&EventKind::WebSeedFailed { web_seed, error, again }).unwrap()
        };
        assert_eq!(
            of_web_seed("it is at a private address", None),
            "web seed http://w:80 is not used: it is at a private address (--allow-private)"
        );
        assert_eq!(
            of_web_seed("it is busy", Some(Duration::from_secs(5))),
            "web seed http://w:80 failed: it is busy; asked again in 5 s"
        );
        let refused = EventKind::AnnounceFailed {
            tracker: "http://t:80".into(),
            error: tracker::UrlError::NotAnAnnouncePath.to_string(),
        };
        assert!(complaint(&refused).unwrap().ends_with("ends in /announce (--allow-private)"));
        assert_eq!(complaint(&EventKind::PieceVerified { piece: 0, from: Vec::new() }), None);
    }
    fn event(torrent: u8, kind: EventKind) -> Event {
        Event { v: VERSION, at: Duration::ZERO, torrent: torrent_of(torrent), kind }
    }

    fn torrent_of(number: u8) -> InfoHash {
        let torrent = metainfo::create::Builder::file("x", 1).piece_length(16384).pieces(vec![number; 20]);
        metainfo::Metainfo::parse(&torrent.build().unwrap()).unwrap().info_hash()
    }

    #[test]
    fn who_is_left_alone_is_told_once() {
        let refused = |n: u8| {
            let tracker = format!("tracker {n} of tier 1");
            event(1, EventKind::AnnounceFailed { tracker, error: "wss trackers are not supported".into() })
        };
        let hint = Some("t: no usable trackers, no --peer: waiting for peers to connect".to_owned());
        assert_eq!(
            line(&refused(1).kind, 0).unwrap(),
            "tracker 1 of tier 1 cannot be used: wss trackers are not supported"
        );
        // Whichever comes first, the torrent or what is said of it.
        let roll = Roll::new(1);
        assert_eq!((roll.hear(&refused(1)), roll.hear(&refused(2))), (None, None));
        assert_eq!(roll.enter(torrent_of(1), "t", 2, true), hint);
        let roll = Roll::new(1);
        assert_eq!(roll.enter(torrent_of(1), "t", 2, true), None);
        assert_eq!((roll.hear(&refused(1)), roll.hear(&refused(2))), (None, hint));
        assert_eq!(roll.hear(&refused(1)), None);
        // Who has a peer to call, or only seeds, is told nothing.
        assert_eq!(Roll::new(1).enter(torrent_of(1), "t", 0, false), None);
        assert!(Roll::new(1).enter(torrent_of(1), "t", 0, true).unwrap().starts_with("t: no trackers, "));
    }

    #[test]
    fn complaints_are_heard_until_everyone_has_met_a_peer() {
        let roll = Roll::new(3);
        assert!(!roll.everyone_met());
        roll.strike();
        roll.enter(torrent_of(1), "one", 1, true);
        roll.enter(torrent_of(2), "two", 1, true);
        roll.hear(&event(1, EventKind::Stopped { error: None }));
        assert!(!roll.everyone_met());
        roll.hear(&event(2, EventKind::Stopped { error: None }));
        assert!(roll.everyone_met());
    }

    #[test]
    fn so_many_complaints_are_told_and_each_once() {
        let mut told = BTreeSet::new();
        let mut is_news = |number: usize| is_news(&mut told, torrent_of(1), format!("complaint {number}"));
        assert!((0..MAX_COMPLAINTS).all(&mut is_news));
        assert!(!is_news(0), "again");
        assert!(!is_news(MAX_COMPLAINTS));
    }
}
