//! The log that a database leaves which was not closed, as SQLite has it: a header, and pages, each with a head that says which
//! it is, and a sum that goes on from that of the page before. The first sum that is wrong is where SQLite ends it, without a
//! word. That is right where the power went; but where all of a session is in its log it may be all of a session.

use crate::mark::Mark;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What it is called.
pub(crate) const LOG: &str = "session.db-wal";
/// Bytes of a page, as we have them.
pub(crate) const PAGE: u64 = PAGE_LEN as u64;
const PAGE_LEN: usize = 4096;
/// Bytes of the log before what it holds.
pub(crate) const HEADER: usize = 32;
/// Bytes of the head of a page in it.
const HEAD: usize = 24;
const FRAME: usize = HEAD + PAGE_LEN;
/// The first bytes of a database.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where the first page says how many there are.
const PAGES_AT: u64 = 28;

/// Whether a database is there in which nothing is: it has no byte, or one page without a table.
pub(crate) fn is_blank(database: &Path) -> io::Result<bool> {
    let file = match File::open(database) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let len = file.metadata()?.len();
    let mut head = [0; 105];
    if len != PAGE {
        return Ok(len == 0);
    }
    file.read_exact_at(&mut head, 0)?;
    // A leaf of a table, with so many cells.
    Ok(head.starts_with(MAGIC) && head[100] == 13 && head[103..] == [0, 0])
}

/// What a log begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// No commit: it is missing, empty, or was cut off before the end of the first.
    Nothing,
    Commit,
    /// A page that is damaged, so that nothing of it would be read.
    Damage,
}

/// Whether a log begins as SQLite has it begin: with a number that says how to sum up, and the sum of what follows.
pub(crate) fn is_log(header: &[u8; HEADER]) -> bool {
    let Some(order) = Order::of(header) else { return false };
    order.sum((0, 0), &header[..24]) == (big(header, 24), big(header, 28))
}

pub(crate) fn start(log: &Path) -> io::Result<Start> {
    let Some(mut pages) = Pages::open(log)? else { return Ok(Start::Nothing) };
    while let Some(page) = pages.next()? {
        match page {
            Page { is_sound: false, .. } => return Ok(Start::Damage),
            Page { commits: true, .. } => return Ok(Start::Commit),
            Page { .. } => {}
        }
    }
    Ok(Start::Nothing)
}

/// Whether a log is the one that a mark is of, and its first pages are sound, as many as that says.
pub(crate) fn holds(log: &Path, mark: Mark) -> io::Result<bool> {
    let Some(mut pages) = Pages::open(log)?.filter(|pages| pages.salt == mark.salt) else { return Ok(false) };
    for _ in 0..mark.pages {
        if !pages.next()?.is_some_and(|page| page.is_sound) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What SQLite reads of a log, and where that ends; none if it is no log.
pub(crate) fn read_part(log: &Path) -> io::Result<Option<(Mark, u64)>> {
    let Some(mut pages) = Pages::open(log)? else { return Ok(None) };
    let (mut mark, mut end, mut count) = (Mark { salt: pages.salt, pages: 0 }, HEADER as u64, 0);
    while let Some(page) = pages.next()?.filter(|page| page.is_sound) {
        count += 1;
        if page.commits {
            (mark.pages, end) = (count, pages.at);
        }
    }
    Ok(Some((mark, end)))
}

/// Puts the first page of an empty database, as ours begin, before what is left of one: SQLite reads nothing of one that is
/// shorter than its own says.
pub(crate) fn begin_as(database: &Path, empty: &Path) -> io::Result<()> {
    let mut first = [0; PAGE_LEN];
    File::open(empty)?.read_exact_at(&mut first, 0)?;
    let file = File::options().write(true).open(database)?;
    let pages = u32::try_from(file.metadata()?.len().div_ceil(PAGE)).unwrap_or(u32::MAX);
    file.write_all_at(&first, 0)?;
    file.write_all_at(&pages.to_be_bytes(), PAGES_AT)
}

/// Puts those pages of a log that are sound themselves, as of its last commit, into a database that has the pages it was to be
/// brought into, or empty tables.
pub(crate) fn overlay(log: &Path, database: &Path) -> io::Result<()> {
    let Some(mut pages) = Pages::open(log)? else { return Ok(()) };
    let (mut kept, mut begun, mut count) = (BTreeMap::new(), BTreeMap::new(), 0);
    while let Some(page) = pages.next()? {
        if page.is_sound {
            begun.insert(page.number, page.at);
        }
        if page.is_sound && page.commits {
            kept.append(&mut begun);
            count = page.count;
        }
    }
    if count == 0 {
        return Ok(());
    }
    let file = File::options().write(true).open(database)?;
    for (&number, &at) in kept.range(1..=count) {
        let mut bytes = [0; PAGE_LEN];
        pages.log.read_exact_at(&mut bytes, at)?;
        file.write_all_at(&bytes, u64::from(number - 1) * PAGE)?;
    }
    file.set_len(u64::from(count) * PAGE)?;
    file.write_all_at(&count.to_be_bytes(), PAGES_AT)
}

/// The pages of a log, one after the other.
struct Pages {
    log: File,
    order: Order,
    salt: [u8; 8],
    /// That of the page before, as it says itself.
    sum: (u32, u32),
    at: u64,
}

/// One of them.
struct Page {
    /// From 1 on.
    number: u32,
    /// Whether a commit ends with it, and how many pages the database has then.
    commits: bool,
    count: u32,
    /// Whether its sum is right, given that of the page before.
    is_sound: bool,
    /// Where its bytes are in the log.
    at: u64,
}

impl Pages {
    /// None if it is missing or no log, or one of pages of another length.
    fn open(log: &Path) -> io::Result<Option<Pages>> {
        let log = match File::open(log) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            log => log?,
        };
        let mut header = [0; HEADER];
        if log.metadata()?.len() < HEADER as u64 {
            return Ok(None);
        }
        log.read_exact_at(&mut header, 0)?;
        let Some(order) = Order::of(&header).filter(|_| is_log(&header)) else { return Ok(None) };
        if u64::from(big(&header, 8)) != PAGE {
            return Ok(None);
        }
        let salt = std::array::from_fn(|byte| header[16 + byte]);
        let sum = (big(&header, 24), big(&header, 28));
        Ok(Some(Pages { log, order, salt, sum, at: HEADER as u64 }))
    }

    /// None at the end.
    fn next(&mut self) -> io::Result<Option<Page>> {
        let mut frame = [0; FRAME];
        match self.log.read_exact_at(&mut frame, self.at) {
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let at = self.at + HEAD as u64;
        self.at += FRAME as u64;
        let head = self.order.sum(self.sum, &frame[..8]);
        let sum = self.order.sum(head, &frame[HEAD..]);
        self.sum = (big(&frame, 16), big(&frame, 20));
        let is_sound = frame[8..16] == self.salt && sum == self.sum && big(&frame, 0) > 0;
        let count = big(&frame, 4);
        Ok(Some(Page { number: big(&frame, 0), commits: count > 0, count, is_sound, at }))
    }
}

/// In which order the bytes of a word are when a sum is made.
#[derive(Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn of(header: &[u8; HEADER]) -> Option<Order> {
        match big(header, 0) {
            0x377f_0682 => Some(Order::Little),
            0x377f_0683 => Some(Order::Big),
            _ => None,
        }
    }

    /// The sum of what comes after what was summed up before; of pairs of words.
    fn sum(self, (mut one, mut other): (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let word = |at: usize| match self {
            Order::Big => big(bytes, at),
            Order::Little => big(bytes, at).swap_bytes(),
        };
        for at in (0..bytes.len()).step_by(8) {
            one = one.wrapping_add(word(at)).wrapping_add(other);
            other = other.wrapping_add(word(at + 4)).wrapping_add(one);
        }
        (one, other)
    }
}

fn big(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}
