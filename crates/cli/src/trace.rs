//! Events for people and programs: a line each, aligned, with the time since the last one; and as a capture of packets.

use crate::console::{Console, joined, json_line};
use crate::failure::{Failure, OrFail, kind};
use crate::paint::{Look, Paint};
use crate::text::{counted, printable};
use engine::events::{Direction, Event, EventKind, Events, Ext, Filter, NO_TORRENT, Said, VERSION, explain};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trace::Pcap;

/// How events are shown.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) json: bool,
    /// Say once of each kind of message what it is for.
    pub(crate) explain: bool,
    /// Addresses are shown.
    pub(crate) addresses: bool,
    /// A new file for packets.
    pub(crate) pcap: Option<PathBuf>,
    /// They may be of several torrents: it is said of which.
    pub(crate) many: bool,
    /// Which are shown; packets are of all.
    pub(crate) filter: Filter,
}

impl Manner {
    /// What is to be heard: all of the same peers if it is captured.
    pub(crate) fn heard(&self) -> Filter {
        if self.pcap.is_some() { self.filter.whole() } else { self.filter.clone() }
    }
}

/// Shows events.
pub(crate) struct Printer {
    console: Console,
    paint: Paint,
    manner: Manner,
    /// What was explained.
    explained: BTreeSet<&'static str>,
    /// When the last one was, if there was one.
    last: Option<Duration>,
    capture: Option<Capture>,
    /// Not all of the capture could be written.
    is_cut: bool,
}

struct Capture {
    pcap: Pcap,
    file: BufWriter<File>,
    path: PathBuf,
    /// Somebody reads it as it comes.
    is_pipe: bool,
    /// Bytes at its beginning that tell of nothing.
    head_len: u64,
}

/// Columns of a torrent: as long as git's short hashes, which is enough to tell a handful of them apart.
const TORRENT: usize = 9;

/// An event as a line of JSON.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    #[serde(flatten)]
    what: &'a Event,
    /// The same for people.
    text: String,
    /// What it is for, where that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    explained: Option<String>,
}

impl Printer {
    /// `began`: when the time of events is zero, since 1970, if that is known.
    pub(crate) fn new(
        console: &Console,
        manner: Manner,
        began: Option<Duration>,
    ) -> Result<Printer, Failure> {
        let at = began.unwrap_or_default();
        let capture = manner.pcap.as_ref().map(|path| Capture::begin(path, at)).transpose()?;
        if manner.json {
            let began = began.map(|began| began.as_secs_f64());
            console.print(json_line(&json!({"event": "began", "v": VERSION, "began": began})))?;
        }
        Ok(Printer {
            console: console.clone(),
            paint: Paint::of_stdout(),
            manner,
            explained: BTreeSet::new(),
            last: None,
            capture,
            is_cut: false,
        })
    }

    /// Shows every event until the engine has shut down.
    pub(crate) async fn follow(mut self, mut events: Events) -> Result<(), Failure> {
        let mut lost = 0;
        while let Some(event) = events.next().await {
            let now = events.lost();
            if now > lost {
                self.lost(now - lost)?;
                lost = now;
            }
            self.print(event)?;
            if self.is_for_nobody() || self.console.is_output_lost() {
                break;
            }
        }
        // What is amiss with a capture was said, and is not the download's fault.
        self.finish();
        Ok(())
    }

    /// Nobody reads what it prints, and nothing is captured.
    pub(crate) fn is_for_nobody(&self) -> bool {
        self.console.is_reader_gone() && self.capture.is_none()
    }

    /// Says that so many events are missing here, in the capture as well.
    pub(crate) fn lost(&mut self, events: u64) -> Result<(), Failure> {
        if let Some(capture) = &mut self.capture {
            capture.pcap.lost();
        }
        if self.manner.json {
            return self.console.print(json_line(&json!({"event": "lost", "lost": events})));
        }
        let text = format!("({} left out here: too many came at once)", counted(events, "event"));
        self.console.print(self.below(text))
    }

    /// Prints an event that is not known here as it came, unless only some are shown.
    pub(crate) fn pass_on(&self, event: &Value) -> Result<(), Failure> {
        if self.manner.filter != Filter::all() {
            return Ok(());
        }
        self.console.print(json_line(&joined(json!({"event": "trace"}), event)))
    }

    /// Captures an event and shows it; whether it was one of those that are shown.
    pub(crate) fn print(&mut self, mut event: Event) -> Result<bool, Failure> {
        let is_shown = self.manner.filter.admits(&event);
        if !self.manner.addresses {
            event.mask();
        }
        if let Some(Err(error)) = self.capture.as_mut().map(|capture| capture.put(&event)) {
            self.cut(error);
        }
        if !is_shown {
            return Ok(false);
        }
        if self.manner.json {
            let (text, explained) = (event.kind.to_string(), self.explained(&event.kind));
            self.console.print(json_line(&Told { event: "trace", what: &event, text, explained }))?;
            return Ok(true);
        }
        let mut lines = self.line(&event);
        if let Some(text) = self.explained(&event.kind) {
            lines.push_str(&self.below(text));
        }
        self.console.print(lines)?;
        Ok(true)
    }

    /// A line about the lines around it.
    fn below(&self, text: String) -> String {
        let margin = usize::from(self.manner.many) * TORRENT + 25 + self.peer_width();
        format!("{:margin$}{}\n", "", self.paint.paint(Look::Yellow, text))
    }

    /// The capture can't be written any further: everything else goes on.
    fn cut(&mut self, error: io::Error) {
        let Some(capture) = self.capture.take() else { return };
        let doing = format_args!("{}: the capture ends here", capture.path.display()).to_string();
        if let Err(failure) = Err::<(), _>(error).or_fail(kind::OUTPUT, doing) {
            self.console.error(&failure);
        }
        self.is_cut = true;
    }

    fn line(&mut self, event: &Event) -> String {
        let since = event.at.saturating_sub(self.last.replace(event.at).unwrap_or(event.at));
        let (arrow, look) = match event.kind.direction() {
            Some(Direction::In) => ("->", Look::Green),
            Some(Direction::Out) => ("<-", Look::Cyan),
            None => ("  ", Look::Dim),
        };
        let (at, since) = (event.at.as_secs_f64(), format!("+{:.4}", since.as_secs_f64()));
        let peer = event.kind.who();
        let text = event.kind.to_string();
        let (since, text) = (self.paint.paint(Look::Dim, since), self.paint.paint(look, printable(&text)));
        let aside = event.kind.aside().map(|aside| format!("  ({})", printable(&aside))).unwrap_or_default();
        let aside = self.paint.paint(Look::Dim, aside);
        let torrent = match self.manner.many {
            true if event.torrent == NO_TORRENT => " ".repeat(TORRENT),
            true => event.torrent.to_string().chars().take(TORRENT - 1).chain([' ']).collect(),
            false => String::new(),
        };
        let width = self.peer_width();
        format!("{torrent}{at:>10.4} {since:>9} {peer:<width$} {arrow} {text}{aside}\n")
    }

    /// Columns of who it is: most addresses of IPv4 fit, or `peer 12345`.
    fn peer_width(&self) -> usize {
        if self.manner.addresses { "192.168.100.100:65535".len() } else { 10 }
    }

    /// What a message is for, the first time that one of its kind comes.
    fn explained(&mut self, event: &EventKind) -> Option<String> {
        let told = match event {
            // Of an extension that is not known nobody knows what it is for.
            EventKind::Message { said: Said::Extended { says: Ext::Unknown, .. }, .. } => return None,
            EventKind::Message { said, .. } => explain::message(said.name()),
            EventKind::Handshake { .. } => explain::message("handshake"),
            EventKind::DhtAsked { query, .. } => explain::query(query),
            _ => return None,
        };
        let told = told.filter(|_| self.manner.explain)?;
        let is_new = self.explained.insert(told.name);
        is_new.then(|| format!("{}: \"{}\" (BEP {})", told.name, told.says, told.bep))
    }

    /// The capture ends; whether all of it is in its file, which is said if it is not.
    pub(crate) fn finish(mut self) -> bool {
        if let Some(Err(error)) = self.capture.as_mut().map(|capture| capture.file.flush()) {
            self.cut(error);
        }
        if let Some(capture) = self.capture.take_if(|capture| capture.is_empty()) {
            self.console
                .note(format_args!("{}: nothing was said, so there is no capture", capture.path.display()));
        }
        !self.is_cut
    }
}

impl Capture {
    fn begin(path: &Path, began: Duration) -> Result<Capture, Failure> {
        let (file, is_pipe) = new_file_or_pipe(path).or_fail(kind::OUTPUT, path.display())?;
        let (file, (pcap, head)) = (BufWriter::new(file), Pcap::new(began));
        let mut capture = Capture { pcap, file, path: path.into(), is_pipe, head_len: head.len() as u64 };
        capture.file.write_all(&head).or_fail(kind::OUTPUT, path.display())?;
        Ok(capture)
    }

    fn put(&mut self, event: &Event) -> io::Result<()> {
        self.file.write_all(&self.pcap.packets(event))?;
        if self.is_pipe { self.file.flush() } else { Ok(()) }
    }

    /// Whether nothing was said, or nothing of it could be written. To be asked when all is written that can be.
    fn is_empty(&self) -> bool {
        let file = self.file.get_ref().metadata();
        file.is_ok_and(|file| file.is_file() && file.len() <= self.head_len)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Whoever wants to know of an error has flushed it before.
        let _ = self.file.flush();
        if self.is_empty() {
            // It would be in the way of the next capture.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A new file; or a pipe that is there and read by somebody, as Wireshark does. Whether it is one.
fn new_file_or_pipe(path: &Path) -> io::Result<(File, bool)> {
    match File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !path.metadata()?.file_type().is_fifo() {
                return Err(io::Error::other("it is there already; name a new file"));
            }
            // To wait for a reader would be to wait for ever.
            let pipe = match rustix::fs::open(path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
                Err(Errno::NXIO) => return Err(io::Error::other("nobody reads this pipe")),
                opened => File::from(opened?),
            };
            rustix::fs::fcntl_setfl(&pipe, OFlags::empty())?;
            Ok((pipe, true))
        }
        created => Ok((created?, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Talk;
    use engine::InfoHash;
    use engine::events::{Block, Peer};

    fn printer(paint: Paint, addresses: bool, many: bool) -> Printer {
        let console = Console::new(Talk { verbose: 0, quiet: 0 }, false);
        let filter = Filter::all();
        let manner = Manner { json: false, explain: true, addresses, pcap: None, many, filter };
        Printer { paint, ..Printer::new(&console, manner, None).unwrap() }
    }

    fn message(millis: u64, direction: Direction, said: Said) -> Event {
        let peer = Peer { number: Some(3), addr: Some("192.0.2.7:51413".parse().unwrap()) };
        let kind = EventKind::Message { peer, direction, said, reason: None, took: None };
        let torrent = InfoHash::V1(types::InfoHashV1([0xab; 20]));
        Event { v: VERSION, at: Duration::from_millis(millis), torrent, kind }
    }

    #[test]
    fn lines_are_aligned_and_times_are_since_the_line_before() {
        let block = Block { piece: 7, offset: 0, length: 16384 };
        for (addresses, many, column) in
            [(false, false, 32), (true, false, 43), (false, true, 41), (true, true, 52)]
        {
            let mut printer = printer(Paint::plain(), addresses, many);
            for (millis, since, direction, said, arrow) in [
                (1_500, "+0.0000", Direction::Out, Said::Request(block), "<- request piece 7"),
                (1_750, "+0.2500", Direction::In, Said::Piece(block), "-> piece 7"),
                (99_000, "+97.2500", Direction::In, Said::KeepAlive, "-> keep-alive"),
            ] {
                let mut event = message(millis, direction, said);
                if !addresses {
                    event.mask();
                }
                let line = printer.line(&event);
                assert!(line[column..].starts_with(arrow), "{line}");
                assert_eq!(
                    line[..column].split_whitespace().nth(1 + usize::from(many)),
                    Some(since),
                    "{line}"
                );
                assert!(printer.explained(&event.kind).is_some());
                assert_eq!(printer.explained(&event.kind), None, "it was said");
            }
        }
    }

    #[test]
    fn colours_tell_the_way() {
        let mut printer = printer(Paint::colours(), false, false);
        let line = printer.line(&message(1, Direction::In, Said::Choke));
        assert!(line.ends_with("-> \x1b[32mchoke\x1b[0m\x1b[2m\x1b[0m\n"), "{line:?}");
        let line = printer.line(&message(1, Direction::Out, Said::Choke));
        assert!(
            line.contains("<- \x1b[36mchoke\x1b[0m") && line.contains("\x1b[2m  +0.0000\x1b[0m"),
            "{line:?}"
        );
    }

    #[test]
    fn of_an_extension_that_is_not_known_nothing_is_explained() {
        let mut printer = printer(Paint::plain(), false, false);
        let unknown = Said::Extended { id: 9, payload: vec![1], left_out: 0, says: Ext::Unknown };
        assert_eq!(printer.explained(&message(1, Direction::In, unknown).kind), None);
        let told = printer.explained(&message(1, Direction::In, Said::HaveAll).kind).unwrap();
        assert!(told.contains("(BEP 6)"), "{told}");
    }

    #[test]
    fn a_capture_of_nothing_is_not_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pcapng");
        let mut printer = printer(Paint::plain(), false, false);
        let peer = Peer { number: Some(3), addr: None };
        let mut event = message(1, Direction::In, Said::Choke);
        for (kind, stays) in
            [(EventKind::PeersWanted, false), (EventKind::Connected { peer, outgoing: true }, true)]
        {
            printer.capture = Some(Capture::begin(&path, Duration::ZERO).unwrap());
            event.kind = kind;
            printer.print(event.clone()).unwrap();
            printer.capture = None;
            assert_eq!(path.exists(), stays);
        }
    }

    #[test]
    fn a_capture_that_cannot_be_written_ends_alone() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (pcap, _) = Pcap::new(Duration::ZERO);
        let path = PathBuf::from("/dev/full");
        let capture = Capture { pcap, file: BufWriter::new(full), path, is_pipe: true, head_len: 0 };
        let mut printer = printer(Paint::plain(), false, false);
        printer.manner.filter = "handshake".parse().unwrap();
        printer.capture = Some(capture);
        let peer = Peer { number: Some(3), addr: None };
        let mut event = message(1, Direction::In, Said::Choke);
        event.kind = EventKind::Connected { peer, outgoing: true };
        assert!(!printer.print(event.clone()).unwrap(), "it is not shown");
        assert!(printer.is_cut && printer.capture.is_none());
        assert!(!printer.print(event).unwrap() && !printer.finish());
    }
}
