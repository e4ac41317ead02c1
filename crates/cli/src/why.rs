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
            let (says, advice) = (printable(&cause.says), printable(&cause.advice));
            // A string takes everything.
            let _ = writeln!(text, "{}. {says}\n   {advice}", index + 1);
        }
        console.print(text)?;
        Ok(Exit::Done)
    })
}
