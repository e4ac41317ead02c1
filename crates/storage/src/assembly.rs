//! Pieces that are being put together.
//!
//! A block is in exactly one of four states: *missing*, *held* in memory alone, *kept* in memory though it is written, or
//! *written*. Blocks are hashed in the order of the piece, straight from memory, and those of several pieces abreast: a
//! piece that is complete, or has a run worth a write, is *due*, and waits for others a moment. The hashed ones are written
//! when they are a run worth a write or the piece is complete. If too many are held, they are written before their turn,
//! and kept until the hash reaches them; if too many are kept, they are let go, and read back then: what is hashed is
//! what was written either way.

use crate::digest::DigestKey;
use crate::files::Files;
use crate::limits::{MAX_WRITE_BLOCKS, READ_RUN, WRITE_RUN};
use crate::{Error, Layout};
use bytes::Bytes;
use hash::Sha1;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use types::{BLOCK_LEN, Bitfield, BlockDigest, PieceIndex};

/// Blocks that are worth a write, and hashing.
const RUN_BLOCKS: usize = (WRITE_RUN / BLOCK_LEN) as usize;

/// The begun pieces of one torrent.
pub(crate) struct Assembly {
    pieces: HashMap<PieceIndex, Piece>,
    memory: Memory,
    /// Pieces that are to be hashed on, and their bytes that were in memory when they came to be that, or came since.
    due: BTreeMap<PieceIndex, usize>,
    /// The sum of these.
    due_bytes: usize,
    /// Pieces that failed once: from then on their blocks get digests.
    failed: Bitfield,
    key: DigestKey,
}

/// Bytes of blocks in memory.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// Those that are nowhere else.
    held: usize,
    /// Those that are written, and not hashed.
    kept: usize,
}

impl Memory {
    fn all(self) -> usize {
        self.held + self.kept
    }

    fn add(&mut self, other: Memory) {
        self.held += other.held;
        self.kept += other.kept;
    }

    fn remove(&mut self, other: Memory) {
        self.held -= other.held;
        self.kept -= other.kept;
    }
}

/// What a complete piece turned out to be.
pub(crate) enum Verdict {
    /// See [`DiskEvent::PieceVerified`](crate::DiskEvent).
    Good { digests: Vec<BlockDigest> },
    /// See [`DiskEvent::PieceFailed`](crate::DiskEvent).
    Bad { from_disk: bool, digests: Vec<Option<BlockDigest>> },
}

impl Assembly {
    /// Of a torrent of so many pieces.
    pub(crate) fn new(pieces: u32) -> Assembly {
        Assembly {
            pieces: HashMap::new(),
            memory: Memory::default(),
            due: BTreeMap::new(),
            due_bytes: 0,
            failed: Bitfield::new(pieces),
            key: DigestKey::random(),
        }
    }

    /// Blocks that an earlier run has written.
    pub(crate) fn restore(&mut self, layout: &Layout, index: PieceIndex, blocks: &[u32]) {
        let piece = self.pieces.entry(index).or_insert_with(|| Piece::new(layout, index));
        for &block in blocks {
            piece.blocks[block as usize] = Block::Written;
        }
    }

    /// Takes a block that is missing.
    pub(crate) fn take(&mut self, layout: &Layout, index: PieceIndex, block: u32, data: Bytes) {
        let piece = self.pieces.entry(index).or_insert_with(|| Piece {
            digests: self.failed.contains(index).then(Vec::new),
            ..Piece::new(layout, index)
        });
        let len = data.len();
        self.memory.held += len;
        piece.memory.held += len;
        piece.blocks[block as usize] = Block::Held(data);
        let run = piece.unhashed();
        if let Some(bytes) = self.due.get_mut(&index) {
            *bytes += len;
            self.due_bytes += len;
        } else if run >= RUN_BLOCKS || piece.hashed + run == piece.blocks.len() {
            self.due.insert(index, piece.memory.all());
            self.due_bytes += piece.memory.all();
        }
    }

    /// Bytes of pieces that are due, those included that cannot be hashed yet.
    pub(crate) fn due_bytes(&self) -> usize {
        self.due_bytes
    }

    /// Whether a piece has not all its blocks.
    pub(crate) fn awaits_blocks(&self) -> bool {
        self.pieces.values().any(|piece| piece.reach < piece.blocks.len())
    }

    /// Everything that came and can be hashed is due, and what is complete and could not be written; what an earlier run
    /// has left waits for something to come.
    pub(crate) fn set_all_due(&mut self) {
        for (&index, piece) in &mut self.pieces {
            let bytes = piece.memory.all();
            let is_due = bytes > 0 && piece.unhashed() > 0 || piece.hashed == piece.blocks.len();
            if is_due && let Entry::Vacant(vacant) = self.due.entry(index) {
                vacant.insert(bytes);
                self.due_bytes += bytes;
            }
        }
    }

    /// Hashes what is due, and writes it. Tells the complete pieces, as far as it came, and what went wrong; what could not
    /// be written is still held.
    pub(crate) fn settle(&mut self, files: &Files) -> (Vec<(PieceIndex, Verdict)>, Result<(), Error>) {
        let due = std::mem::take(&mut self.due).into_keys();
        let mut pieces: Vec<(PieceIndex, Piece)> =
            due.filter_map(|index| Some((index, self.pieces.remove(&index)?))).collect();
        pieces.iter().for_each(|(_, piece)| self.memory.remove(piece.memory));
        self.due_bytes = 0;
        let mut result = hash_abreast(files, &mut pieces, &self.key);
        let (mut verdicts, mut sound) = (Vec::new(), Vec::new());
        for (index, mut piece) in pieces {
            if result.is_ok() && piece.hashed == piece.blocks.len() {
                match self.finish(files, index, &mut piece) {
                    Ok(verdict) => {
                        sound.push(!files.is_cut(index));
                        verdicts.push((index, verdict));
                        continue;
                    }
                    Err(error) => result = Err(error),
                }
            } else if result.is_ok() && piece.hashed - piece.flushed >= RUN_BLOCKS {
                result = piece.write_hashed(files, index);
            }
            self.memory.add(piece.memory);
            self.pieces.insert(index, piece);
        }
        // What was written of others may have shown that bytes of a piece before them are gone.
        for ((index, verdict), _) in verdicts.iter_mut().zip(sound).filter(|(_, was_sound)| *was_sound) {
            if matches!(verdict, Verdict::Good { .. }) && files.is_cut(*index) {
                *verdict = Verdict::Bad { from_disk: true, digests: Vec::new() };
            }
        }
        (verdicts, result)
    }

    fn finish(&mut self, files: &Files, index: PieceIndex, piece: &mut Piece) -> Result<Verdict, Error> {
        let hash: [u8; 20] = piece.sha1.clone().finalize();
        if files.layout.piece_hash(index)? != Some(hash) {
            self.failed.insert(index);
            let from_disk = !piece.reread.is_empty();
            return Ok(Verdict::Bad { from_disk, digests: piece.evidence(files, index, &self.key, hash) });
        }
        let some_were_written = !piece.written().is_empty();
        piece.write_hashed(files, index)?;
        if some_were_written && files.is_cut(index) {
            return Ok(Verdict::Bad { from_disk: true, digests: Vec::new() });
        }
        files.deal_out(index)?;
        Ok(Verdict::Good { digests: piece.digests.take().unwrap_or_default() })
    }

    /// Bytes of blocks that are nowhere but in memory.
    pub(crate) fn held(&self) -> usize {
        self.memory.held
    }

    /// Bytes of blocks that are in memory though they are written.
    pub(crate) fn kept(&self) -> usize {
        self.memory.kept
    }

    /// Bytes of blocks in memory.
    pub(crate) fn in_memory(&self) -> usize {
        self.memory.all()
    }

    /// Writes held blocks until no more than `target` bytes are held: the hashed ones, then those of the
    /// fullest pieces, which are kept.
    pub(crate) fn write_out(&mut self, files: &Files, target: usize) -> Result<(), Error> {
        self.write_hashed(files)?;
        while self.memory.held > target {
            let fullest = self.pieces.iter_mut().max_by_key(|(_, piece)| piece.memory.held);
            let Some((&index, piece)) = fullest else { break };
            let all = piece.blocks.len();
            write_some(&mut self.memory, piece, |piece| piece.write(files, index, 0, all))?;
        }
        Ok(())
    }

    /// Lets go of kept blocks until no more than `target` bytes are kept: of those of the fullest pieces.
    pub(crate) fn let_go(&mut self, target: usize) {
        while self.memory.kept > target {
            let Some(piece) = self.pieces.values_mut().max_by_key(|piece| piece.memory.kept) else { break };
            self.memory.kept -= piece.memory.kept;
            piece.let_go();
        }
    }

    /// Writes the held blocks that need not be read back.
    pub(crate) fn write_hashed(&mut self, files: &Files) -> Result<(), Error> {
        for (&index, piece) in &mut self.pieces {
            write_some(&mut self.memory, piece, |piece| piece.write_hashed(files, index))?;
        }
        Ok(())
    }

    /// The pieces with blocks on disk, and which.
    pub(crate) fn written(&self) -> Vec<(PieceIndex, Vec<u32>)> {
        let mut written: Vec<_> =
            self.pieces.iter().map(|(&index, piece)| (index, piece.written())).collect();
        written.retain(|(_, blocks)| !blocks.is_empty());
        written.sort_unstable_by_key(|(index, _)| *index);
        written
    }

    /// Forgets what is in memory; what is written can still be told.
    pub(crate) fn drop_held(&mut self) {
        for piece in self.pieces.values_mut() {
            piece.let_go();
            for block in piece.blocks.iter_mut().filter(|block| block.held().is_some()) {
                *block = Block::Missing;
            }
            piece.memory.held = 0;
        }
        self.memory = Memory::default();
        self.nothing_due();
    }

    fn nothing_due(&mut self) {
        self.due.clear();
        self.due_bytes = 0;
    }

    /// What is written of a piece may not be there any more: it is hashed once more, from its first block on.
    pub(crate) fn doubt(&mut self, index: PieceIndex) {
        let Some(piece) = self.pieces.get_mut(&index) else { return };
        self.memory.kept -= piece.memory.kept;
        piece.let_go();
        (piece.hashed, piece.flushed, piece.sha1) = (0, 0, Sha1::new());
        piece.reread.clear();
        piece.digests.iter_mut().for_each(Vec::clear);
    }

    /// Forgets these blocks, if their piece is begun and not complete; says which were there. What is hashed is hashed anew.
    pub(crate) fn forget_blocks(&mut self, index: PieceIndex, mut blocks: Vec<u32>) -> Vec<u32> {
        let Some(piece) = self.pieces.get_mut(&index) else { return Vec::new() };
        let is_complete = !piece.blocks.iter().any(Block::is_missing);
        blocks.retain(|&block| piece.blocks.get(block as usize).is_some_and(|block| !block.is_missing()));
        if is_complete || blocks.is_empty() {
            return Vec::new();
        }
        self.memory.remove(piece.memory);
        for &block in &blocks {
            match std::mem::replace(&mut piece.blocks[block as usize], Block::Missing) {
                Block::Held(data) => piece.memory.held -= data.len(),
                Block::Kept(data) => piece.memory.kept -= data.len(),
                Block::Missing | Block::Written => {}
            }
            piece.reach = piece.reach.min(block as usize);
        }
        self.memory.add(piece.memory);
        self.due_bytes -= self.due.remove(&index).unwrap_or(0);
        if piece.blocks.iter().all(Block::is_missing) {
            self.forget(index);
        } else if piece.reach < piece.hashed {
            self.doubt(index);
        }
        blocks
    }

    /// Forgets one piece.
    pub(crate) fn forget(&mut self, index: PieceIndex) {
        let Some(piece) = self.pieces.remove(&index) else { return };
        self.memory.remove(piece.memory);
        self.due_bytes -= self.due.remove(&index).unwrap_or(0);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.memory = Memory::default();
        self.nothing_due();
    }
}

struct Piece {
    blocks: Vec<Block>,
    sha1: Sha1,
    /// Blocks before this one are hashed.
    hashed: usize,
    /// Blocks before this one are written; never more than are hashed.
    flushed: usize,
    memory: Memory,
    /// Blocks that were read from disk to be hashed.
    reread: Vec<Range<usize>>,
    /// Of each block that is hashed; only if the piece failed before.
    digests: Option<Vec<BlockDigest>>,
    /// None of the blocks before this one is missing; at least those that are hashed.
    reach: usize,
}

enum Block {
    Missing,
    /// Not written.
    Held(Bytes),
    /// Written, and not hashed.
    Kept(Bytes),
    Written,
}

impl Piece {
    fn new(layout: &Layout, index: PieceIndex) -> Piece {
        let count = layout.lengths().block_count(index) as usize;
        Piece {
            blocks: std::iter::repeat_with(|| Block::Missing).take(count).collect(),
            sha1: Sha1::new(),
            hashed: 0,
            flushed: 0,
            memory: Memory::default(),
            reread: Vec::new(),
            digests: None,
            reach: 0,
        }
    }

    /// How many blocks can be hashed.
    fn unhashed(&mut self) -> usize {
        while self.blocks.get(self.reach).is_some_and(|block| !block.is_missing()) {
            self.reach += 1;
        }
        self.reach - self.hashed
    }

    /// What is to be hashed next, if it is in memory.
    fn next_in_memory(&mut self) -> Option<(&mut Sha1, &[u8])> {
        let data = self.blocks.get(self.hashed)?.in_memory()?;
        Some((&mut self.sha1, data))
    }

    /// What [`next_in_memory`](Self::next_in_memory) told is hashed, if it told anything.
    fn note_hashed(&mut self, key: &DigestKey) -> Option<()> {
        let block = self.blocks.get_mut(self.hashed)?;
        let data = block.in_memory()?;
        if let Some(digests) = &mut self.digests {
            digests.push(key.digest(data));
        }
        if let Block::Kept(data) = block {
            self.memory.kept -= data.len();
            *block = Block::Written;
        }
        self.hashed += 1;
        Some(())
    }

    /// What is written is not kept in memory any more.
    fn let_go(&mut self) {
        for block in self.blocks.iter_mut().filter(|block| matches!(block, Block::Kept(_))) {
            *block = Block::Written;
        }
        self.memory.kept = 0;
    }

    /// Reads back and hashes what is written and next.
    fn hash_all_written(&mut self, files: &Files, index: PieceIndex, key: &DigestKey) -> Result<(), Error> {
        while matches!(self.blocks.get(self.hashed), Some(Block::Written)) {
            self.hash_written(files, index, key)?;
        }
        Ok(())
    }

    /// Reads back a run of written blocks and hashes it.
    fn hash_written(&mut self, files: &Files, index: PieceIndex, key: &DigestKey) -> Result<(), Error> {
        let run = self.read_written(files, index, self.hashed)?;
        self.sha1.update(&run);
        let blocks = run.chunks(BLOCK_LEN as usize);
        let hashed = self.hashed + blocks.len();
        if let Some(digests) = &mut self.digests {
            digests.extend(blocks.map(|block| key.digest(block)));
        }
        self.reread.push(self.hashed..hashed);
        self.hashed = hashed;
        Ok(())
    }

    /// Reads written blocks, of which `from` is one: as many as one read takes.
    fn read_written(&self, files: &Files, index: PieceIndex, from: usize) -> Result<Vec<u8>, Error> {
        let run = self.blocks[from..].iter().take_while(|block| matches!(block, Block::Written));
        let count = run.take((READ_RUN / BLOCK_LEN) as usize).count();
        let start = block_offset(from);
        let end = block_offset(from + count).min(files.layout.lengths().piece_len(index));
        let mut buf = vec![0; (end - start) as usize];
        files.read(index, start, files.place(index), &mut buf)?;
        Ok(buf)
    }

    /// What can be said of the blocks of a bad piece, whose hash came to `hash`.
    fn evidence(
        &mut self,
        files: &Files,
        index: PieceIndex,
        key: &DigestKey,
        hash: [u8; 20],
    ) -> Vec<Option<BlockDigest>> {
        let known = self.digests.take().or_else(|| self.digest_again(files, index, key, hash));
        let mut evidence: Vec<_> = known.unwrap_or_default().into_iter().map(Some).collect();
        if !evidence.is_empty() {
            self.reread.iter().for_each(|blocks| evidence[blocks.clone()].fill(None));
        }
        evidence
    }

    /// The digests of the blocks of a piece that nobody suspected. Some have to be read back; that they are still what
    /// was hashed shows in their hash. If not, an honest peer could be blamed for what the disk did.
    fn digest_again(
        &self,
        files: &Files,
        index: PieceIndex,
        key: &DigestKey,
        hash: [u8; 20],
    ) -> Option<Vec<BlockDigest>> {
        let mut sha1 = Sha1::new();
        let mut digests = Vec::with_capacity(self.blocks.len());
        while let Some(block) = self.blocks.get(digests.len()) {
            if let Some(data) = block.in_memory() {
                sha1.update(data);
                digests.push(key.digest(data));
            } else {
                let run = self.read_written(files, index, digests.len()).ok()?;
                sha1.update(&run);
                digests.extend(run.chunks(BLOCK_LEN as usize).map(|block| key.digest(block)));
            }
        }
        (sha1.finalize() == hash).then_some(digests)
    }

    /// Writes the hashed blocks.
    fn write_hashed(&mut self, files: &Files, index: PieceIndex) -> Result<(), Error> {
        self.write(files, index, self.flushed, self.hashed)?;
        self.flushed = self.hashed;
        Ok(())
    }

    /// Writes the held ones of blocks `from..to`.
    fn write(&mut self, files: &Files, index: PieceIndex, from: usize, to: usize) -> Result<(), Error> {
        let mut at = from;
        while at < to {
            let run = self.blocks[at..to].iter().map_while(Block::held).take(MAX_WRITE_BLOCKS);
            let run: Vec<Bytes> = run.cloned().collect();
            if run.is_empty() {
                at += 1;
                continue;
            }
            files.write(index, block_offset(at), &run)?;
            let end = at + run.len();
            for (data, number) in run.into_iter().zip(at..) {
                self.memory.held -= data.len();
                self.blocks[number] = if number < self.hashed {
                    Block::Written
                } else {
                    self.memory.kept += data.len();
                    Block::Kept(data)
                };
            }
            at = end;
        }
        Ok(())
    }

    fn written(&self) -> Vec<u32> {
        let numbered = self.blocks.iter().zip(0u32..);
        numbered.filter(|(block, _)| block.is_written()).map(|(_, n)| n).collect()
    }
}

/// Lets `work` write blocks of a piece, and sees to it that `memory` is right whatever came of it.
fn write_some(
    memory: &mut Memory,
    piece: &mut Piece,
    work: impl FnOnce(&mut Piece) -> Result<(), Error>,
) -> Result<(), Error> {
    memory.remove(piece.memory);
    let result = work(piece);
    memory.add(piece.memory);
    result
}

impl Block {
    fn is_missing(&self) -> bool {
        matches!(self, Block::Missing)
    }

    fn held(&self) -> Option<&Bytes> {
        match self {
            Block::Held(data) => Some(data),
            Block::Missing | Block::Kept(_) | Block::Written => None,
        }
    }

    fn in_memory(&self) -> Option<&Bytes> {
        match self {
            Block::Held(data) | Block::Kept(data) => Some(data),
            Block::Missing | Block::Written => None,
        }
    }

    fn is_written(&self) -> bool {
        matches!(self, Block::Kept(_) | Block::Written)
    }
}

/// Hashes on, in each piece up to the first missing block: one block of each, then the next ones.
fn hash_abreast(files: &Files, pieces: &mut [(PieceIndex, Piece)], key: &DigestKey) -> Result<(), Error> {
    loop {
        for (index, piece) in &mut *pieces {
            piece.hash_all_written(files, *index, key)?;
        }
        Sha1::update_many(pieces.iter_mut().filter_map(|(_, piece)| piece.next_in_memory()));
        let hashed = pieces.iter_mut().filter_map(|(_, piece)| piece.note_hashed(key));
        if hashed.count() == 0 {
            return Ok(());
        }
    }
}

/// Where a block starts in its piece, in bytes.
fn block_offset(block: usize) -> u32 {
    u32::try_from(block).expect("a piece has less than 2^32 blocks").saturating_mul(BLOCK_LEN)
}
