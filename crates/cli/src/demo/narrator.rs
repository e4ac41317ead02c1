//! Turns what the engine reports into lines that a learner enjoys: aligned, explained once, never a flood.

use crate::paint::{Look, Paint};
use crate::text::{counted, printable};
use crate::units::grouped;
use engine::events::{Direction, EventKind, Said, explain};
use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::time::{Duration, Instant};

/// How many requests, blocks and verified pieces are told in full before they are only counted.
const IN_FULL: u64 = 3;
/// How often, afterwards, the map of pieces is shown.
const MAPS: u64 = 8;

/// Where what a line is about begins, and remarks on it; all of it is to fit into 80 columns.
const ASIDE_COLUMN: usize = 7 + 2 + 10 + 2 + 1 + 1;

/// Said where the messages begin, since it is the one thing that no message says.
const BEGINNING: &str = "at first nobody answers requests, nobody is interested";

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Demo,
    Tracker,
    Seeder,
    Downloader,
}

pub(super) struct Narrator {
    paint: Paint,
    started: Instant,
    /// When the first and the last block came.
    on_the_wire: Option<(Instant, Instant)>,
    explained: BTreeSet<&'static str>,
    requests: u64,
    blocks: u64,
    verified: u64,
    failed: u64,
    /// Which pieces are verified.
    map: Vec<bool>,
}

impl Narrator {
    pub(super) fn new(paint: Paint) -> Narrator {
        Narrator {
            paint,
            started: Instant::now(),
            on_the_wire: None,
            explained: BTreeSet::new(),
            requests: 0,
            blocks: 0,
            verified: 0,
            failed: 0,
            map: Vec::new(),
        }
    }

    pub(super) fn title(&self) -> String {
        let title = self.paint.paint(Look::Bold, "rawtorrent demo");
        let legend = "→ the downloader says to the seeder   ← the seeder says to the downloader";
        format!(
            "{title}: three sessions on 127.0.0.1, nothing leaves this machine\n{}\n",
            self.paint.paint(Look::Dim, legend)
        )
    }

    pub(super) fn next_steps(&self) -> String {
        let mut text = format!("\n{}\n", self.paint.paint(Look::Bold, "The same with files of your own:"));
        for (command, what) in [
            ("rawtorrent create PATH -a URL", "makes a torrent for the tracker at URL"),
            ("rawtorrent seed X.torrent --data DIR", "offers what is in DIR"),
            ("rawtorrent download X.torrent -o DIR", "gets it"),
        ] {
            let _ = writeln!(text, "  {command:<38} {}", self.paint.paint(Look::Dim, what));
        }
        text.pop();
        text
    }

    pub(super) fn expect_pieces(&mut self, pieces: u32) {
        self.map = vec![false; pieces as usize];
    }

    /// How long blocks were coming in.
    pub(super) fn seconds_on_the_wire(&self) -> f64 {
        self.on_the_wire.map_or(Duration::ZERO, |(first, last)| last - first).as_secs_f64()
    }

    /// What was too much to be told one by one.
    pub(super) fn counts(&self) -> [String; 2] {
        let verified = counted(self.verified, "verified piece");
        let (requests, blocks) = (counted(self.requests, "request"), counted(self.blocks, "block"));
        [format!("{requests}, {blocks}"), format!("{verified}, {} bad", grouped(self.failed))]
    }

    /// One line: the time, who, what, and the rest.
    pub(super) fn line(&self, who: Who, what: &str, text: &str) -> String {
        self.arranged(who, ' ', what, text)
    }

    /// The line or lines that an event is worth; `None` for what only counts.
    pub(super) fn tell(&mut self, who: Who, event: &EventKind) -> Option<String> {
        Some(match event {
            EventKind::Checking { pieces } => {
                let pieces = counted((*pieces).into(), "piece");
                self.line(who, "checks", &format!("its {pieces} on disk against their SHA-1"))
            }
            EventKind::Announcing { event, .. } => {
                let event = event.as_deref().unwrap_or("still here");
                self.line(who, "announces", &format!("'{event}' to the tracker"))
            }
            EventKind::Announced { peers, .. } => {
                let peers = counted(*peers as u64, "other peer");
                self.line(Who::Tracker, "answers", &format!("{peers} in this swarm"))
            }
            EventKind::AnnounceFailed { error, .. } => self.line(Who::Tracker, "fails", error),
            EventKind::Dialing { peer } => self.line(who, "connects", &format!("to {peer}")),
            EventKind::DialFailed { peer, error } => {
                self.line(who, "cannot", &format!("connect to {peer}: {error}"))
            }
            EventKind::Handshake { direction, peer_id, client, extensions, .. } => {
                let client = client.as_deref().unwrap_or("a client that does not tell its name");
                let mut said = self.spoken(who, *direction, "handshake", &format!("{client}, {peer_id}"));
                said = said + "\n" + &self.aside(format_args!("can do: {extensions}"));
                if *direction == Direction::In {
                    let choked = self.line(who, "is choked", "and so is the seeder");
                    said = said + "\n" + &choked + "\n" + &self.aside(BEGINNING);
                }
                said
            }
            EventKind::Message { direction, said, .. } => return self.message(who, *direction, said),
            EventKind::PieceVerified { piece, .. } => return self.verified(who, *piece),
            EventKind::PieceFailed { piece, .. } => {
                self.failed += 1;
                self.line(who, "bad piece", &format!("piece {piece} has another SHA-1: fetched again"))
            }
            EventKind::Disconnected { reason, .. } => self.line(who, "hangs up", reason),
            EventKind::Banned { peer, reason, .. } => self.line(who, "bans", &format!("{peer}: {reason}")),
            EventKind::Finished => {
                let all = self.paint.paint(Look::Green, "every piece is verified and on disk");
                self.line(who, "finished", &all.to_string())
            }
            _ => return None,
        })
    }

    fn message(&mut self, who: Who, direction: Direction, said: &Said) -> Option<String> {
        let name = said.name();
        let text = match said {
            // What an extension says would not fit.
            Said::Extended { .. } => said.to_wire().to_string(),
            _ => said.to_string(),
        };
        let told = match (name, direction) {
            ("request", Direction::Out) => {
                self.requests += 1;
                self.requests
            }
            ("piece", Direction::In) => {
                let now = Instant::now();
                self.on_the_wire = Some((self.on_the_wire.map_or(now, |(first, _)| first), now));
                self.blocks += 1;
                self.blocks
            }
            // The other end of the same wire tells it.
            ("request" | "piece", _) => return None,
            ("have", _) => self.verified,
            _ => 0,
        };
        if told > IN_FULL + 1 {
            return None;
        }
        // A message's text begins with its name, which has a column of its own.
        let text = match name {
            "have all" => &map(self.map.iter().map(|_| true)),
            "have none" => &map(self.map.iter().map(|_| false)),
            _ => text.strip_prefix(name).unwrap_or(&text).trim_start(),
        };
        if told > IN_FULL {
            return Some(self.spoken(who, direction, name, "… and so on; counted from here"));
        }
        Some(self.spoken(who, direction, name, text))
    }

    fn verified(&mut self, who: Who, piece: u32) -> Option<String> {
        if let Some(place) = self.map.get_mut(piece as usize) {
            *place = true;
        }
        self.verified += 1;
        let pieces = self.map.len() as u64;
        let good = self.paint.paint(Look::Green, "✓");
        let mut lines = Vec::new();
        if self.verified <= IN_FULL {
            let line = self.line(who, "verified", &format!("{good} piece {piece}"));
            lines.push(self.explained(line, "verified"));
        }
        // A map whenever another eighth of the pieces is there.
        let eighths = |verified: u64| verified * MAPS / pieces.max(1);
        if eighths(self.verified) > eighths(self.verified - 1) {
            let map = map(self.map.iter().copied());
            let count = format!("{:>2} of {pieces}", self.verified);
            lines.push(self.line(who, &count, &self.paint.paint(Look::Green, map).to_string()));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// A line about a message, with an arrow, and what the message means when it is seen for the first time.
    fn spoken(&mut self, who: Who, direction: Direction, name: &'static str, text: &str) -> String {
        let arrow = match direction {
            Direction::Out => '→',
            Direction::In => '←',
        };
        let line = self.arranged(who, arrow, name, &printable(text));
        self.explained(line, name)
    }

    /// A line, and below it what `name` means if that was not told before.
    fn explained(&mut self, line: String, name: &'static str) -> String {
        match meaning(name) {
            Some(meaning) if self.explained.insert(name) => {
                format!("{line}\n{}", self.aside(meaning))
            }
            _ => line,
        }
    }

    /// A remark on the line before.
    pub(super) fn aside(&self, remark: impl Display) -> String {
        format!("{:ASIDE_COLUMN$}{}", "", self.paint.paint(Look::Dim, format_args!("({remark})")))
    }

    fn arranged(&self, who: Who, arrow: char, what: &str, text: &str) -> String {
        let seconds = format!("{:.3}", self.started.elapsed().as_secs_f64());
        let (name, look) = match who {
            Who::Demo => ("demo", Look::Bold),
            Who::Tracker => ("tracker", Look::Magenta),
            Who::Seeder => ("seeder", Look::Yellow),
            Who::Downloader => ("downloader", Look::Cyan),
        };
        let (seconds, who) = (self.paint.paint(Look::Dim, seconds), self.paint.paint(look, name));
        format!("{seconds:>7}  {who:<10}  {arrow} {what:<14}  {text}").trim_end().to_owned()
    }
}

/// A picture of a bitfield.
fn map(pieces: impl Iterator<Item = bool>) -> String {
    pieces.map(|have| if have { '█' } else { '·' }).collect()
}

fn meaning(name: &str) -> Option<&'static str> {
    match name {
        "verified" => Some("its SHA-1 is the one in the torrent"),
        _ => explain::message(name).map(|told| told.says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::events::{Block, Peer};

    const BLOCK: Block = Block { piece: 1, offset: 0, length: 16384 };

    fn verified(piece: u32) -> EventKind {
        EventKind::PieceVerified { piece, from: Vec::new() }
    }

    fn narrator(pieces: u32) -> Narrator {
        let mut narrator = Narrator::new(Paint::plain());
        narrator.expect_pieces(pieces);
        narrator
    }

    fn message(direction: Direction, said: Said) -> EventKind {
        EventKind::Message { peer: Peer::default(), direction, said, reason: None, took: None }
    }

    fn bitfield(bits: u8) -> Said {
        Said::Bitfield { pieces: bits.count_ones(), bits: vec![bits] }
    }

    /// A line without its time.
    fn untimed(line: &str) -> &str {
        line.trim_start().split_once(' ').unwrap().1.trim_start()
    }

    #[test]
    fn messages_are_explained_once() {
        let mut narrator = narrator(8);
        let mut tell = |event| narrator.tell(Who::Downloader, &event).unwrap();
        assert_eq!(
            untimed(&tell(message(Direction::In, bitfield(0xff)))),
            format!(
                "downloader  ← bitfield        with 8 pieces\n{:ASIDE_COLUMN$}(what I have, one bit per piece)",
                ""
            )
        );
        assert_eq!(
            untimed(&tell(message(Direction::Out, bitfield(0)))),
            "downloader  → bitfield        with 0 pieces"
        );
        assert_eq!(
            untimed(&tell(message(Direction::Out, Said::Interested))),
            format!("downloader  → interested\n{:ASIDE_COLUMN$}(you have something that I want)", "")
        );
        let told = tell(message(Direction::Out, Said::KeepAlive));
        assert!(untimed(&told).starts_with("downloader  → keep-alive\n"), "{told}");
        assert_eq!(untimed(&tell(message(Direction::In, Said::KeepAlive))), "downloader  ← keep-alive");
    }

    #[test]
    fn repetition_is_counted_not_told() {
        let mut narrator = narrator(100);
        let request = message(Direction::Out, Said::Request(BLOCK));
        let told = (0..50).filter_map(|_| narrator.tell(Who::Downloader, &request)).collect::<Vec<_>>();
        assert_eq!(told.len() as u64, IN_FULL + 1);
        assert!(told[3].contains("counted from here"));
        assert!(narrator.tell(Who::Seeder, &message(Direction::In, Said::Request(BLOCK))).is_none());
        assert!(narrator.counts()[0].starts_with("50 requests, 0 blocks"));
    }

    #[test]
    fn the_map_fills_in_eighths() {
        let mut narrator = narrator(16);
        let lines: Vec<_> =
            (0..16).filter_map(|piece| narrator.tell(Who::Downloader, &verified(piece))).collect();
        let maps = lines.join("\n").lines().filter(|line| line.contains('█')).count() as u64;
        assert_eq!(maps, MAPS);
        assert!(lines[0].contains("✓ piece 0\n") && lines[0].contains("(its SHA-1"));
        assert!(lines.last().unwrap().ends_with("16 of 16        ████████████████"));
        assert!(narrator.counts()[1].contains("16 verified pieces, 0 bad"));
        // A piece that the torrent does not have changes nothing on the map.
        narrator.tell(Who::Downloader, &verified(99));
    }
}
