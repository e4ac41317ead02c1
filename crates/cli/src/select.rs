//! Which files of a torrent are wanted: `--select 0,3-5` or `--select '*.iso'`.

use globset::{Glob, GlobMatcher};
use std::ops::RangeInclusive;

/// One `--select`: numbers of files, counted from 0 as listed, or a glob.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    Numbers(Vec<RangeInclusive<usize>>),
    Glob(GlobMatcher),
}

impl Selection {
    /// Text made of digits, commas and hyphens is numbers, everything else a glob.
    pub(crate) fn parse(text: &str) -> Result<Selection, String> {
        if text.trim().is_empty() {
            return Err("nothing is selected; write 0,3-5 or a glob such as '*.iso'".into());
        }
        if text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-' | ' ')) {
            return text.split(',').map(parse_range).collect::<Result<_, _>>().map(Selection::Numbers);
        }
        let glob = Glob::new(text).map_err(|error| format!("'{text}' is not a glob: {}", error.kind()))?;
        Ok(Selection::Glob(glob.compile_matcher()))
    }

    /// Marks what is selected among `paths`; an error if that is nothing, or a number is not there.
    fn mark(&self, paths: &[&str], wanted: &mut [bool], see: &str) -> Result<(), String> {
        match self {
            Selection::Numbers(ranges) => {
                for range in ranges {
                    let found = wanted
                        .get_mut(range.clone())
                        .ok_or_else(|| no_such_file(*range.end(), paths.len(), see))?;
                    found.fill(true);
                }
            }
            Selection::Glob(glob) => {
                let mut found = false;
                for (path, wanted) in paths.iter().zip(wanted) {
                    if matches(glob, path) {
                        *wanted = true;
                        found = true;
                    }
                }
                if !found {
                    return Err(format!("no file matches '{}'; see {see}", glob.glob()));
                }
            }
        }
        Ok(())
    }
}

/// For each of `paths` whether some selection wants it; no selection at all wants every file. `see`: what shows their numbers.
pub(crate) fn wanted(selections: &[Selection], paths: &[&str], see: &str) -> Result<Vec<bool>, String> {
    let mut wanted = vec![selections.is_empty(); paths.len()];
    for selection in selections {
        selection.mark(paths, &mut wanted, see)?;
    }
    Ok(wanted)
}

/// Whether a glob means this file, by its whole path, its path in the torrent's folder, or its name.
fn matches(glob: &GlobMatcher, path: &str) -> bool {
    let inside = path.split_once('/').map(|(_, inside)| inside);
    let name = path.rsplit_once('/').map(|(_, name)| name);
    [Some(path), inside, name].into_iter().flatten().any(|path| glob.is_match(path))
}

fn parse_range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let wrong = || format!("'{}' is not a file number or a range such as 3-5", text.trim());
    let number = |digits: &str| digits.trim().parse::<usize>().map_err(|_| wrong());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    // A range ends where it could still be counted, so that `first..=last` never overflows.
    if first > last || last == usize::MAX { Err(wrong()) } else { Ok(first..=last) }
}

fn no_such_file(number: usize, count: usize, see: &str) -> String {
    match count {
        0 => "the torrent has no files to select".into(),
        1 => format!("there is no file {number}: the torrent has only file 0"),
        _ => format!("there is no file {number}: the torrent has files 0 to {}; see {see}", count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATHS: [&str; 5] = ["t/a.iso", "t/a.txt", "t/sub/b.iso", "t/sub/c", "t/[x].bin"];

    fn select(texts: &[&str]) -> Result<Vec<usize>, String> {
        let selections = texts.iter().map(|text| Selection::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let wanted = wanted(&selections, &PATHS, "--list")?;
        Ok((0..wanted.len()).filter(|&at| wanted[at]).collect())
    }

    #[test]
    fn numbers_and_globs() {
        for (texts, expected) in [
            (&[][..], &[0, 1, 2, 3, 4][..]),
            (&["0"], &[0]),
            (&["0, 3-4"], &[0, 3, 4]),
            (&["4", "0-1"], &[0, 1, 4]),
            (&["*.iso"], &[0, 2]),
            (&["sub/*"], &[2, 3]),
            (&["t/sub/*"], &[2, 3]),
            (&["c"], &[3]),
            (&["*.{txt,bin}"], &[1, 4]),
            (&["[[]x].bin"], &[4]),
            (&["0", "*.txt"], &[0, 1]),
        ] {
            assert_eq!(select(texts).unwrap(), expected, "{texts:?}");
        }
    }

    #[test]
    fn what_selects_nothing_is_said() {
        for (text, part) in [
            ("", "nothing is selected"),
            ("5", "files 0 to 4"),
            ("2-9", "no file 9"),
            ("5-3", "'5-3'"),
            ("1,,2", "''"),
            ("-", "'-'"),
            ("1-2-3", "'1-2-3'"),
            ("18446744073709551615", "is not a file number"),
            ("99999999999999999999999", "is not a file number"),
            ("*.mkv", "no file matches '*.mkv'"),
            ("[", "is not a glob"),
        ] {
            let error = select(&[text]).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(wanted(&[Selection::parse("0").unwrap()], &[], "--list").unwrap_err().contains("no files"));
    }

    proptest! {
        #[test]
        fn a_list_of_numbers_wants_exactly_those(numbers in proptest::collection::vec(0usize..5, 1..8)) {
            let text = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let expected: std::collections::BTreeSet<_> = numbers.into_iter().collect();
            prop_assert!(select(&[&text]).unwrap().into_iter().eq(expected));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}") {
            let _ = select(&[&text]);
        }
    }
}
