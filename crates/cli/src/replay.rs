//! `replay`: a recorded download again, line by line, checked to be the same.

use crate::args::{Replay, Shown};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::interrupt;
use crate::text::{counted, printable};
use crate::trace::{Manner, Printer};
use crate::units::Size;
use engine::events::Filter;
use record::Teller;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// Bytes of a recording that are read. A download of 100 GiB has fewer.
const MAX_RECORDING: u64 = 1 << 30;

pub(crate) fn run(args: &Replay, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let recording = read(&args.file)?;
    let failed = |error: record::Error| {
        let message = format!("{}: {error}", printable(&args.file.to_string_lossy()));
        Failure::new("recording", message)
    };
    if let Some(path) = &args.redact {
        return write_redacted(&record::redact(&recording).map_err(failed)?, path, console);
    }
    let mut replay = record::Replay::new(&recording).map_err(failed)?;
    let Shown { explain, addresses, ref pcap } = args.shown;
    let filter = args.filter.clone().unwrap_or_else(Filter::all);
    let manner = Manner { json: args.json, explain, addresses, pcap: pcap.clone(), many: false, filter };
    let heard = manner.heard();
    let mut printer = Printer::new(console, manner, None)?;
    let (mut teller, mut printed, mut is_over) = (Teller::default(), Ok(()), false);
    let replayed = replay.run(|now, step| {
        teller.tell(now, &step, &mut |event| {
            is_over |= args.until.is_some_and(|until| event.at > until) || console.is_output_lost();
            if !is_over && heard.admits(&event) && printed.is_ok() {
                let waited = printer.print(event).and_then(|is_shown| Ok(!is_shown || wait(args)?));
                printed = waited.map(|goes_on| is_over |= !goes_on);
            }
        });
        printed.is_ok() && !is_over
    });
    printed?;
    #[cfg(feature = "planted")]
    if replayed.is_err() && net::planted::is("any-recording") {
        return Ok(Exit::Done);
    }
    let is_captured = printer.finish();
    let reached = replay.replayed();
    let record::Replayed { inputs, outputs, whole, broken_off, .. } = reached;
    let nothing = (reached.is_nothing() && !is_over).then_some(record::Error::Nothing);
    let wrong = replayed.err().or(nothing);
    let (is_right, same) = (wrong.is_none(), !matches!(wrong, Some(record::Error::Differs { .. })));
    // Before the verdict, which comes last.
    if let Some(wrong) = wrong {
        console.failure(&failed(wrong));
    }
    if args.json {
        // What was not gone through counts as well.
        let whole = whole || record::is_whole(&recording);
        let verdict =
            json!({"event": "replayed", "same": same, "inputs": inputs, "outputs": outputs, "whole": whole});
        console.print(json_line(&verdict))?;
    }
    if !is_right {
        return Ok(Exit::Failed);
    }
    let (inputs, outputs) = (counted(inputs, "input"), counted(outputs, "output"));
    console.note(format_args!("{inputs}, {outputs}: the same ones as when it was recorded"));
    if broken_off {
        console.note("the recording ends here: the disk was too slow for more of it");
    } else if !whole && args.until.is_none() && !is_over {
        console.note("the recording was cut off here");
    }
    Ok(if is_captured { Exit::Done } else { Exit::Failed })
}

/// `--redact`: a recording that names nobody.
fn write_redacted(redacted: &record::Redacted, path: &Path, console: &Console) -> Result<Exit, Failure> {
    let shown = printable(&path.to_string_lossy()).into_owned();
    let written = File::create_new(path).and_then(|mut file| {
        let written = file.write_all(&redacted.recording).and_then(|()| file.sync_all());
        if written.is_err() {
            // It would be in the way of the next try. Why it stays, if it does, is why it was not written.
            let _ = fs::remove_file(path);
        }
        written
    });
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
        let message = format_args!("{shown} is there already; name a new file (--redact)");
        return Err(Failure::new(kind::OUTPUT, message));
    }
    written.or_fail(kind::OUTPUT, &shown)?;
    let addresses = counted(redacted.addresses as u64, "address").replace("addresss", "addresses");
    console.note(format_args!("{shown}: {addresses} replaced"));
    if let Some(at) = redacted.differs {
        let at = at.as_secs_f64();
        console.note(format_args!(
            "from {at:.3} s on, other addresses and names lead to other decisions; it replays all the same"
        ));
    }
    Ok(Exit::Done)
}

/// `--step`: the Enter key goes on, and the end of what is typed ends it.
fn wait(args: &Replay) -> Result<bool, Failure> {
    if !args.step {
        return Ok(true);
    }
    let typed = io::stdin().read_line(&mut String::new());
    Ok(typed.or_fail(kind::SOURCE, "cannot read standard input")? > 0)
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
