//! `show`: what is in a torrent, or what a magnet link says.

use crate::args::Show;
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure};
use crate::listing::{self, Listed};
use crate::paint::{Look, Paint};
use crate::source::Source;
use crate::text::{counted, printable};
use crate::units::{Size, date, grouped};
use crate::{interrupt, runtime, transfer};
use metainfo::{Magnet, Metainfo};
use serde::Serialize;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;

pub(crate) fn run(args: &Show, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let source = Source::new(&args.torrent);
    if let Some(magnet) = source.magnet()? {
        console.print(magnet_shown(&magnet, args.json))?;
        return Ok(Exit::Done);
    }
    let torrent = runtime()?.block_on(source.load(transfer::fetch_alone))?;
    let files = listing::list(&torrent);
    let shown = Shown::new(&torrent, &files);
    if args.json {
        console.print(json_line(&shown))?;
    } else {
        console.print(Text { shown: &shown, files: &files, paint: Paint::of_stdout() }.to_string())?;
    }
    Ok(Exit::Done)
}

/// What `show --json` prints: the keys are a contract, an absent value is null, an empty list is a list.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'a> {
    name: &'a str,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    /// `v1`, `v2` or `hybrid`.
    version: String,
    /// Bytes of all files; pad files and the gaps between a v2 torrent's files do not count.
    total_size: u64,
    piece_length: u32,
    pieces: u32,
    files: Vec<ShownFile<'a>>,
    private: bool,
    trackers: &'a [Vec<String>],
    web_seeds: &'a [String],
    /// `host:port`.
    dht_nodes: Vec<String>,
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    /// Unix seconds.
    creation_date: Option<i64>,
}

#[derive(Debug, Serialize)]
struct ShownFile<'a> {
    path: &'a str,
    size: u64,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(torrent: &'a Metainfo, files: &'a [Listed]) -> Shown<'a> {
        let info_hash = torrent.info_hash();
        Shown {
            name: torrent.name(),
            info_hash_v1: info_hash.v1().map(|hash| hash.to_string()),
            info_hash_v2: info_hash.v2().map(|hash| hash.to_string()),
            version: torrent.version().to_string(),
            total_size: torrent.payload_len(),
            piece_length: torrent.lengths().piece_length(),
            pieces: torrent.lengths().piece_count(),
            files: files.iter().map(|file| ShownFile { path: &file.path, size: file.size }).collect(),
            private: torrent.is_private(),
            trackers: torrent.trackers(),
            web_seeds: torrent.web_seeds(),
            dht_nodes: torrent.dht_nodes().iter().map(node).collect(),
            comment: torrent.comment(),
            created_by: torrent.created_by(),
            creation_date: torrent.creation_date(),
        }
    }
}

/// `host:port`, with IPv6 addresses in brackets.
fn node((host, port): &(String, u16)) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The same for people: labels in a column, then the numbered files.
struct Text<'a> {
    shown: &'a Shown<'a>,
    files: &'a [Listed],
    paint: Paint,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Text { shown, paint, .. } = *self;
        line(f, paint, "name", paint.paint(Look::Bold, printable(shown.name)))?;
        lines(f, paint, "info hash", hashes(&shown.info_hash_v1, &shown.info_hash_v2))?;
        let size = format!("{} ({} bytes)", Size(shown.total_size), grouped(shown.total_size));
        line(f, paint, "size", size)?;
        let pieces = counted(shown.pieces.into(), "piece");
        line(f, paint, "pieces", format!("{pieces} of {}", Size(shown.piece_length.into())))?;
        if shown.private {
            line(f, paint, "private", "yes, peers come from its trackers only")?;
        }
        lines(f, paint, "trackers", shown.trackers.iter().map(|tier| tier.join("  ")))?;
        lines(f, paint, "web seeds", shown.web_seeds.iter().cloned())?;
        lines(f, paint, "dht nodes", shown.dht_nodes.iter().cloned())?;
        lines(f, paint, "comment", shown.comment.into_iter().flat_map(str::lines).map(str::to_owned))?;
        lines(f, paint, "created by", shown.created_by.into_iter().map(str::to_owned))?;
        lines(f, paint, "created on", shown.creation_date.into_iter().map(date))?;
        writeln!(f, "{}", self.paint.paint(Look::Dim, counted(self.files.len() as u64, "file")))?;
        f.write_str(&file_table(self.files, self.paint))
    }
}

/// What a magnet link says; what it does not tell is null.
#[derive(Debug, Serialize)]
struct ShownMagnet<'a> {
    name: Option<&'a str>,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    /// Unknown, as all of the next: a link tells no more than a name and where to ask.
    version: (),
    total_size: (),
    piece_length: (),
    pieces: (),
    files: (),
    private: (),
    /// As tiers, one tracker each.
    trackers: Vec<[&'a str; 1]>,
    web_seeds: &'a [String],
    /// `host:port`, as are the DHT nodes.
    peers: Vec<String>,
    dht_nodes: Vec<String>,
    /// The files that it wants (BEP 53), such as `0,3-5`; null: all; empty: none.
    select_only: Option<String>,
}

fn magnet_shown(magnet: &Magnet, json: bool) -> String {
    let text = |range: &RangeInclusive<u32>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let select_only =
        magnet.select_only.as_ref().map(|ranges| ranges.iter().map(text).collect::<Vec<_>>().join(","));
    let shown = ShownMagnet {
        name: magnet.name.as_deref(),
        info_hash_v1: magnet.info_hash.v1().map(|hash| hash.to_string()),
        info_hash_v2: magnet.info_hash.v2().map(|hash| hash.to_string()),
        version: (),
        total_size: (),
        piece_length: (),
        pieces: (),
        files: (),
        private: (),
        trackers: magnet.trackers.iter().map(|tracker| [tracker.as_str()]).collect(),
        web_seeds: &magnet.web_seeds,
        peers: magnet.peers.iter().map(ToString::to_string).collect(),
        dht_nodes: magnet.dht_nodes.iter().map(ToString::to_string).collect(),
        select_only,
    };
    if json { json_line(&shown) } else { MagnetText { shown: &shown, paint: Paint::of_stdout() }.to_string() }
}

/// The same for people.
struct MagnetText<'a> {
    shown: &'a ShownMagnet<'a>,
    paint: Paint,
}

impl Display for MagnetText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MagnetText { shown, paint } = *self;
        line(f, paint, "name", paint.paint(Look::Bold, printable(shown.name.unwrap_or("unknown"))))?;
        lines(f, paint, "info hash", hashes(&shown.info_hash_v1, &shown.info_hash_v2))?;
        lines(f, paint, "trackers", shown.trackers.iter().map(|tier| tier.concat()))?;
        lines(f, paint, "web seeds", shown.web_seeds.iter().cloned())?;
        lines(f, paint, "peers", shown.peers.iter().cloned())?;
        lines(f, paint, "dht nodes", shown.dht_nodes.iter().cloned())?;
        lines(
            f,
            paint,
            "files",
            shown.select_only.iter().map(|files| match &**files {
                "" => "none".to_owned(),
                files => files.to_owned(),
            }),
        )
    }
}

fn hashes<'a>(v1: &'a Option<String>, v2: &'a Option<String>) -> impl Iterator<Item = String> + 'a {
    let versions = [("v1", v1), ("v2", v2)].into_iter();
    versions.filter_map(|(version, hash)| hash.as_ref().map(|hash| format!("{hash} ({version})")))
}

fn line(f: &mut fmt::Formatter<'_>, paint: Paint, label: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "{:<11} {value}", paint.paint(Look::Dim, label))
}

/// One label for several values; nothing where there are none.
fn lines(
    f: &mut fmt::Formatter<'_>,
    paint: Paint,
    label: &str,
    values: impl IntoIterator<Item = String>,
) -> fmt::Result {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(values).try_for_each(|(label, value)| line(f, paint, label, printable(&value)))
}

/// Number, size and path of each file, as `--list` prints them and `--select` counts them.
pub(crate) fn file_table(files: &[Listed], paint: Paint) -> String {
    let width = files.len().saturating_sub(1).to_string().len().max(4);
    let mut table = String::new();
    for (number, file) in files.iter().enumerate() {
        let number = paint.paint(Look::Dim, format!("{number:>width$}"));
        let size = Size(file.size);
        table += &match &file.target {
            None => format!("{number}  {size:>10}  {}\n", printable(&file.path)),
            Some(target) => {
                format!("{number}  {:>10}  {} -> {}\n", "symlink", printable(&file.path), printable(target))
            }
        };
    }
    table
}
