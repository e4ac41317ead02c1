//! `rawtorrent why`: what holds a torrent of the daemon back.

use crate::args::Id;
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure};
use crate::remote::{client, find, told};
use crate::runtime;
use crate::text::printable;
use std::fmt::Write;

pub(crate) fn run(args: &Id, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    runtime()?.block_on(async {
        let torrent = find(&client, &args.torrent).await?;
        let why = client.why(&torrent.id).await.map_err(told)?;
        if args.remote.json {
            console.print(json_line(&why))?;
            return Ok(Exit::Done);
        }
        let mut text = String::new();
        if why.causes.is_empty() {
            text.push_str("nothing is seen that holds it back\n");
        }
        for (index, cause) in why.causes.iter().enumerate() {
            let (says, advice) = (printable(&cause.says), advice(&cause.advice, &torrent.id));
            // A string takes everything.
            let _ = writeln!(text, "{}. {says}\n   {advice}", index + 1);
        }
        console.print(text)?;
        Ok(Exit::Done)
    })
}

/// What can be done, with the commands in it as they are typed for this torrent.
fn advice(advice: &str, id: &str) -> String {
    let id = id.get(..8).unwrap_or(id);
    printable(advice).replace(" TORRENT ", &[" ", id, " "].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use clap::Parser;

    #[test]
    fn commands_that_are_advised_work_as_written() {
        let cause = engine::Cause::RateLimit { limit: 1, rate: 1 };
        let advice = advice(cause.advice(), "0123456789abcdef0123456789abcdef01234567");
        let commands: Vec<&str> = advice.split('\'').skip(1).step_by(2).collect();
        assert_eq!(commands, ["rawtorrent set 01234567 --max-down none", "rawtorrent set --max-down none"]);
        for command in commands {
            crate::args::CommandLine::try_parse_from(command.split(' ')).unwrap();
        }
    }
}
