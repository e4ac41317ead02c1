//! Events for people and programs: a line each, aligned, with the time since the last one; and as a capture of packets.

use crate::console::{Console, json_line};
use crate::failure::{Failure, OrFail, kind};
use crate::paint::{Look, Paint};
use crate::text::{counted, printable};
use engine::events::{Direction, Event, EventKind, Events, Ext, Said, explain};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
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
}

/// Shows events.
pub(crate) struct Printer {
    console: Console,
    paint: Paint,
    manner: Manner,
    /// What was explained.
    explained: BTreeSet<&'static str>,
    /// When the last one was.
    last: Duration,
    capture: Option<Capture>,
}

struct Capture {
    pcap: Pcap,
    file: BufWriter<File>,
    path: PathBuf,
}

/// An event as a line of JSON.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    #[serde(flatten)]
    what: &'a Event,
    /// The same for people.
    text: String,
}

impl Printer {
    /// `began`: when the time of events is zero, since 1970.
    pub(crate) fn new(console: &Console, manner: Manner, began: Duration) -> Result<Printer, Failure> {
        let capture = manner.pcap.as_ref().map(|path| Capture::begin(path, began)).transpose()?;
        Ok(Printer {
            console: console.clone(),
            paint: Paint::of_stdout(),
            manner,
            explained: BTreeSet::new(),
            last: Duration::ZERO,
            capture,
        })
    }

    /// Shows every event until the engine has shut down.
    pub(crate) async fn follow(mut self, mut events: Events) -> Result<(), Failure> {
        let mut lost = 0;
        while let Some(event) = events.next().await {
            let now = events.lost();
            if now > lost {
                self.console.note(format_args!("({} left out)", counted(now - lost, "event")));
                lost = now;
            }
            self.print(event)?;
            if self.console.is_output_lost() {
                break;
            }
        }
        self.finish()
    }

    pub(crate) fn print(&mut self, mut event: Event) -> Result<(), Failure> {
        if !self.manner.addresses {
            event.mask();
        }
        if let Some(capture) = &mut self.capture {
            capture.put(&event)?;
        }
        let since = event.at.saturating_sub(std::mem::replace(&mut self.last, event.at));
        let text = event.kind.to_string();
        if self.manner.json {
            return self.console.print(json_line(&Told { event: "trace", what: &event, text }));
        }
        let (arrow, look) = match event.kind.direction() {
            Some(Direction::In) => ("->", Look::Green),
            Some(Direction::Out) => ("<-", Look::Cyan),
            None => ("  ", Look::Dim),
        };
        let (at, since) = (event.at.as_secs_f64(), format!("+{:.4}", since.as_secs_f64()));
        let peer = event.kind.peer().map(|peer| peer.to_string()).unwrap_or_default();
        let (since, text) = (self.paint.paint(Look::Dim, since), self.paint.paint(look, printable(&text)));
        let aside = aside(&event.kind).map(|aside| format!("  ({aside})")).unwrap_or_default();
        let aside = self.paint.paint(Look::Dim, aside);
        let torrent = match self.manner.many {
            // As long as git's short hashes: enough to tell a handful of torrents apart.
            true => event.torrent.to_string().chars().take(8).chain([' ']).collect(),
            false => String::new(),
        };
        self.console.print(format!("{torrent}{at:>10.4} {since:>9} {peer:<10} {arrow} {text}{aside}\n"))?;
        self.explain(&event.kind)
    }

    /// Says what a message is for, the first time that one of its kind comes.
    fn explain(&mut self, event: &EventKind) -> Result<(), Failure> {
        let name = match event {
            EventKind::Message { said, .. } => said.name(),
            EventKind::Handshake { .. } => "handshake",
            _ => return Ok(()),
        };
        match explain::message(name) {
            Some(told) if self.manner.explain && self.explained.insert(told.name) => {
                let text = format!("{name}: \"{}\" (BEP {})", told.says, told.bep);
                self.console.print(format!("{:35}{}\n", "", self.paint.paint(Look::Yellow, text)))
            }
            _ => Ok(()),
        }
    }

    /// All of the capture is in its file.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.capture {
            Some(Capture { mut file, path, .. }) => file.flush().or_fail(kind::OUTPUT, path.display()),
            None => Ok(()),
        }
    }
}

/// What stands beside a line: reserved bytes, the time that an answer took, a reason.
fn aside(event: &EventKind) -> Option<String> {
    match event {
        EventKind::Handshake { reserved, .. } => {
            let digits: String = reserved.0.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("reserved {digits}"))
        }
        EventKind::Message { took: Some(took), .. } => {
            Some(format!("after {:.1} ms", took.as_secs_f64() * 1000.0))
        }
        EventKind::Message { reason: Some(reason), .. } => Some(reason.to_string()),
        EventKind::Message { said: Said::Extended { id, says, .. }, .. } if !matches!(says, Ext::Unknown) => {
            Some(format!("extended {id}"))
        }
        _ => None,
    }
}

impl Capture {
    fn begin(path: &Path, began: Duration) -> Result<Capture, Failure> {
        let file = File::create_new(path).or_fail(kind::OUTPUT, path.display())?;
        let (mut file, (pcap, head)) = (BufWriter::new(file), Pcap::new(began));
        file.write_all(&head).or_fail(kind::OUTPUT, path.display())?;
        Ok(Capture { pcap, file, path: path.into() })
    }

    fn put(&mut self, event: &Event) -> Result<(), Failure> {
        let packets = self.pcap.packets(event);
        self.file.write_all(&packets).or_fail(kind::OUTPUT, self.path.display())
    }
}
