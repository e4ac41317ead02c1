//! The `rawtorrent` binary: each command a module, each module thin, the work done by `engine` (of `scrape` and
//! `dht`: by `net` and the crates `tracker` and `dht`).
//!
//! stdout is data, stderr is talk. A command ends with an [`Exit`], or with a [`Failure`] that is told on one line
//! (and with `--json` as an `error` event).
#![forbid(unsafe_code)]

mod args;
mod chatter;
mod console;
mod create;
mod daemon;
mod demo;
mod descriptors;
mod dht;
mod discord;
mod doctor;
mod download;
mod failure;
mod fetch;
mod import;
mod interrupt;
mod listing;
mod losses;
mod magnet;
mod manual;
mod paint;
mod progress;
mod remote;
mod replay;
mod scrape;
mod seed;
mod seeds;
mod select;
mod session;
mod show;
mod sim;
mod source;
mod stream;
mod tap;
mod terminal;
mod text;
mod token;
mod top;
mod trace;
mod transfer;
mod units;
mod verify;
mod why;

use crate::console::Console;
use args::{Command, CommandLine};
use clap::error::ErrorKind;
use failure::{Exit, Failure, OrFail, kind};

/// Threads that every command may need, beside those of an engine.
const THREADS: usize = 8;

fn main() {
    // Before there is a thread but this one.
    heap::unite();
    descriptors::raise_limit();
    let exit = match CommandLine::read() {
        Ok(line) => run(&line),
        Err(error) => usage(&error),
    };
    std::process::exit(exit.code());
}

fn run(line: &CommandLine) -> Exit {
    let console = Console::new(line.talk, line.command.wants_json());
    if let Err(wrong) = crate::console::start_logging(&console, line.talk) {
        return wrong_usage(&format!("{wrong}; see 'rawtorrent --help'"));
    }
    // Before there is a thread but this one.
    let owned = match &line.command {
        Command::Daemon(_) => crate::daemon::owner::take_over(&console),
        _ => Ok(()),
    };
    let result = owned
        .and_then(|()| engine::threads::ensure(THREADS).map_err(|none| Failure::new(kind::STARTUP, none)));
    let result = result.and_then(|()| match &line.command {
        Command::Download(args) => download::run(args, &console),
        Command::Seed(args) => seed::run(args, &console),
        Command::Create(args) => create::run(args, &console),
        Command::Show(args) => show::run(args, &console),
        Command::Magnet(args) => magnet::run(args, &console),
        Command::Verify(args) => verify::run(args, &console),
        Command::Scrape(args) => scrape::run(args, &console),
        Command::Dht(args) => crate::dht::run(args, &console),
        Command::Sim(args) => crate::sim::run(args, &console),
        Command::Replay(args) => replay::run(args, &console),
        Command::Session(args) => session::run(args, &console),
        Command::Import(args) => import::run(args, &console),
        Command::Export(args) => doctor::export(args, &console),
        Command::Doctor(args) => doctor::run(args, &console),
        Command::Daemon(args) => crate::daemon::run(args, &console),
        Command::Discord(args) => crate::discord::run(args, &console),
        Command::Token(args) => token::run(args, &console),
        Command::Add(args) => remote::add(args, &console),
        Command::List(args) => remote::list(args, &console),
        Command::Info(args) => remote::info(args, &console),
        Command::Files(args) => remote::files(args, &console),
        Command::Peers(args) => remote::peers(args, &console),
        Command::Why(args) => why::run(args, &console),
        Command::Top(args) => top::run(args, &console),
        Command::Trace(args) => tap::run(args, &console),
        Command::Pause(args) => remote::pause(args, &console),
        Command::Resume(args) => remote::resume(args, &console),
        Command::Remove(args) => remote::remove(args, &console),
        Command::Trackers(args) => remote::trackers(args, &console),
        Command::Stream(args) => stream::run(args, &console),
        Command::Queue(args) => remote::queue(args, &console),
        Command::Watch(args) => remote::watch(args, &console),
        Command::Set(args) => remote::set::run(args, &console),
        Command::Move(args) => remote::move_to(args, &console),
        Command::Recheck(args) => remote::recheck(args, &console),
        Command::Reannounce(args) => remote::reannounce(args, &console),
        Command::Completions(args) => manual::completions(args, &console),
        Command::Man(args) => manual::man(args, &console),
        Command::Demo => demo::run(&console),
    });
    let exit = result.unwrap_or_else(|failure| {
        console.failure(&failure);
        failure.exit()
    });
    // Events that could not be written are missed by whoever wanted them.
    if exit == Exit::Done && console.is_output_lost() { Exit::Failed } else { exit }
}

/// Help and version were asked for and go to stdout; everything else is a mistake, told on one line.
fn usage(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that went away wants no more help.
            let _ = error.print();
            Exit::Done
        }
        _ => wrong_usage(&args::usage_line(error)),
    }
}

fn wrong_usage(line: &str) -> Exit {
    use std::io::Write;
    // Nobody is left to hear of an error here.
    let _ = writeln!(std::io::stderr(), "rawtorrent: {line}");
    Exit::Usage
}

/// What a command's async part runs on; the engine has threads of its own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().or_fail(kind::STARTUP, "cannot start")
}
