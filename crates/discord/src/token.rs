//! The bot's token: a secret that is never printed.

use std::fmt;
use std::io::Read;
use std::path::Path;

/// Bytes of a token file that are read; a token has some 72. A longer one is refused.
pub const MAX_TOKEN: u64 = 256;

/// Parts of a token: base64 for URLs, with dots between them.
const PARTS: usize = 3;

/// The bot's token.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes what a person or a file says, with spaces around it.
    ///
    /// # Errors
    /// If that is no token; the line does not say what it is instead.
    pub fn new(text: &str) -> Result<Token, String> {
        let text = text.trim();
        let text = text.strip_prefix("Bot ").unwrap_or(text);
        let is_part = |part: &str| {
            let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !part.is_empty() && part.bytes().all(is_sign)
        };
        let parts = text.split('.');
        if text.len() as u64 > MAX_TOKEN || parts.clone().count() != PARTS || !parts.into_iter().all(is_part)
        {
            return Err("what is given holds no token of a bot".into());
        }
        Ok(Token(text.to_owned()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// One line.
    pub fn read(path: &Path) -> Result<Token, String> {
        let mut text = String::new();
        let file =
            std::fs::File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let read = file.take(MAX_TOKEN + 2).read_to_string(&mut text);
        read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Token::new(&text).map_err(|_| {
            let advice = "copy the token, three parts with dots between them, from the bot's page of the developer portal";
            format!("{} holds no token of a bot; {advice}", path.display())
        })
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_token_is_not_told() {
        let token = Token::new(" Bot abc.DEF-1.g_h\n").unwrap();
        assert_eq!(token.secret(), "abc.DEF-1.g_h");
        assert!(!format!("{token:?}").contains("abc"));
        for wrong in ["", " ", "hello", "a.b", "a..c", "a.b.c.d", "a.b.c d", "a.b.ä"] {
            assert!(Token::new(wrong).is_err());
        }
        let most = usize::try_from(MAX_TOKEN).unwrap();
        let long = |length: usize| Token::new(&format!("a.b.{}", "x".repeat(length - 4)));
        assert!(long(most).is_ok());
        assert!(!long(most + 1).unwrap_err().contains('x'));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "abc.d.e\n").unwrap();
        assert_eq!(Token::read(&path).unwrap().secret(), "abc.d.e");
        std::fs::write(&path, "secret words\n").unwrap();
        assert!(!Token::read(&path).unwrap_err().contains("secret"));
        assert!(Token::read(dir.path()).is_err());
    }
}
