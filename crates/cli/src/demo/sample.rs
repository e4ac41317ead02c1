//! What the demo transfers, and where: a temporary folder that is removed afterwards.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The sample folder's name, which becomes the torrent's.
pub(super) const NAME: &str = "sample";
/// With the text, some 4 MiB.
const NOISE_LEN: usize = 3 << 20;
const TEXT_LINES: usize = 18_000;

/// A folder that is removed when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> io::Result<Scratch> {
        let parent = std::env::temp_dir();
        // Somebody else's leftovers may have our process id; they are left alone.
        for attempt in 0..100 {
            let dir = parent.join(format!("rawtorrent-demo-{}-{attempt}", std::process::id()));
            match fs::create_dir(&dir) {
                Ok(()) => return Ok(Scratch(dir)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("{}: {error}", parent.display())));
                }
            }
        }
        Err(io::Error::other(format!("{} is full of old demos", parent.display())))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed from a temporary folder is its cleaner's to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes the sample folder into `dir`: a text, and noise that no compression or luck could reproduce.
pub(super) fn write(dir: &Path) -> io::Result<()> {
    let folder = dir.join(NAME);
    fs::create_dir_all(&folder)?;
    let lines =
        (1..=TEXT_LINES).map(|n| format!("{n:>6}  Many pieces make a file, many peers make a swarm.\n"));
    fs::write(folder.join("lines.txt"), lines.collect::<String>())?;
    fs::write(folder.join("noise.bin"), noise(NOISE_LEN))
}

/// What a comparison of two folders found.
pub(super) struct Same {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// The first file that is not the same, if any.
    pub(super) difference: Option<PathBuf>,
}

/// Compares each file of a flat folder with the one of the same name in another.
pub(super) fn same(original: &Path, copy: &Path) -> io::Result<Same> {
    let mut same = Same { files: 0, bytes: 0, difference: None };
    for entry in fs::read_dir(original)? {
        let entry = entry?;
        let expected = fs::read(entry.path())?;
        let twin = copy.join(entry.file_name());
        match fs::read(&twin) {
            Ok(found) if found == expected => {}
            Ok(_) => same.difference = Some(twin),
            Err(error) if error.kind() == io::ErrorKind::NotFound => same.difference = Some(twin),
            Err(error) => return Err(error),
        }
        same.files += 1;
        same.bytes += expected.len() as u64;
    }
    Ok(same)
}

/// Bytes of SplitMix64, the same in every demo.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x7261_7774_6f72_7265_u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_and_scratch_is_removed() {
        let scratch = Scratch::new().unwrap();
        let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
        write(&one).unwrap();
        write(&two).unwrap();
        let compare = || same(&one.join(NAME), &two.join(NAME)).unwrap();
        let found = compare();
        assert_eq!((found.files, found.difference), (2, None));
        assert!((31 << 17..32 << 17).contains(&found.bytes), "32 pieces: {}", found.bytes);

        let noise = two.join(NAME).join("noise.bin");
        let mut bytes = fs::read(&noise).unwrap();
        bytes[1 << 20] ^= 1;
        fs::write(&noise, bytes).unwrap();
        assert_eq!(compare().difference.as_ref(), Some(&noise));
        fs::remove_file(&noise).unwrap();
        assert_eq!(compare().difference.as_ref(), Some(&noise));

        let dir = scratch.path().to_owned();
        drop(scratch);
        assert!(!dir.exists());
    }
}
