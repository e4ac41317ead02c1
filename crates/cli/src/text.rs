//! Text that came from outside, made fit for a terminal.

use std::borrow::Cow;

/// `text` with everything that could move the cursor, colour the screen or turn the line around as `\u{…}`.
///
/// A torrent's names and comments are a stranger's words; JSON output needs no such care.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    #[cfg(feature = "planted")]
    if net::planted::is("raw-words") {
        return Cow::Borrowed(text);
    }
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
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

/// Control characters, and the invisible ones that reorder (bidi) or separate lines.
fn is_unsafe(c: char) -> bool {
    c.is_control() || types::turns_text(c) || matches!(c, '\u{2028}' | '\u{2029}')
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
        assert_eq!(one_line("first\n  second\n\n\tthird\x07"), "first; second; third\\u{7}");
        assert_eq!((counted(1, "file"), counted(0, "file")), ("1 file".into(), "0 files".into()));
    }
}
