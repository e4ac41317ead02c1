//! `show`: what is in a torrent.

use crate::args::Show;
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure};
use crate::listing::{self, Listed};
use crate::paint::{Look, Paint};
use crate::source::Source;
use crate::text::{counted, printable};
use crate::units::{Size, date, grouped};
use crate::{interrupt, runtime, transfer};
use metainfo::Metainfo;
use serde::Serialize;
use std::fmt::{self, Display};

pub(crate) fn run(args: &Show, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let torrent = runtime()?.block_on(Source::new(&args.torrent).load(transfer::fetch_alone))?;
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
            comment: torrent.comment(),
            created_by: torrent.created_by(),
            creation_date: torrent.creation_date(),
        }
    }
}

/// The same for people: labels in a column, then the numbered files.
struct Text<'a> {
    shown: &'a Shown<'a>,
    files: &'a [Listed],
    paint: Paint,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shown;
        self.line(f, "name", self.paint.paint(Look::Bold, printable(shown.name)))?;
        self.lines(
            f,
            "info hash",
            [("v1", &shown.info_hash_v1), ("v2", &shown.info_hash_v2)]
                .iter()
                .filter_map(|(version, hash)| hash.as_ref().map(|hash| format!("{hash} ({version})"))),
        )?;
        self.line(
            f,
            "size",
            format_args!("{} ({} bytes)", Size(shown.total_size), grouped(shown.total_size)),
        )?;
        let pieces = counted(shown.pieces.into(), "piece");
        self.line(f, "pieces", format_args!("{pieces} of {}", Size(shown.piece_length.into())))?;
        if shown.private {
            self.line(f, "private", "yes, peers come from its trackers only")?;
        }
        self.lines(f, "trackers", shown.trackers.iter().map(|tier| tier.join("  ")))?;
        self.lines(f, "web seeds", shown.web_seeds.iter().cloned())?;
        self.lines(f, "comment", shown.comment.into_iter().flat_map(str::lines).map(str::to_owned))?;
        self.lines(f, "created by", shown.created_by.into_iter().map(str::to_owned))?;
        self.lines(f, "created on", shown.creation_date.into_iter().map(date))?;
        writeln!(f, "{}", self.paint.paint(Look::Dim, counted(self.files.len() as u64, "file")))?;
        f.write_str(&file_table(self.files, self.paint))
    }
}

impl Text<'_> {
    fn line(&self, f: &mut fmt::Formatter<'_>, label: &str, value: impl Display) -> fmt::Result {
        writeln!(f, "{:<11} {value}", self.paint.paint(Look::Dim, label))
    }

    /// One label for several values; nothing where there are none.
    fn lines(
        &self,
        f: &mut fmt::Formatter<'_>,
        label: &str,
        values: impl IntoIterator<Item = String>,
    ) -> fmt::Result {
        let labels = std::iter::once(label).chain(std::iter::repeat(""));
        labels.zip(values).try_for_each(|(label, value)| self.line(f, label, printable(&value)))
    }
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
