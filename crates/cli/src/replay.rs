//! `replay`: a recorded download again, line by line, checked to be the same.

use crate::args::Replay;
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::interrupt;
use crate::paint::{Look, Paint};
use crate::text::{counted, printable};
use crate::units::Size;
use record::{Line, Teller, Way};
use serde_json::json;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Bytes of a recording that are read. A download of 100 GiB has fewer.
const MAX_RECORDING: u64 = 1 << 30;

pub(crate) fn run(args: &Replay, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let recording = read(&args.file)?;
    let failed = |error: record::Error| {
        let message = format!("{}: {error}", printable(&args.file.to_string_lossy()));
        Failure::new("recording", message)
    };
    let replay = record::Replay::new(&recording).map_err(failed)?;
    let mut shown = Shown { args, console, paint: Paint::of_stdout(), began: None, last: Duration::ZERO };
    let (mut teller, mut printed) = (Teller::new(args.addresses), Ok(()));
    let replayed = replay.run(|now, step| {
        let at = Duration::from_nanos(now.as_nanos());
        let at = at.saturating_sub(*shown.began.get_or_insert(at));
        if args.until.is_some_and(|until| at > until) || console.is_output_lost() {
            return false;
        }
        if let Some(line) = teller.line(&step) {
            printed = shown.print(at, &line);
        }
        printed.is_ok()
    });
    printed?;
    let replayed = replayed.map_err(failed)?;
    let (inputs, outputs) = (counted(replayed.inputs, "input"), counted(replayed.outputs, "output"));
    console.note(format_args!("{inputs}, {outputs}: the same ones as when it was recorded"));
    if !replayed.whole && args.until.is_none() {
        console.note("the recording was cut off here");
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let doing = format!("cannot read {}", printable(&path.to_string_lossy()));
    let mut recording = Vec::new();
    let file = File::open(path).or_fail(kind::SOURCE, &doing)?;
    let is_long = file.metadata().is_ok_and(|file| file.len() > MAX_RECORDING);
    if !is_long {
        file.take(MAX_RECORDING + 1).read_to_end(&mut recording).or_fail(kind::SOURCE, &doing)?;
    }
    if is_long || recording.len() as u64 > MAX_RECORDING {
        let message = format_args!("{doing}: it is longer than {}", Size(MAX_RECORDING));
        return Err(Failure::new(kind::SOURCE, message));
    }
    Ok(recording)
}

struct Shown<'a> {
    args: &'a Replay,
    console: &'a Console,
    paint: Paint,
    /// When the recording began, on its clock.
    began: Option<Duration>,
    /// When the last line was.
    last: Duration,
}

impl Shown<'_> {
    fn print(&mut self, at: Duration, line: &Line) -> Result<(), Failure> {
        let since = at.saturating_sub(std::mem::replace(&mut self.last, at));
        let text = printable(&line.text);
        if self.args.json {
            let way = line.way.map(|way| if way == Way::In { "in" } else { "out" });
            let told = json!({"at": at.as_secs_f64(), "peer": line.peer, "way": way, "text": text});
            return self.console.print(json_line(&told));
        }
        let (arrow, look) = match line.way {
            Some(Way::In) => ("->", Look::Green),
            Some(Way::Out) => ("<-", Look::Cyan),
            None => ("  ", Look::Dim),
        };
        let (at, since) = (at.as_secs_f64(), format!("+{:.4}", since.as_secs_f64()));
        let (peer, since) = (line.peer.as_deref().unwrap_or_default(), self.paint.paint(Look::Dim, since));
        let text = self.paint.paint(look, text);
        self.console.print(format!("{at:>10.4} {since:>9} {peer:<10} {arrow} {text}\n"))?;
        if self.args.step {
            io::stdin().read_line(&mut String::new()).or_fail(kind::SOURCE, "cannot read standard input")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        File::create(&path).unwrap().set_len(MAX_RECORDING + 1).unwrap();
        assert!(read(&path).unwrap_err().message.ends_with("it is longer than 1.0 GiB"));
    }
}
