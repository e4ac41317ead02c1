//! Characters that change what is seen of others.

/// Whether a character is not seen but changes the direction in which those around it are shown (Unicode's `Bidi_Control`):
/// with one, a name looks like another one.
pub fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_are_known() {
        let all: alloc::string::String = (char::MIN..=char::MAX).filter(|&c| turns_text(c)).collect();
        let known =
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        assert_eq!(all, known);
    }
}
