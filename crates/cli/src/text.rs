//! Text that came from outside, made fit for a terminal.

use std::borrow::Cow;
use types::judged;

/// `text` with everything that could move the cursor, colour the screen, turn the line around, cover other lines or not be seen
/// at all as `\u{…}` ([`types::judged`]).
///
/// A torrent's names and comments are a stranger's words; JSON output needs no such care.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    #[cfg(feature = "planted")]
    if net::planted::is("raw-words") {
        return Cow::Borrowed(text);
    }
    if judged(text).all(|(_, is_fit)| is_fit) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (c, is_fit) in judged(text) {
        if is_fit { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    Cow::Owned(out)
}

/// Whatever an error says, on one line.
pub(crate) fn one_line(text: &str) -> String {
    printable(&text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; "))
        .into_owned()
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", printable(word).replace('\'', r"'\''")))
}

/// `1 file`, `2 files`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", crate::units::grouped(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_left_in_peace() {
        assert_eq!(printable("naïve 日本 🦀"), "naïve 日本 🦀");
        assert_eq!(printable("a\x1b[31mb\r\n"), "a\\u{1b}[31mb\\u{d}\\u{a}");
        assert_eq!(printable("x\u{202e}gpj.exe\u{9b}"), "x\\u{202e}gpj.exe\\u{9b}");
        assert_eq!(printable("a\u{61c}b\u{2028}"), "a\\u{61c}b\\u{2028}");
        assert_eq!(printable("a\u{200b}b\u{e0041}\u{3164}"), "a\\u{200b}b\\u{e0041}\\u{3164}");
        assert_eq!(printable(&format!("a{}", "\u{301}".repeat(5))), "a\u{301}\u{301}\u{301}\u{301}\\u{301}");
        assert_eq!(one_line("first\n  second\n\n\tthird\x07"), "first; second; third\\u{7}");
        assert_eq!((counted(1, "file"), counted(0, "file")), ("1 file".into(), "0 files".into()));
    }
}
