//! `magnet`: the link by which a torrent can be had from its peers.

use crate::args;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::source::Source;
use crate::{interrupt, runtime, transfer};
use metainfo::Magnet;

pub(crate) fn run(args: &args::Magnet, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let torrent = runtime()?.block_on(Source::new(&args.torrent).load(transfer::fetch_alone))?;
    console.print(format!("{}\n", Magnet::from(&torrent)))?;
    Ok(Exit::Done)
}
