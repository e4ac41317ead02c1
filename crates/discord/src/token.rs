//! The bot's token: a secret that is never printed.

use std::fmt;
use std::io::Read;
use std::path::Path;

/// Bytes of a token file that are read; a token has some 72. A longer one is refused.
pub const MAX_TOKEN: u64 = 256;

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
        if text.is_empty()
            || text.len() as u64 > MAX_TOKEN
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
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
        Token::new(&text).map_err(|_| format!("{} holds no token of a bot", path.display()))
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
        let token = Token::new(" Bot abc.DEF-1\n").unwrap();
        assert_eq!(token.secret(), "abc.DEF-1");
        assert!(!format!("{token:?}").contains("abc"));
        for wrong in ["", " ", "a b", "ä"] {
            assert!(Token::new(wrong).is_err());
        }
        let most = usize::try_from(MAX_TOKEN).unwrap();
        assert!(Token::new(&"x".repeat(most)).is_ok());
        assert!(!Token::new(&"x".repeat(most + 1)).unwrap_err().contains('x'));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "abc\n").unwrap();
        assert_eq!(Token::read(&path).unwrap().secret(), "abc");
        std::fs::write(&path, "secret words\n").unwrap();
        assert!(!Token::read(&path).unwrap_err().contains("secret"));
        assert!(Token::read(dir.path()).is_err());
    }
}
