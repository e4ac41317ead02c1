//! `verify`: which pieces and files on disk are good.

use crate::args::Verify;
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::paint::{Look, Paint};
use crate::progress::Hashing;
use crate::source::Source;
use crate::text::{counted, printable};
use crate::units::{Size, grouped};
use crate::{interrupt, runtime, transfer};
use engine::verify::{FileState, Report, verify};
use metainfo::Metainfo;
use serde::Serialize;
use std::fmt::Write;

pub(crate) fn run(args: &Verify, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let runtime = runtime()?;
    let torrent = runtime.block_on(Source::new(&args.torrent).load(transfer::fetch_alone))?;
    let lengths = torrent.lengths();
    let hashing = Hashing::new(console, &format!("checking {}", torrent.name()));
    let progress =
        |pieces| hashing.at(u64::from(pieces) * u64::from(lengths.piece_length()), lengths.total());
    let report = runtime
        .block_on(verify(torrent.clone(), &args.data, progress))
        .map_err(|error| transfer::engine_failure(&error).of(&torrent.info_hash().to_string()))?;
    drop(hashing);
    let found = Found::new(&torrent, &report);
    // Of a folder that cannot be looked into, there is one thing to say, not one for each file.
    let folder = std::fs::metadata(args.data.join("."))
        .or_fail(kind::STORAGE, format_args!("cannot read {}", args.data.display()));
    if args.json {
        console.print(json_line(&found))?;
        if let Err(failure) = folder {
            console.error(&failure);
        }
    } else {
        folder?;
        console.print(found.to_text(Paint::of_stdout()))?;
    }
    Ok(if found.is_all_good() { Exit::Done } else { Exit::Failed })
}

/// What `verify --json` prints. Pad files and symlinks are left out.
#[derive(Debug, Serialize)]
struct Found {
    info_hash: String,
    pieces: u32,
    /// Their numbers, counted from 0.
    bad_pieces: Vec<u32>,
    files: Vec<FoundFile>,
}

#[derive(Debug, Serialize)]
struct FoundFile {
    path: String,
    size: u64,
    good: bool,
    /// What is wrong; null if nothing is.
    problem: Option<String>,
}

impl Found {
    fn new(torrent: &Metainfo, report: &Report) -> Found {
        let files = torrent.files().iter().zip(&report.files).filter(|(file, _)| file.is_regular());
        let files = files.map(|(file, report)| {
            let problem = problem(report);
            FoundFile { path: file.path.to_string(), size: file.length, good: problem.is_none(), problem }
        });
        Found {
            info_hash: torrent.info_hash().to_string(),
            pieces: report.pieces,
            bad_pieces: report.bad_pieces.clone(),
            files: files.collect(),
        }
    }

    fn is_all_good(&self) -> bool {
        self.bad_pieces.is_empty() && self.files.iter().all(|file| file.good)
    }

    fn to_text(&self, paint: Paint) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for file in &self.files {
            let path = printable(&file.path);
            let _ = match &file.problem {
                None => {
                    writeln!(text, "{}  {:>10}  {path}", paint.paint(Look::Green, "good"), Size(file.size))
                }
                Some(problem) => {
                    let problem = printable(problem);
                    let bad = paint.paint(Look::Red, " bad");
                    writeln!(text, "{bad}  {:>10}  {path}: {problem}", Size(file.size))
                }
            };
        }
        if !self.bad_pieces.is_empty() {
            let _ = writeln!(text, "bad pieces: {}", ranges(&self.bad_pieces));
        }
        let good_files = self.files.iter().filter(|file| file.good).count();
        let all = u64::from(self.pieces);
        let (good, all) = (grouped(all - self.bad_pieces.len() as u64), grouped(all));
        let _ =
            writeln!(text, "{good} of {all} pieces and {good_files} of {} files are good", self.files.len());
        text
    }
}

fn problem(state: &FileState) -> Option<String> {
    Some(match state {
        FileState::Good => return None,
        FileState::Missing => "it is missing".into(),
        FileState::WrongSize { found } => format!("it has {}", counted(*found, "byte")),
        FileState::BadPieces { bad, of } => format!("{bad} of its {of} pieces are bad"),
        FileState::Unreadable { reason } => reason.clone(),
    })
}

/// `3, 7-9`, for numbers in order.
fn ranges(numbers: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let shown = runs.iter().map(|&(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[3]), "3");
        assert_eq!(ranges(&[0, 1, 3, 7, 8, 9]), "0-1, 3, 7-9");
    }

    #[test]
    fn what_was_found_for_people_and_programs() {
        let file = |path: &str, problem: Option<&str>| FoundFile {
            path: path.into(),
            size: 2048,
            good: problem.is_none(),
            problem: problem.map(Into::into),
        };
        let found = Found {
            info_hash: "ab".into(),
            pieces: 3,
            bad_pieces: vec![1],
            files: vec![file("t/a", None), file("t/b", Some("it is missing"))],
        };
        assert!(!found.is_all_good());
        assert_eq!(
            found.to_text(Paint::plain()),
            "good     2.0 KiB  t/a\n bad     2.0 KiB  t/b: it is missing\nbad pieces: 1\n\
             2 of 3 pieces and 1 of 2 files are good\n"
        );
        assert!(
            json_line(&found).contains("{\"path\":\"t/a\",\"size\":2048,\"good\":true,\"problem\":null}")
        );
    }
}
