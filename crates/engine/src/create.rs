//! Making torrents.

pub use metainfo::create::piece_length_for;

use std::path::PathBuf;
use thiserror::Error;

/// What a torrent is made of and what it says beside its files.
#[derive(Clone, Debug)]
pub struct CreateTorrent {
    path: PathBuf,
    trackers: Vec<String>,
    web_seeds: Vec<String>,
    piece_length: Option<u32>,
    private: bool,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
}

/// A torrent that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The torrent file's bytes.
    pub bytes: Vec<u8>,
    /// The name of the torrent's file or folder.
    pub name: String,
    /// How many bytes its files have.
    pub total: u64,
    /// How many files it has.
    pub files: usize,
    /// The length of a piece in bytes.
    pub piece_length: u32,
    /// Symbolic links that were left out.
    pub skipped_links: Vec<PathBuf>,
}

/// Why no torrent was made.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// Something about the files.
    #[error(transparent)]
    Disk(#[from] storage::Error),
    /// What was asked for makes no valid torrent.
    #[error(transparent)]
    Torrent(#[from] metainfo::create::Error),
}

impl CreateTorrent {
    /// A torrent of the file or folder at `path`, without trackers, its piece length chosen by size.
    pub fn new(path: impl Into<PathBuf>) -> CreateTorrent {
        CreateTorrent {
            path: path.into(),
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            piece_length: None,
            private: false,
            comment: None,
            created_by: None,
            creation_date: None,
        }
    }

    /// Adds a tracker, in a tier of its own (BEP 12).
    #[must_use]
    pub fn tracker(mut self, url: impl Into<String>) -> CreateTorrent {
        self.trackers.push(url.into());
        self
    }

    /// Adds a web seed (BEP 19).
    #[must_use]
    pub fn web_seed(mut self, url: impl Into<String>) -> CreateTorrent {
        self.web_seeds.push(url.into());
        self
    }

    /// The length of a piece in bytes, instead of what [`piece_length_for`] chooses: a power of two from 16 KiB to
    /// 16 MiB, which every client can read.
    #[must_use]
    pub fn piece_length(mut self, bytes: u32) -> CreateTorrent {
        self.piece_length = Some(bytes);
        self
    }

    /// Whether peers may come from the torrent's trackers only (BEP 27).
    #[must_use]
    pub fn private(mut self, private: bool) -> CreateTorrent {
        self.private = private;
        self
    }

    /// A remark for people.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> CreateTorrent {
        self.comment = Some(comment.into());
        self
    }

    /// The program that made it.
    #[must_use]
    pub fn created_by(mut self, program: impl Into<String>) -> CreateTorrent {
        self.created_by = Some(program.into());
        self
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub fn creation_date(mut self, seconds: i64) -> CreateTorrent {
        self.creation_date = Some(seconds);
        self
    }

    /// Hashes the files on all cores and makes the torrent. Blocks the calling thread.
    ///
    /// `progress` is told how many bytes of how many are hashed, from any thread, and never fewer than before by one
    /// thread.
    ///
    /// # Errors
    /// [`CreateError::Disk`] for what cannot be read, holds no bytes, or changes meanwhile; [`CreateError::Torrent`]
    /// for a piece length that is not allowed or gives too many pieces.
    pub fn make(&self, progress: impl Fn(u64, u64) + Sync) -> Result<Created, CreateError> {
        let walk = storage::walk(&self.path)?;
        let total = walk.files.iter().map(|file| file.length).sum();
        let piece_length = self.piece_length.unwrap_or_else(|| piece_length_for(total));
        let builder = self.describe(&walk, total, piece_length);
        // What is wrong with it is said before hours of hashing, not after: a trial with hashes of zero.
        let pieces = builder
            .lengths()
            .map_err(metainfo::Error::from)
            .map_err(metainfo::create::Error::from)?
            .piece_count();
        builder.clone().pieces(vec![0; 20 * pieces as usize]).build()?;
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let hashes = storage::hash_files(&walk.files, piece_length, threads, |done| progress(done, total))?;
        let bytes = builder.pieces(hashes.concat()).build()?;
        Ok(Created {
            bytes,
            name: walk.name,
            total,
            files: walk.files.len(),
            piece_length,
            skipped_links: walk.skipped_links,
        })
    }

    fn describe(&self, walk: &storage::Walk, total: u64, piece_length: u32) -> metainfo::create::Builder {
        use metainfo::create::Builder;
        let mut builder = if walk.single_file {
            Builder::file(&walk.name, total)
        } else {
            let files = walk.files.iter().map(|file| (file.elements.clone(), file.length)).collect();
            Builder::folder(&walk.name, files)
        };
        builder = builder.piece_length(piece_length).private(self.private);
        builder = self.trackers.iter().fold(builder, |builder, url| builder.tracker(url));
        builder = self.web_seeds.iter().fold(builder, |builder, url| builder.web_seed(url));
        if let Some(comment) = &self.comment {
            builder = builder.comment(comment);
        }
        if let Some(program) = &self.created_by {
            builder = builder.created_by(program);
        }
        if let Some(seconds) = self.creation_date {
            builder = builder.creation_date(seconds);
        }
        builder
    }
}
