//! What is told in messages: bars, maps, embeds, always within Discord's limits.

use crate::access::Role;
use crate::commands::{Button, Does};
use crate::config::{Config, Entry};
use crate::inert::{self, clean, code, length, words};
use crate::limits::{
    MAP_COLUMNS, MAX_CONTENT, MAX_DESCRIPTION, MAX_EMBED, MAX_FOOTER, MAX_LINE, MAX_LINES, MAX_TEXT_CELLS,
    MAX_TITLE,
};
use api::units::{Rate, Size, Span, percent};
use api::{Peer, Pieces, State, Torrent, Why};
use std::fmt::Write;
use std::time::Duration;
use twilight_model::channel::message::Embed;
use twilight_util::builder::embed::{EmbedBuilder, EmbedFooterBuilder};

/// Cells of a progress bar.
const BAR: usize = 20;
/// From nothing to everything.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
/// A piece, or some, that are begun.
const BEGUN: char = '◦';

/// The size, if it is known.
pub fn size(entry: &Entry) -> String {
    entry.size.map_or("size not known yet".into(), |size| Size(size).to_string())
}

/// A progress bar with its percentage; full only when everything is there.
pub fn bar(done: u64, whole: u64) -> String {
    let done = done.min(whole);
    let share = (u128::from(done) * BAR as u128).checked_div(u128::from(whole));
    let full = share.and_then(|cells| usize::try_from(cells).ok()).unwrap_or(BAR);
    format!("{}{} {}", "█".repeat(full), "░".repeat(BAR - full), percent(done, whole))
}

/// The pieces as lines of signs.
pub fn map(pieces: &Pieces) -> String {
    let cells = pieces.cells(MAX_TEXT_CELLS);
    let sign = |cell: &api::Cell| match cell.shade(SHADES.len()) {
        0 if cell.begun => BEGUN,
        shade => SHADES[shade],
    };
    let lines = cells.chunks(MAP_COLUMNS).map(|row| row.iter().map(sign).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

/// What is known of a download that is shown.
#[derive(Clone, Debug)]
pub struct Live<'a> {
    /// What it is.
    pub entry: &'a Entry,
    /// How it is; `None` if the daemon is away or does not have it.
    pub torrent: Option<&'a Torrent>,
    /// Its pieces.
    pub pieces: Option<&'a Pieces>,
    /// What was said last, the oldest first.
    pub lines: &'a [String],
    /// A line of the bot's own: that the daemon is away, for example.
    pub note: Option<&'a str>,
}

/// The embed of a live message.
pub fn live(live: &Live<'_>) -> Embed {
    let mut text = String::new();
    if let Some(torrent) = live.torrent {
        progress(torrent, &mut text);
    }
    if let Some(note) = live.note {
        let _ = writeln!(text, "⚠ {}", words(note, MAX_LINE * 3));
    }
    if let Some(pieces) = live.pieces {
        let _ = writeln!(text, "```\n{}\n```", map(pieces));
    }
    let said = said(live.lines, MAX_DESCRIPTION.saturating_sub(length(&text)));
    text.push_str(&said);
    embed(&live.entry.name, &text, &format!("{} · {}", live.entry.licence, live.entry.info_hash))
}

// To a string everything can be written.
fn progress(torrent: &Torrent, text: &mut String) {
    let whole = torrent.wanted.unwrap_or(torrent.size);
    let done = torrent.done.or((torrent.state == State::Seeding).then_some(whole));
    // Of nothing that is known no part can be told.
    if let Some(done) = done.filter(|_| torrent.state != State::FetchingMetadata) {
        let _ = writeln!(text, "`{}`", bar(done, whole));
    }
    // Of what is complete it is the last that is said: how fast it is and for whom would be old soon.
    if torrent.state == State::Seeding {
        let _ = writeln!(text, "**complete** · {}", Size(whole));
    } else {
        let _ = writeln!(
            text,
            "**{}** · {} of {} · ↓ {} · ↑ {}",
            torrent.state.name().replace('_', " "),
            done.map_or("?".into(), |done| Size(done).to_string()),
            Size(whole),
            Rate(torrent.rate_down),
            Rate(torrent.rate_up),
        );
        let (peers, seeds) = (counted(torrent.peers, "peer"), counted(torrent.seeds, "seed"));
        let _ = write!(text, "{peers}, of which {seeds}");
        match done.and_then(|done| whole.saturating_sub(done).checked_div(torrent.rate_down)) {
            Some(seconds) if seconds > 0 => {
                let _ = writeln!(text, " · {} left", Span(Duration::from_secs(seconds)));
            }
            _ => text.push('\n'),
        }
    }
    if let Some(error) = &torrent.error {
        let _ = writeln!(text, "⚠ {}", words(&placeless(error, torrent), MAX_LINE * 2));
    }
}

/// A text without the folder of a torrent: where it is on the daemon's machine is nobody's business here, spaces in it or
/// not.
pub(crate) fn placeless(text: &str, torrent: &Torrent) -> String {
    if torrent.dir.is_empty() { text.to_owned() } else { text.replace(&torrent.dir, inert::FOLDER) }
}

/// The last lines, as many as fit in a code block of `room` characters.
fn said(lines: &[String], room: usize) -> String {
    const FENCES: usize = "```\n```".len();
    let mut room = room.saturating_sub(FENCES);
    let mut shown = Vec::new();
    for line in lines.iter().rev().take(MAX_LINES) {
        let line = code(line, MAX_LINE);
        let Some(rest) = room.checked_sub(length(&line) + 1) else { break };
        room = rest;
        shown.push(line + "\n");
    }
    shown.reverse();
    if shown.is_empty() { String::new() } else { format!("```\n{}```", shown.concat()) }
}

/// What somebody is told at the end.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// What it is.
    pub entry: &'a Entry,
    /// Bytes of its files.
    pub size: u64,
    /// How many of them were there before they were looked at; of a download that was begun here, 0.
    pub there: u64,
    /// How long the others took; `None` if all were here already, or that is not known.
    pub took: Option<Duration>,
    /// The greatest rate that was seen.
    pub fastest: u64,
    /// Each file's path, SHA-1 and SHA-256 in hex.
    pub files: &'a [(String, String, String)],
    /// How many files could not be read for that.
    pub unread: usize,
    /// How many other files are not told.
    pub more: usize,
}

/// The embed at the end of a download.
pub fn summary(summary: &Summary<'_>) -> Embed {
    let mut text = format!("Every byte is here and verified: {}", Size(summary.size));
    let came = summary.size.saturating_sub(summary.there);
    if let Some(took) = summary.took.filter(|_| came > 0) {
        if summary.there > 0 {
            let _ = write!(text, ", of which {} came", Size(came));
        }
        let _ = write!(text, " in {}", Span(took));
        if let Some(mean) =
            u64::try_from(took.as_millis()).ok().and_then(|ms| came.saturating_mul(1000).checked_div(ms))
        {
            // Rates are looked at now and then: what is fast in between is not seen.
            let best = summary.fastest.max(mean);
            let _ = write!(text, ", {} on average, {} at best", Rate(mean), Rate(best));
        }
    }
    text.push_str(".\n");
    for (path, sha1, sha256) in summary.files {
        let block = format!("{}\n```\nSHA-1   {sha1}\nSHA-256 {sha256}\n```", words(path, MAX_LINE * 2));
        text.push_str(&block);
    }
    if summary.unread > 0 {
        let files = counted(summary.unread, "file");
        let _ = writeln!(text, "No digests of {files}: the daemon did not give what is in them.");
    }
    match summary.more {
        0 => {}
        more if summary.files.is_empty() => {
            let _ = writeln!(text, "No digests of {}.", counted(more, "other file"));
        }
        more => {
            let _ = writeln!(text, "and {}", counted(more, "more file"));
        }
    }
    embed(&summary.entry.name, &text, &format!("{} · {}", summary.entry.licence, summary.entry.info_hash))
}

/// An embed whose title and footer are words, within Discord's limits whatever they are.
pub fn embed(title: &str, description: &str, footer: &str) -> Embed {
    let title = words(title, MAX_TITLE);
    let footer = cut(&clean(footer), MAX_FOOTER.min(MAX_EMBED - MAX_TITLE - MAX_DESCRIPTION));
    let room = MAX_EMBED - length(&title) - length(&footer);
    let description = cut(description.trim_end(), MAX_DESCRIPTION.min(room));
    let embed = EmbedBuilder::new().description(description).footer(EmbedFooterBuilder::new(footer));
    if title.is_empty() { embed.build() } else { embed.title(title).build() }
}

/// The text of a message, cut to what Discord takes.
pub fn content(text: &str) -> String {
    cut(text, MAX_CONTENT)
}

/// The beginning of a text; a code block that is cut is closed.
fn cut(text: &str, most: usize) -> String {
    const END: &str = "…\n```";
    if length(text) <= most {
        return text.to_owned();
    }
    let mut used = length(END);
    let kept: String = text
        .chars()
        .take_while(|c| {
            used += c.len_utf16();
            used <= most
        })
        .collect();
    let is_open = kept.matches("```").count() % 2 == 1;
    kept + if is_open { END } else { "…" }
}

/// `1 peer`, `2 peers`.
fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Lines as a text of at most `room`, between `head` and `tail`: as many as fit whole, and how many more there are.
fn fitting(head: &str, lines: &[String], tail: &str, room: usize) -> String {
    let more = |left: usize| match left {
        0 => String::new(),
        left => format!("… and {left} more\n"),
    };
    let mut text = head.to_owned();
    for (at, line) in lines.iter().enumerate() {
        let left = lines.len() - at;
        let used = length(&text) + length(line) + 1 + length(&more(left - 1)) + length(tail);
        if used > room {
            text.push_str(&more(left));
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    cut((text + tail).trim_end(), room)
}

/// The list of what may be downloaded.
pub fn torrents(config: &Config) -> String {
    if config.torrents.is_empty() {
        return "Nothing is allowed yet; `rawtorrent discord allow` adds a torrent.".into();
    }
    let line = |entry: &Entry| {
        format!(
            "**{}** · {} · {}",
            words(&entry.name, MAX_LINE),
            size(entry),
            words(&entry.licence, MAX_LINE)
        )
    };
    fitting("", &config.torrents.iter().map(line).collect::<Vec<_>>(), "", MAX_CONTENT)
}

/// How downloads are doing, a line each.
pub fn status(config: &Config, torrents: &[Torrent]) -> String {
    let lines: Vec<_> = torrents
        .iter()
        .filter_map(|torrent| {
            let entry = config.by_id(&torrent.id)?;
            let whole = torrent.wanted.unwrap_or(torrent.size);
            // Of nothing that is known no part can be told.
            let known = torrent.done.filter(|_| torrent.state != State::FetchingMetadata && whole > 0);
            let done = known.map_or("-".into(), |done| percent(done, whole));
            Some(format!(
                "**{}** · {} · {done} · ↓ {} · ↑ {} · {}",
                words(&entry.name, MAX_LINE),
                torrent.state.name().replace('_', " "),
                Rate(torrent.rate_down),
                Rate(torrent.rate_up),
                counted(torrent.peers, "peer"),
            ))
        })
        .collect();
    if lines.is_empty() {
        "Nothing is under way; /download begins something.".into()
    } else {
        fitting("", &lines, "", MAX_CONTENT)
    }
}

/// Who the peers are: never where. At most `room` long.
pub fn peers(peers: &[Peer], room: usize) -> String {
    let mut peers: Vec<_> = peers.iter().collect();
    if peers.is_empty() {
        return "There are no connections.".into();
    }
    peers.sort_by_key(|peer| (std::cmp::Reverse(peer.rate_down), peer.number));
    let line = |peer: &&Peer| {
        let client = code(peer.client.as_deref().unwrap_or("-"), 30);
        let (number, down, up) = (peer.number, Rate(peer.rate_down), Rate(peer.rate_up));
        format!("{number:<6} {down:<12} {up:<12} {:<7} {client}", peer.pieces)
    };
    let lines: Vec<_> = peers.iter().map(line).collect();
    fitting("```\npeer   down         up           pieces  client\n", &lines, "```", room)
}

/// What holds a torrent back.
pub fn why(why: &Why) -> String {
    if why.causes.is_empty() {
        return "Nothing is seen that holds it back.".into();
    }
    let line = |(number, cause): (usize, &api::Cause)| {
        let (says, advice) = (words(&cause.says, 300), words(&cause.advice, 300));
        format!("{}. **{says}**\n{advice}", number + 1)
    };
    fitting("", &why.causes.iter().enumerate().map(line).collect::<Vec<_>>(), "", MAX_CONTENT)
}

/// The buttons under a live message: what makes sense in that state, and may be done on anybody's word here.
pub fn buttons(id: &str, state: Option<State>, is_ours: bool) -> Vec<Button> {
    let does: &[Does] = match state {
        None => &[],
        // It has neither peers nor pieces to tell of.
        Some(State::Paused | State::Stopped | State::Failed) => &[Does::Resume, Does::Stop],
        Some(State::Seeding) => &[Does::Stop, Does::Detail],
        Some(_) => &[Does::Pause, Does::Stop, Does::Detail],
    };
    let may = |does: &&Does| is_ours || does.needs() == Role::Reader;
    does.iter().filter(may).map(|&does| Button { does, id: id.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::collections::BTreeSet;

    const HOSTILE: &str = "@everyone ```\n**<@1>** \u{202e}203.0.113.7 ";

    fn entry(name: &str) -> Entry {
        let (info_hash, licence) = ("ab".repeat(20), "CC BY 3.0".into());
        Entry { info_hash, name: name.into(), licence, size: Some(1 << 20), path: Some("x.torrent".into()) }
    }

    fn torrent() -> Torrent {
        Torrent {
            id: "ab".repeat(20),
            name: HOSTILE.into(),
            state: State::Downloading,
            error: None,
            note: None,
            dir: "/home/secret".into(),
            size: 1 << 20,
            wanted: Some(1 << 20),
            done: Some(1 << 18),
            rate_down: 1 << 16,
            rate_up: 0,
            downloaded: None,
            uploaded: None,
            peers: 4,
            seeds: 2,
            private: false,
            category: None,
            tags: BTreeSet::new(),
            place: 1,
            revision: 1,
        }
    }

    fn pieces(count: u32) -> Pieces {
        let have = "c".repeat(count.div_ceil(4) as usize);
        Pieces { count, length: 16384, have, begun: vec![2] }
    }

    fn size(embed: &Embed) -> usize {
        let text = |text: &Option<String>| text.as_deref().map_or(0, length);
        text(&embed.title) + text(&embed.description) + embed.footer.as_ref().map_or(0, |f| length(&f.text))
    }

    fn assert_fits(embed: &Embed) {
        assert!(length(embed.title.as_ref().unwrap()) <= MAX_TITLE);
        let description = embed.description.as_ref().unwrap();
        assert!(length(description) <= MAX_DESCRIPTION, "{}", length(description));
        assert!(length(&embed.footer.as_ref().unwrap().text) <= MAX_FOOTER && size(embed) <= MAX_EMBED);
        assert_eq!(description.matches("```").count() % 2, 0, "a block stays open: {description}");
    }

    #[test]
    fn of_what_is_not_known_yet_no_part_is_told() {
        let text = format!(
            "guilds = [1]\n[[torrent]]\ninfo_hash = '{}'\nname = 'x'\nlicence = 'y'",
            "ab".repeat(20)
        );
        let config = Config::parse(&text).unwrap();
        let nothing = Torrent { size: 0, wanted: None, done: Some(0), ..torrent() };
        let line = status(&config, &[Torrent { state: State::FetchingMetadata, ..nothing.clone() }]);
        assert!(line.starts_with("**x** · fetching metadata · - · "), "{line}");
        assert!(!status(&config, &[nothing]).contains('%'));
        assert!(status(&config, &[torrent()]).contains(" · 25.0% · "));
    }

    #[test]
    fn bars_are_full_only_at_the_end() {
        assert_eq!(bar(0, 100), format!("{} 0.0%", "░".repeat(20)));
        assert_eq!(bar(999, 1000), format!("{}░ 99.9%", "█".repeat(19)));
        assert_eq!(bar(5, 5), format!("{} 100.0%", "█".repeat(20)));
        assert_eq!(bar(0, 0), bar(7, 5), "nothing is whole, and more than all is all");
        bar(u64::MAX, u64::MAX);
    }

    #[test]
    fn maps_are_as_large_as_a_telephone_bears() {
        assert_eq!(map(&pieces(6)), "██◦·██");
        let large = map(&pieces(1_000_000));
        assert_eq!(large.chars().filter(|&c| c != '\n').count(), MAX_TEXT_CELLS);
        assert!(large.lines().all(|line| line.chars().count() == MAP_COLUMNS));
    }

    #[test]
    fn a_live_message_tells_how_it_is() {
        let (entry, torrent, pieces) = (entry("Big Buck Bunny"), torrent(), pieces(6));
        let lines = ["<- request: piece 1".to_owned()];
        let shown =
            Live { entry: &entry, torrent: Some(&torrent), pieces: Some(&pieces), lines: &lines, note: None };
        let embed = live(&shown);
        assert_fits(&embed);
        let expected = "`█████░░░░░░░░░░░░░░░ 25.0%`\n\
            **downloading** · 256.0 KiB of 1.0 MiB · ↓ 64.0 KiB/s · ↑ 0 B/s\n\
            4 peers, of which 2 seeds · 12s left\n\
            ```\n██◦·██\n```\n```\n<- request: piece 1\n```";
        assert_eq!(embed.description.unwrap(), expected);
        assert_eq!(embed.title.unwrap(), "Big Buck Bunny");
        assert_eq!(embed.footer.unwrap().text, format!("CC BY 3.0 · {}", entry.info_hash));
        let resting = Torrent { state: State::Paused, done: None, rate_down: 0, ..torrent.clone() };
        let shown = Live { torrent: Some(&resting), pieces: None, lines: &[], ..shown };
        let expected = "**paused** · ? of 1.0 MiB · ↓ 0 B/s · ↑ 0 B/s\n4 peers, of which 2 seeds";
        assert_eq!(
            live(&shown).description.unwrap(),
            expected,
            "what is not known is not said to be nothing"
        );
        let complete = Torrent { state: State::Seeding, done: Some(1 << 20), ..resting.clone() };
        let told = live(&Live { torrent: Some(&complete), ..shown }).description.unwrap();
        assert_eq!(
            told, "`████████████████████ 100.0%`\n**complete** · 1.0 MiB",
            "it is the last that is said"
        );
    }

    #[test]
    fn whatever_is_said_fits_and_is_inert() {
        let entry = entry(&HOSTILE.repeat(200));
        let torrent =
            Torrent { error: Some(format!("/home/secret/x y is bad {}", HOSTILE.repeat(500))), ..torrent() };
        let lines = vec![HOSTILE.repeat(100); MAX_LINES * 2];
        let pieces = pieces(100_000);
        let note = HOSTILE.repeat(100);
        let embed = live(&Live {
            entry: &entry,
            torrent: Some(&torrent),
            pieces: Some(&pieces),
            lines: &lines,
            note: Some(&note),
        });
        let of = |text: &Option<String>| text.as_deref().map_or(0, length);
        assert!((MAX_TITLE - 8..=MAX_TITLE).contains(&of(&embed.title)), "its title is cut");
        assert!(of(&embed.description) <= MAX_DESCRIPTION && size(&embed) <= MAX_EMBED);
        assert!(length(&embed.footer.as_ref().unwrap().text) <= MAX_FOOTER);
        assert_fits(&embed);
        let text = format!("{} {}", embed.title.unwrap(), embed.description.unwrap());
        assert!(!text.contains("203.0.113.7") && !text.contains("secret") && !text.contains('\u{202e}'));
        assert_eq!(text.matches("```").count(), 4, "two blocks: {text}");
        let said = text.lines().filter(|line| line.starts_with("@everyone")).collect::<Vec<_>>();
        assert_eq!(said.len(), MAX_LINES, "in a block, where it is no mention");
        assert!(said.iter().all(|line| length(line) <= MAX_LINE));
        let files: Vec<_> = (0..40).map(|_| (HOSTILE.repeat(50), "a".repeat(40), "b".repeat(64))).collect();
        let took = Some(Duration::from_secs(1));
        assert_fits(&summary(&Summary {
            entry: &entry,
            size: 1 << 20,
            there: 0,
            took,
            fastest: u64::MAX,
            files: &files,
            unread: 2,
            more: 3,
        }));
    }

    #[test]
    fn a_summary_tells_digests() {
        let entry = entry("a_b");
        let files = [("a_b/x.ogg".to_owned(), "a".repeat(40), "b".repeat(64))];
        let took = Some(Duration::from_secs(4));
        let whole = Summary {
            entry: &entry,
            size: 1 << 20,
            there: 0,
            took,
            fastest: 1 << 19,
            files: &files,
            unread: 0,
            more: 1,
        };
        let embed = summary(&whole);
        assert_fits(&embed);
        let expected = format!(
            "Every byte is here and verified: 1.0 MiB in 4s, 256.0 KiB/s on average, 512.0 KiB/s at best.\n\
             a\\_b\\/x\\.ogg\n```\nSHA-1   {}\nSHA-256 {}\n```and 1 more file",
            "a".repeat(40),
            "b".repeat(64)
        );
        assert_eq!(embed.description.unwrap(), expected);
        let first = |part: &Summary<'_>| {
            let text = summary(part).description.unwrap();
            text.lines()
                .next()
                .unwrap()
                .strip_prefix("Every byte is here and verified: 1.0 MiB")
                .unwrap()
                .to_owned()
        };
        let rest = Summary { there: 3 << 18, ..whole.clone() };
        let told = ", of which 256.0 KiB came in 4s, 64.0 KiB/s on average, 512.0 KiB/s at best.";
        assert_eq!(first(&rest), told);
        let unseen = Summary { fastest: 0, ..rest.clone() };
        assert!(first(&unseen).ends_with(" 64.0 KiB/s on average, 64.0 KiB/s at best."));
        assert_eq!(first(&Summary { there: 1 << 20, ..rest.clone() }), ".");
        assert_eq!(first(&Summary { took: None, ..rest }), ".");
        let last = |part: &Summary<'_>| {
            let text = summary(part).description.unwrap();
            text.lines().last().unwrap().to_owned()
        };
        let unread = Summary { files: &[], unread: 1, more: 0, ..whole.clone() };
        assert_eq!(last(&unread), "No digests of 1 file: the daemon did not give what is in them.");
        assert_eq!(last(&Summary { unread: 0, more: 1, ..unread }), "No digests of 1 other file.");
    }

    #[test]
    fn texts_are_no_longer_than_a_message() {
        assert_eq!(content(&"x".repeat(MAX_CONTENT)), "x".repeat(MAX_CONTENT));
        let long = content(&format!("```\n{}\n```", "🦀".repeat(MAX_CONTENT)));
        assert!(length(&long) <= MAX_CONTENT && long.ends_with("…\n```"));
        let peer = Peer {
            number: 1,
            addr: "203.0.113.7:6881".into(),
            outgoing: true,
            client: Some("`x`".into()),
            am_choking: true,
            am_interested: true,
            peer_choking: false,
            peer_interested: false,
            snubbed: false,
            requests: 0,
            window: 1,
            pieces: 9,
            rate_down: 1024,
            rate_up: 0,
            downloaded: 0,
            uploaded: 0,
        };
        let table = peers(&vec![peer; 100], MAX_CONTENT);
        assert!(length(&table) <= MAX_CONTENT && !table.contains("203.0.113.7") && table.contains("ˋxˋ"));
        // A line is cut nowhere, and the block ends.
        let rows = table.lines().filter(|line| line.ends_with("9       ˋxˋ")).count();
        assert!(table.ends_with(&format!("\n… and {} more\n```", 100 - rows)), "{table}");
        assert!(peers(&[], MAX_CONTENT).contains("no connections"));
        let cause = api::Cause {
            cause: "choked".into(),
            weight: 9,
            says: "all 3 peers choke us".into(),
            advice: "wait".into(),
            evidence: serde_json::Map::new(),
        };
        let told = why(&Why { id: String::new(), causes: vec![cause.clone()] });
        assert_eq!(told, "1. **all 3 peers choke us**\nwait");
        assert!(length(&why(&Why { id: String::new(), causes: vec![cause; 200] })) <= MAX_CONTENT);
    }

    #[test]
    fn lists_are_of_the_allow_list_only() {
        let mut config = Config::parse("guilds = [1]").unwrap();
        assert!(torrents(&config).contains("Nothing is allowed yet"));
        config.torrents = vec![entry("*_*_*_*_*_*_*_*"); 256];
        let long = torrents(&config);
        let rows = long.lines().filter(|line| line.ends_with("CC BY 3\\.0")).count();
        assert!(length(&long) <= MAX_CONTENT && rows > 20, "{long}");
        assert!(long.ends_with(&format!("\n… and {} more", 256 - rows)), "{long}");
        config.torrents = vec![entry("a_b")];
        assert_eq!(torrents(&config), "**a\\_b** · 1.0 MiB · CC BY 3\\.0");
        let other = Torrent { id: "cd".repeat(20), ..torrent() };
        assert_eq!(
            status(&config, &[other, torrent()]),
            "**a\\_b** · downloading · 25.0% · ↓ 64.0 KiB/s · ↑ 0 B/s · 4 peers"
        );
        assert!(status(&config, &[]).contains("Nothing is under way"));
        let alone = Torrent { peers: 1, seeds: 1, ..torrent() };
        assert!(status(&config, std::slice::from_ref(&alone)).ends_with(" · 1 peer"));
        let entry = entry("x");
        let shown = Live { entry: &entry, torrent: Some(&alone), pieces: None, lines: &[], note: None };
        assert!(live(&shown).description.unwrap().contains("1 peer, of which 1 seed · "));
    }

    #[test]
    fn buttons_fit_the_state() {
        let does = |state| buttons("x", state, true).iter().map(|button| button.does).collect::<Vec<_>>();
        assert_eq!(does(Some(State::Downloading)), [Does::Pause, Does::Stop, Does::Detail]);
        assert_eq!(does(Some(State::Paused)), [Does::Resume, Does::Stop]);
        assert_eq!(does(Some(State::Seeding)), [Does::Stop, Does::Detail]);
        assert_eq!(does(None), []);
        let of_its_owner =
            |state| buttons("x", Some(state), false).iter().map(|button| button.does).collect::<Vec<_>>();
        assert_eq!(of_its_owner(State::Downloading), [Does::Detail]);
        assert_eq!(of_its_owner(State::Paused), []);
    }
}
