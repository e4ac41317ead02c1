//! Text and bytes in and out of URLs, and text that a stranger wrote.

use crate::limits::MAX_TEXT_CHARS;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use types::judged;

/// Appends `bytes` so that they stand for themselves in a query: all but RFC 3986's unreserved characters as `%XX`.
pub(crate) fn percent_encode(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            percent_byte(byte, out);
        }
    }
}

/// Appends one byte as `%XX`.
pub(crate) fn percent_byte(byte: u8, out: &mut String) {
    write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
}

/// Undoes percent-encoding; a `%` that is not followed by two hex digits stands for itself.
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        let (byte, used) = escaped.map_or((*first, 1), |(high, low)| (high << 4 | low, 3));
        out.push(byte);
        rest = &rest[used..];
    }
    out
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Makes a stranger's text fit for one line of a terminal: valid UTF-8, nothing that is not seen, short.
pub(crate) fn one_line(bytes: &[u8]) -> String {
    // Four bytes are the most a character takes; what lies beyond would be cut anyway.
    let head = &bytes[..bytes.len().min(4 * (MAX_TEXT_CHARS + 1))];
    let text = String::from_utf8_lossy(head);
    let mut line = String::new();
    let mut taken = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        for (at, (c, _)) in judged(word).filter(|&(_, is_fit)| is_fit).enumerate() {
            if taken >= MAX_TEXT_CHARS {
                line.push('…');
                return line;
            }
            if at == 0 && !line.is_empty() {
                line.push(' ');
                taken += 1;
            }
            line.push(c);
            taken += 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn strangers_text_becomes_one_line() {
        assert_eq!(one_line(b"  bad\r\n\tthing\x1b[31m \0 "), "bad thing [31m");
        assert_eq!(one_line("a\u{202e}b\u{61c}c\u{feff}d".as_bytes()), "abcd");
        assert_eq!(one_line(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        assert_eq!(one_line(b""), "");
    }

    #[test]
    fn strangers_text_is_cut() {
        let long = "é".repeat(100_000);
        let line = one_line(long.as_bytes());
        assert_eq!(line.chars().count(), MAX_TEXT_CHARS + 1);
        assert!(line.ends_with('…'));
        let exact = "x".repeat(MAX_TEXT_CHARS);
        assert_eq!(one_line(exact.as_bytes()), exact);
    }

    #[test]
    fn encoding_is_exact() {
        let mut out = String::new();
        percent_encode(b"\x12\x00\xffaZ9-._~ +&=/%", &mut out);
        assert_eq!(out, "%12%00%FFaZ9-._~%20%2B%26%3D%2F%25");
        assert_eq!(percent_decode("%zz%4"), b"%zz%4");
        assert_eq!(percent_decode("a%2fb%2Fc"), b"a/b/c");
    }

    proptest! {
        #[test]
        fn encoding_goes_both_ways(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut out = String::new();
            percent_encode(&bytes, &mut out);
            prop_assert_eq!(percent_decode(&out), bytes);
        }

        #[test]
        fn one_line_is_short_and_clean(text in any::<String>()) {
            let line = one_line(text.as_bytes());
            prop_assert!(line.chars().count() <= MAX_TEXT_CHARS + 2);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert_eq!(line.trim().to_string(), line);
        }
    }
}
