//! Secrets of mutable items (BEP 44): the seed of an Ed25519 key, in a file, in hex. No secret is ever printed.

use crate::args;
use crate::failure::{Failure, OrFail, kind};
use api::units::hex;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes of a file that is read for a secret: 64 digits, and space around them.
const MAX_FILE: u64 = 256;

/// The secret in a file.
pub(super) fn read(path: &Path) -> Result<[u8; 32], Failure> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    file.or_fail(kind::SECRET, format_args!("cannot read the secret in {}", path.display()))?;
    let wrong = |what| Failure::new(kind::SECRET, format_args!("no secret in {}: {what}", path.display()));
    args::hex32(text.trim()).map_err(wrong)
}

/// Makes a secret and a file of it that nobody else may read; a file that is there is left alone.
pub(super) fn make(path: &Path) -> Result<[u8; 32], Failure> {
    let seed = random::<32>()?;
    write(path, &seed).or_fail(kind::SECRET, format_args!("cannot make {}", path.display()))?;
    Ok(seed)
}

fn write(path: &Path, seed: &[u8; 32]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", hex(seed))?;
    file.sync_all()
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.or_fail(kind::STARTUP, "cannot read /dev/urandom")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_can_be_read_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let seed = make(&path).unwrap();
        assert_eq!(read(&path), Ok(seed));
        assert!(make(&path).unwrap_err().message.contains("File exists"));
        assert_eq!(read(&path), Ok(seed));
        assert_ne!(make(&dir.path().join("other")), Ok(seed));
    }

    #[test]
    fn what_is_no_secret_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "0123abcd").unwrap();
        let said = read(&path).unwrap_err().message;
        assert!(said.ends_with("expected 64 hex digits") && !said.contains("0123abcd"), "{said}");
    }

    #[test]
    fn so_much_of_a_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let room = usize::try_from(MAX_FILE).unwrap();
        fs::write(&path, format!("{:>room$}", hex(&[7; 32]))).unwrap();
        assert_eq!(read(&path), Ok([7; 32]));
        fs::write(&path, format!("{:>1$}", hex(&[7; 32]), room + 1)).unwrap();
        assert!(
            read(&path).unwrap_err().message.ends_with("expected 64 hex digits"),
            "its last digit is beyond"
        );
    }
}
