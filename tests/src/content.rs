//! Sample files, the same on every run, and digests of whole trees.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// `len` bytes that look random and depend on `seed` alone.
#[must_use]
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// A file of a sample: where it lies under the sample's folder, and how long it is. An empty path is the sample
/// itself, which is then a file.
pub type Layout = &'static [(&'static str, usize)];

/// Content to make a torrent of.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Name of the file or folder.
    pub name: &'static str,
    /// Its files.
    pub layout: Layout,
}

impl Sample {
    /// One file; with pieces of 64 KiB the last one is short, and so is its last block.
    pub const SINGLE: Sample = Sample { name: "single file.bin", layout: &[("", 5 * 1_048_576 + 4_321)] };

    /// A tree with what file layouts stumble over: folders in folders, names beyond ASCII, a file without bytes,
    /// one of a single byte, several files in one piece, pieces across files.
    pub const MULTI: Sample = Sample {
        name: "multi ünïcode",
        layout: &[
            ("empty.txt", 0),
            ("nested/deep/deeper/odd.bin", 1_234_567),
            ("nested/one.byte", 1),
            ("nested/日本語 файл.bin", 70_001),
            ("small 1.bin", 333),
            ("small 2.bin", 65_536),
            ("zz last.bin", 1_800_017),
        ],
    };

    /// Writes the sample under `dir`; returns the path of its file or folder.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<PathBuf> {
        let root = dir.join(self.name);
        for (seed, (path, len)) in (1..).zip(self.layout) {
            let path = if path.is_empty() { root.clone() } else { root.join(path) };
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            fs::write(path, bytes(seed, *len))?;
        }
        Ok(root)
    }

    /// Sum of all files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layout.iter().map(|(_, len)| len).sum()
    }

    /// Whether no file has a byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes in the order of the layout, which is that of the torrent.
    #[must_use]
    pub fn stream(&self) -> Vec<u8> {
        (1..).zip(self.layout).flat_map(|(seed, (_, len))| bytes(seed, *len)).collect()
    }
}

/// One line per file under `root` (or for `root` itself): SHA-256, length and path, sorted by path.
///
/// # Errors
/// Something cannot be read.
pub fn digest(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    walk(root, &mut files)?;
    files.sort();
    let mut lines = String::new();
    for path in files {
        let (hash, len) = hash_file(&path)?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        lines.push_str(&format!("{hash} {len:>9} {shown}\n"));
    }
    Ok(lines)
}

/// A digest without the lines of files that have no bytes.
#[must_use]
pub fn without_empty_files(digest: &str) -> String {
    digest
        .lines()
        .filter(|line| line.split_whitespace().nth(1) != Some("0"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            walk(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_owned());
    }
    Ok(())
}

fn hash_file(path: &Path) -> io::Result<(String, u64)> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut hash, mut len, mut chunk) = (Sha256::new(), 0, vec![0; 65_536]);
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            return Ok((hex(&hash.finalize()), len));
        }
        hash.update(&chunk[..read]);
        len += read as u64;
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_a_missing_file_and_another_name_change_the_digest() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = Sample::MULTI.write(one.path()).unwrap();
        let copy = Sample::MULTI.write(two.path()).unwrap();
        let expected = digest(&root).unwrap();
        assert_eq!(expected.lines().count(), Sample::MULTI.layout.len());
        assert_eq!(expected, digest(&copy).unwrap());

        let mut odd = fs::read(copy.join("nested/deep/deeper/odd.bin")).unwrap();
        odd[1_234_566] ^= 1;
        fs::write(copy.join("nested/deep/deeper/odd.bin"), odd).unwrap();
        assert_ne!(expected, digest(&copy).unwrap());

        Sample::MULTI.write(two.path()).unwrap();
        assert_eq!(expected, digest(&copy).unwrap());
        fs::remove_file(copy.join("empty.txt")).unwrap();
        assert_ne!(expected, digest(&copy).unwrap());
        assert_eq!(without_empty_files(&expected), digest(&copy).unwrap());
    }
}
