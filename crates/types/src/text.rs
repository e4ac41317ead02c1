//! What of a stranger's text can be seen: the one place that says so, for terminals, chats and logs.

/// Marks that may stand on one character. Languages need three or so; at the limit further ones are not fit to be shown, since
/// those above each other cover other lines.
pub const MAX_MARKS: usize = 4;

/// The characters of a text, each with whether it is fit to be shown: it can be seen ([`is_unseen`]), and no more than
/// [`MAX_MARKS`] stand on the one before.
pub fn judged(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut marks = 0;
    text.chars().map(move |c| {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        (c, marks <= MAX_MARKS && !is_unseen(c))
    })
}

/// Whether a character is not seen, but may change what is seen of others, move a cursor or hide a difference: controls, those
/// that turn the line around or end it, those of no width, fillers, tags.
pub fn is_unseen(c: char) -> bool {
    // It has the sign before it shown in colours, and is a mark.
    let is_emoji_selector = c == '\u{fe0f}';
    c.is_control()
        || is_ignorable(c) && !is_emoji_selector
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

/// Unicode's `Default_Ignorable_Code_Point`.
pub fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Marks that are drawn above or below the character before, of which there may be any number: Unicode's blocks of combining
/// marks, and those of the scripts that have most.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' | '\u{e31}' | '\u{e34}'..='\u{e3a}'
        | '\u{e47}'..='\u{e4e}' | '\u{eb4}'..='\u{ebc}' | '\u{ec8}'..='\u{ece}' | '\u{f71}'..='\u{f7e}'
        | '\u{f80}'..='\u{f84}' | '\u{f8d}'..='\u{fbc}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{302a}'..='\u{302d}' | '\u{3099}' | '\u{309a}' | '\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn what_is_not_seen_is_known() {
        let unseen = [
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{ad}'..='\u{ad}',
            '\u{61c}'..='\u{61c}',
            '\u{115f}'..='\u{1160}',
            '\u{180e}'..='\u{180e}',
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2060}'..='\u{2064}',
            '\u{2066}'..='\u{2069}',
            '\u{3164}'..='\u{3164}',
            '\u{fe00}'..='\u{fe0e}',
            '\u{feff}'..='\u{feff}',
            '\u{ffa0}'..='\u{ffa0}',
            '\u{fff9}'..='\u{fffb}',
            '\u{e0000}'..='\u{e01ef}',
        ];
        let shown: String = unseen.into_iter().flatten().filter(|&c| !is_unseen(c)).collect();
        assert_eq!(shown, "");
        let text = "naïve 日本 ไทย हिन्दी 한국어 \u{fffd} ❤\u{fe0f} 🦀";
        assert!(judged(text).all(|(_, is_fit)| is_fit), "{text}");
    }

    #[test]
    fn so_many_marks_stand_on_a_character() {
        let heap = |marks: usize| {
            let text: String =
                core::iter::once('a').chain((0..marks).map(|_| '\u{301}')).chain(['b']).collect();
            judged(&text).filter(|&(_, is_fit)| !is_fit).count()
        };
        assert_eq!((heap(MAX_MARKS), heap(MAX_MARKS + 1), heap(1000)), (0, 1, 1000 - MAX_MARKS));
    }
}
