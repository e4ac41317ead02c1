//! A stranger's words as nothing but words: no mention, no markdown, no link, no address, nothing that is not seen.

/// What stands for a character that is not shown.
const HIDDEN: char = '\u{fffd}';

/// Characters as Discord counts them, at most: UTF-16 units.
pub fn length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The text with nothing in it that is not seen: control characters, those that turn the line around, those of no width. Line
/// breaks and tabs become spaces. IP addresses and paths of the daemon's machine are taken out, spaces in them or not.
pub fn clean(text: &str) -> String {
    let mut clean = seen(text);
    trace::scrub(&mut clean);
    pathless(&clean)
}

/// The text with nothing in it that is not seen, and all else.
pub(crate) fn seen(text: &str) -> String {
    let seen = |(c, is_fit)| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_fit => c,
        _ => HIDDEN,
    };
    types::judged(text).map(seen).collect()
}

/// In place of a torrent's folder, in texts of which that is known: what follows has no spaces but those of files' names.
pub(crate) const FOLDER: &str = "/…/…";

/// Where a path ends: at a space if it has none, else at a sign after which a sentence goes on.
const ENDS: [&str; 5] = [" ", ": ", "; ", ", ", ") "];

/// A text without paths that begin at the root. A path in quotes ends with them; where another one ends nobody knows if it
/// has spaces: it is taken to reach to a sign after which a sentence goes on.
fn pathless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, end)) = first_path(rest) {
        out.push_str(&rest[..start]);
        out.push_str("(path)");
        rest = &rest[end..];
    }
    out + rest
}

/// Where the first path begins and ends: it has two slashes, one of them as its first sign.
fn first_path(text: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    text.split(' ').find_map(|word| {
        let start = at + word.len() - word.trim_start_matches(['\'', '"', '(']).len();
        at += word.len() + 1;
        let path = &text[start..];
        let quote = text[..start].chars().next_back().filter(|quote| matches!(quote, '\'' | '"'));
        let end = match quote {
            Some(quote) => path.find(quote),
            None => {
                let ends = if path.starts_with(FOLDER) { &ENDS[..] } else { &ENDS[1..] };
                ends.iter().filter_map(|end| path.find(end)).min()
            }
        };
        let end = end.unwrap_or(path.len());
        let is_path = path.starts_with('/') && path[..end].matches('/').count() > 1;
        is_path.then_some((start, start + end))
    })
}

/// The text for a message, at most `most` long: every sign that could begin markdown, a mention or a link loses that meaning.
pub fn words(text: &str, most: usize) -> String {
    #[cfg(feature = "planted")]
    if crate::planted::is("raw-words") {
        return text.chars().take(most).collect();
    }
    put_together(&clean(text), most, &|c, out| {
        if c.is_ascii_punctuation() && !matches!(c, ',' | ';' | '\'' | '"' | '%') {
            out.push('\\');
        }
        out.push(c);
    })
}

/// The text for the inside of a code block, at most `most` long: nothing in it ends the block.
pub fn code(text: &str, most: usize) -> String {
    put_together(&clean(text), most, &|c, out| out.push(if c == '`' { 'ˋ' } else { c }))
}

/// Sign by sign, so that what is cut is cut between two of them.
fn put_together(text: &str, most: usize, put: &dyn Fn(char, &mut String)) -> String {
    let mut told = String::new();
    let mut used = 0;
    let mut last = 0;
    let mut sign = String::new();
    for c in text.chars() {
        sign.clear();
        put(c, &mut sign);
        used += length(&sign);
        if used > most {
            told.truncate(last);
            if most > 0 {
                told.push('…');
            }
            return told;
        }
        told.push_str(&sign);
        // One less than may be: room for the ellipsis.
        if used < most {
            last = told.len();
        }
    }
    told
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_nothing_but_words() {
        for (text, told) in [
            ("Big Buck Bunny", "Big Buck Bunny"),
            ("naïve 日本 🦀", "naïve 日本 🦀"),
            ("@everyone <@123> <#4> </stop:5>", r"\@everyone \<\@123\> \<\#4\> \<\/stop\:5\>"),
            ("**b** _i_ ~~s~~ ||x|| `c` > q # h", r"\*\*b\*\* \_i\_ \~\~s\~\~ \|\|x\|\| \`c\` \> q \# h"),
            ("[a](https://x.example)", r"\[a\]\(https\:\/\/x\.example\)"),
            ("a\nb\u{202e}c\u{200b}d\u{7}", "a b�c�d�"),
            ("at 203.0.113.7:6881", r"at \(address\)"),
            ("'/home/me/a.iso' exists, and/or x", r"'\(path\)' exists, and\/or x"),
            ("no permission for /my films/a b; change it", r"no permission for \(path\); change it"),
            ("cannot open '/my films/a b' (2): /x y/z", r"cannot open '\(path\)' \(2\)\: \(path\)"),
            ("/…/…/a b is gone; put it back", r"\(path\) b is gone; put it back"),
            ("cannot write /…/…/a.iso; free some space", r"cannot write \(path\); free some space"),
            ("/stop it, or ask /help", r"\/stop it, or ask \/help"),
        ] {
            assert_eq!(words(text, 200), told);
        }
    }

    #[test]
    fn code_stays_inside() {
        assert_eq!(code("```\n@here", 100), "ˋˋˋ @here");
    }

    #[test]
    fn long_texts_are_cut_between_signs() {
        assert_eq!(words("****", 8), r"\*\*\*\*");
        assert_eq!(words("****", 7), r"\*\*\*…");
        assert_eq!(words("****", 6), r"\*\*…");
        assert_eq!(words("abc", 2), "a…");
        assert_eq!(words("abc", 0), "");
        assert_eq!(code("🦀🦀", 3), "🦀…", "a crab counts as two");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_it_may_be(text in "\\PC{0,60}", most in 0usize..80) {
            let told = words(&text, most);
            prop_assert!(length(&told) <= most);
            prop_assert!(length(&code(&text, most)) <= most);
            prop_assert!(!code(&text, most).contains('`'));
            let mut signs = told.chars();
            while let Some(c) = signs.next() {
                match c {
                    '\\' => prop_assert!(signs.next().unwrap().is_ascii_punctuation()),
                    c => prop_assert!(!"@<>*_~|`#[]()/:.-!".contains(c), "{}", told),
                }
            }
        }
    }
}
