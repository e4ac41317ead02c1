//! The command line, defined once: help, environment variables and checks all come from here.

mod config;
mod dht;
mod discord;
pub(crate) mod keep;
mod kept;
mod manual;
mod remote;
mod replay;
mod scrape;
mod session;
mod set;
mod stream;
mod trace;

use crate::select::Selection;
use crate::units;
use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use engine::events::Filter;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use config::{Said, template, usual_config};
pub(crate) use dht::{Action, Dht, Nodes, Options as DhtOptions, Put, hex32};
pub(crate) use discord::{Allow, Discord, DiscordAction, DiscordConfig};
pub(crate) use kept::{Client, Doctor, Export, Import, State};
pub(crate) use manual::{Completions, Man};
pub(crate) use remote::{
    Add, Daemon, Id, Ids, List, Move, Queue, Remote, Remove, Token, TokenAction, Trackers, Watch,
};
pub(crate) use replay::{Replay, Shown};
pub(crate) use scrape::Scrape;
use session::listen;
pub(crate) use session::{Session, default_state_dir};
pub(crate) use set::{All, Each, Hours, Maybe, Set};
pub(crate) use stream::Stream;
pub(crate) use trace::{Top, Trace};

const AFTER_HELP: &str = "\
Sizes are bytes: 10M is 10,000,000, 1.5GiB is 1,610,612,736; rates are sizes per second.

Every option can be set in the environment: --max-down 10M is RAWTORRENT_MAX_DOWN=10M; one that can be repeated takes \
its values there separated by spaces, only RAWTORRENT_SELECT one per line, since names have spaces. Options of dht are \
RAWTORRENT_DHT_TIMEOUT and so on, with commas. A switch takes 1 or 0; an empty variable is none. NO_COLOR turns colours off; RAWTORRENT_LOG is a filter for the log, such as \
engine=debug.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

/// A BitTorrent client: download, seed, create, inspect.
#[derive(Debug, Parser)]
#[command(name = "rawtorrent", version, after_help = AFTER_HELP, arg_required_else_help = false)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) talk: Talk,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Download(Box<Download>),
    Seed(Box<Seed>),
    Create(Create),
    Show(Show),
    Magnet(Magnet),
    Verify(Verify),
    Scrape(Scrape),
    Dht(Box<Dht>),
    Sim(Box<Sim>),
    Replay(Replay),
    Import(Import),
    Export(Export),
    Doctor(Doctor),
    Session(Box<keep::Keep>),
    Daemon(Box<Daemon>),
    Token(Token),
    Discord(Discord),
    Stream(Box<Stream>),
    Add(Add),
    List(List),
    /// Show a torrent of the daemon
    Info(Id),
    /// List the files of a torrent of the daemon
    Files(Id),
    /// List the peers of a torrent of the daemon
    Peers(Id),
    Trackers(Trackers),
    Queue(Queue),
    Watch(Watch),
    Set(Box<Set>),
    /// Tell what holds a torrent of the daemon back, the weightiest cause first, each with its evidence
    Why(Id),
    Trace(Trace),
    Top(Top),
    /// Stop torrents of the daemon until they are resumed
    Pause(Ids),
    /// Go on with torrents of the daemon
    Resume(Ids),
    Remove(Remove),
    Move(Move),
    /// Have everything of torrents of the daemon hashed again
    Recheck(Ids),
    /// Have torrents of the daemon announced out of turn
    Reannounce(Ids),
    Completions(Completions),
    Man(Man),
    /// Watch a torrent arrive, message by message: three sessions on this machine, no network, a few seconds
    Demo,
}

/// How much is said to people, on stderr.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Talk {
    /// Say more: -v what happens, -vv why, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count, env = "RAWTORRENT_VERBOSE")]
    #[arg(display_order = 100, value_parser = times)]
    pub(crate) verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, action = ArgAction::Count, env = "RAWTORRENT_QUIET")]
    #[arg(display_order = 101, value_parser = times, conflicts_with = "verbose")]
    pub(crate) quiet: u8,
}

/// Download torrents; done when all bytes are verified and safely on disk
#[derive(Debug, Args)]
pub(crate) struct Download {
    /// A .torrent file, its http(s) URL, a folder of such files, - for standard input, or a magnet link
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// The folder that the torrents' files and folders go into
    ///
    /// With --metadata-only it may also be the torrent file to write, or - for standard output.
    #[arg(short = 'o', long, value_name = "DIR", default_value = ".", env = "RAWTORRENT_DIR")]
    pub(crate) dir: PathBuf,
    /// Only some files: 0,3-5 (numbers as --list shows them) or a glob such as '*.iso'; may be repeated
    ///
    /// A glob is compared with the whole path, with the path inside the torrent's folder, and with the file's
    /// name; * also matches /.
    #[arg(long, value_name = "FILES", value_delimiter = '\n', env = "RAWTORRENT_SELECT")]
    #[arg(value_parser = Selection::parse)]
    pub(crate) select: Vec<Selection>,
    /// Fetch each torrent from its beginning to its end, not its rarest pieces first
    #[arg(long, env = "RAWTORRENT_SEQUENTIAL", value_parser = switch)]
    pub(crate) sequential: bool,
    /// List the files and their numbers, and download nothing
    #[arg(long, env = "RAWTORRENT_LIST", value_parser = switch)]
    pub(crate) list: bool,
    /// Fetch what a magnet link names from its peers, save it as a .torrent file, and download nothing else
    ///
    /// A torrent that is there already is replaced; any other file is left alone.
    #[arg(long, env = "RAWTORRENT_METADATA_ONLY", value_parser = switch, conflicts_with = "list")]
    pub(crate) metadata_only: bool,
    /// Go on seeding after completion, until interrupted or a seeding goal is reached
    #[arg(long, env = "RAWTORRENT_SEED", value_parser = switch)]
    pub(crate) seed: bool,
    #[command(flatten)]
    pub(crate) goal: Goal,
    /// Write into files that stand in the way, even if they hold nothing of the torrent
    #[arg(long, env = "RAWTORRENT_OVERWRITE", value_parser = switch)]
    pub(crate) overwrite: bool,
    /// Reserve no disk space ahead, or all of it
    #[arg(long, value_name = "HOW", default_value = "sparse", env = "RAWTORRENT_ALLOCATE")]
    pub(crate) allocate: Allocate,
    /// Write down all that peers say and that is decided, into a new file that 'rawtorrent replay' reads
    ///
    /// For one SOURCE. The file holds no payload, but addresses of peers.
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_RECORD", conflicts_with = "list")]
    pub(crate) record: Option<PathBuf>,
    /// Print all that is said and done, a line each; or only some of it, as --trace=handshake,request,peer=3,in
    ///
    /// Terms are kinds of events, messages, in or out, peer= a number or address, torrent= the first digits of an info-hash.
    #[arg(long, value_name = "FILTER", env = "RAWTORRENT_TRACE", value_parser = replay::filter)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with = "list")]
    pub(crate) trace: Option<Filter>,
    #[command(flatten)]
    pub(crate) shown: Shown,
    #[command(flatten)]
    pub(crate) session: Session,
}

/// Verify what is there and seed it until interrupted or a seeding goal is reached
#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// A .torrent file, its http(s) URL, a folder of such files, or - for standard input
    #[arg(required = true, value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    /// The folder that holds the torrents' files or folders
    #[arg(long, value_name = "DIR", env = "RAWTORRENT_DATA")]
    pub(crate) data: PathBuf,
    /// Give each piece to one peer first (BEP 16): for the only seed of a new torrent, with a slow line
    #[arg(long, env = "RAWTORRENT_SUPER_SEED", value_parser = switch)]
    pub(crate) super_seed: bool,
    #[command(flatten)]
    pub(crate) goal: Goal,
    #[command(flatten)]
    pub(crate) session: Session,
}

/// Make a v1 torrent from a file or a folder
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The file or folder to share
    pub(crate) path: PathBuf,
    /// A tracker's URL; repeated, each is a tier of its own
    #[arg(short, long, value_name = "URL", value_delimiter = ' ', env = "RAWTORRENT_ANNOUNCE")]
    #[arg(value_parser = tracker_url)]
    pub(crate) announce: Vec<String>,
    /// Where to write the torrent, - for standard output [default: NAME.torrent in this folder]
    ///
    /// A torrent that is there already is replaced; any other file is left alone.
    #[arg(short, long, value_name = "FILE", env = "RAWTORRENT_OUTPUT")]
    pub(crate) output: Option<PathBuf>,
    /// Bytes per piece, a power of two such as 256KiB [default: chosen by size]
    #[arg(long, value_name = "N", env = "RAWTORRENT_PIECE_LENGTH", value_parser = piece_length)]
    pub(crate) piece_length: Option<u32>,
    /// Ask clients to find peers through the trackers only (BEP 27)
    #[arg(long, env = "RAWTORRENT_PRIVATE", value_parser = switch)]
    pub(crate) private: bool,
    /// A comment for people
    #[arg(long, value_name = "S", env = "RAWTORRENT_COMMENT")]
    pub(crate) comment: Option<String>,
    /// A URL where the content can be had by HTTP (BEP 19); may be repeated
    #[arg(long, value_name = "URL", value_delimiter = ' ', env = "RAWTORRENT_WEB_SEED")]
    #[arg(value_parser = web_seed_url)]
    pub(crate) web_seed: Vec<String>,
}

/// Show what is in a torrent, or what a magnet link says
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A .torrent file, its http(s) URL, - for standard input, or a magnet link (nothing is fetched)
    pub(crate) torrent: String,
    /// One JSON object instead of text
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
}

/// Print the magnet link of a torrent
#[derive(Debug, Args)]
pub(crate) struct Magnet {
    /// A .torrent file, its http(s) URL, or - for standard input
    pub(crate) torrent: String,
}

/// Check which pieces and files on disk are good; exit code 1 unless all are
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A .torrent file, its http(s) URL, or - for standard input
    pub(crate) torrent: String,
    /// The folder that holds the torrent's file or folder
    #[arg(long, value_name = "DIR", env = "RAWTORRENT_DATA")]
    pub(crate) data: PathBuf,
    /// One JSON object instead of text
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
}

/// Simulate a swarm or a DHT: real logic, virtual lines and time, one seed
///
/// Scenarios: flash-crowd, steady, slow-seed, heterogeneous, free-riders, poisoned, partition, streaming, chaos; dht.
#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// What kind of swarm, or dht
    #[arg(default_value = "flash-crowd", value_parser = scenario, env = "RAWTORRENT_SCENARIO")]
    pub(crate) scenario: Scenario,
    /// A swarm from a file (JSON) instead
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_FILE")]
    #[arg(conflicts_with = "scenario")]
    pub(crate) file: Option<PathBuf>,
    /// Peers that begin with nothing [default: 100, fewer in some scenarios]
    #[arg(long, value_name = "N", env = "RAWTORRENT_PEERS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) peers: Option<u32>,
    /// Peers that have everything [default: 1]
    #[arg(long, value_name = "N", env = "RAWTORRENT_SEEDS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) seeds: Option<u32>,
    /// The content [default: 100MiB, less in some scenarios]
    #[arg(long, value_name = "SIZE", env = "RAWTORRENT_SIZE", value_parser = units::parse_size)]
    pub(crate) size: Option<u64>,
    /// Bytes per piece, a power of two [default: 256KiB; streaming: 1MiB]
    #[arg(long, value_name = "N", env = "RAWTORRENT_PIECE_LENGTH", value_parser = piece_length)]
    pub(crate) piece_length: Option<u32>,
    /// What a peer can send [default: 1M]
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_UP", value_parser = units::parse_rate)]
    pub(crate) up: Option<u64>,
    /// What a peer can receive [default: four times --up]
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_DOWN", value_parser = units::parse_rate)]
    pub(crate) down: Option<u64>,
    /// Connections of a peer at most [default: 50]
    #[arg(long, value_name = "N", env = "RAWTORRENT_NEIGHBOURS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) neighbours: Option<u32>,
    /// The shortest and the longest round trip between two peers [default: 40-200ms]
    #[arg(long, value_name = "MIN-MAXms", env = "RAWTORRENT_RTT", value_parser = round_trips)]
    pub(crate) rtt: Option<(Duration, Duration)>,
    /// Of a hundred peers, how many crash or leave in a minute, to come back later [default: 0; dht: 2, others come]
    #[arg(long, value_name = "PERCENT", env = "RAWTORRENT_CHURN")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) churn: Option<u32>,
    /// Of a thousand packets, how many are lost [default: 0; dht: 10]
    #[arg(long, value_name = "PERMILLE", env = "RAWTORRENT_LOSS")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=500))]
    pub(crate) loss: Option<u32>,
    /// Nodes of the DHT [default: 10,000]
    #[arg(long, value_name = "N", env = "RAWTORRENT_NODES", value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub(crate) nodes: Option<u32>,
    /// Nodes of one /24 that try to hide a torrent in the DHT [default: 1,000]
    #[arg(long, value_name = "N", env = "RAWTORRENT_HOSTILE", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) hostile: Option<u32>,
    /// Peers that send wrong blocks, in the scenario poisoned [default: 5]
    #[arg(long, value_name = "N", env = "RAWTORRENT_LIARS")]
    pub(crate) liars: Option<u32>,
    /// Seeds reveal their pieces one by one (BEP 16)
    #[arg(long, env = "RAWTORRENT_SUPER_SEED", value_parser = switch)]
    pub(crate) super_seed: bool,
    /// The seed of the first run
    #[arg(long, value_name = "S", default_value_t = 1, env = "RAWTORRENT_SEED")]
    pub(crate) seed: u64,
    /// How many runs, each with the next seed; medians are shown
    #[arg(long, value_name = "N", default_value_t = 1, env = "RAWTORRENT_RUNS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) runs: u32,
    /// Run every seed twice and fail unless both do the same
    #[arg(long, env = "RAWTORRENT_TWICE", value_parser = switch)]
    pub(crate) twice: bool,
    /// Recount what brains count after every step, or (much faster) after one of 10,007 [default: every step up to 100 peers]
    #[arg(long, value_name = "WHEN", value_enum, env = "RAWTORRENT_CHECK")]
    pub(crate) check: Option<Check>,
    /// Draw who was complete when, as SVG
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_PLOT")]
    pub(crate) plot: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
}

/// When to stop seeding; where both are given, what comes first.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Goal {
    /// Seed until this many times the torrent's size is uploaded
    #[arg(long, value_name = "R", env = "RAWTORRENT_SEED_RATIO", value_parser = ratio)]
    #[arg(allow_negative_numbers = true)] // refused with a better line
    pub(crate) seed_ratio: Option<f64>,
    /// Seed for this long: 90s, 30m, 1h30m
    #[arg(long, value_name = "TIME", env = "RAWTORRENT_SEED_TIME", value_parser = units::parse_duration)]
    pub(crate) seed_time: Option<Duration>,
}

/// When a simulation recounts what its brains count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    Every,
    Sampled,
}

/// How files come to be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allocate {
    Sparse,
    Full,
}

impl CommandLine {
    /// Reads the command line and the environment.
    pub(crate) fn read() -> Result<CommandLine, clap::Error> {
        CommandLine::read_from(&std::env::args_os().collect::<Vec<_>>())
    }

    /// Reads a line, its first word the program's, and the environment.
    fn read_from(words: &[OsString]) -> Result<CommandLine, clap::Error> {
        let command = CommandLine::command().mut_args(without_unset_variable).mut_subcommands(|command| {
            let command = command.mut_args(without_unset_variable);
            command.mut_subcommands(|command| command.mut_args(without_unset_variable))
        });
        let line = CommandLine::from_arg_matches(&command.clone().try_get_matches_from(words)?)?;
        let Command::Daemon(daemon) = &line.command else { return Ok(line) };
        // What the file says are defaults: so the line is read again, with them.
        let wrong = |what| CommandLine::command().error(ErrorKind::ValueValidation, what);
        let (config, hooks) = config::read(daemon.config.as_deref()).map_err(wrong)?;
        let matches = config::with(command, &config).try_get_matches_from(words)?;
        let mut line = CommandLine::from_arg_matches(&matches)?;
        if let (Command::Daemon(daemon), Some(matches)) =
            (&mut line.command, matches.subcommand_matches("daemon"))
        {
            daemon.said = config::said(matches);
            daemon.hooks = hooks;
        }
        Ok(line)
    }
}

impl Daemon {
    /// What a daemon in that state folder is told by its configuration and the environment.
    pub(crate) fn in_process(state_dir: &Path) -> Result<Daemon, clap::Error> {
        let words = ["rawtorrent", "daemon", "--state-dir"].map(OsString::from).into_iter();
        let line = CommandLine::read_from(&words.chain([state_dir.into()]).collect::<Vec<_>>())?;
        match line.command {
            Command::Daemon(daemon) => Ok(*daemon),
            _ => Err(CommandLine::command().error(ErrorKind::InvalidSubcommand, "it is no daemon")),
        }
    }
}

/// To clap an empty variable is a value, and a switch that is off there is one that was given.
fn without_unset_variable(arg: Arg) -> Arg {
    let Some(value) = arg.get_env().and_then(std::env::var_os) else { return arg };
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count);
    let is_off = || value.to_str().is_some_and(|text| switch(text) == Ok(false));
    if value.is_empty() || is_switch && is_off() { arg.env(Resettable::Reset) } else { arg }
}

/// A usage error of clap's on one line.
pub(crate) fn usage_line(error: &clap::Error) -> String {
    let (said, usage) = said(error);
    format!("{said}; see '{usage}'")
}

/// What is wrong, on one line, with what it suggests in brackets; and where to read more.
pub(crate) fn said(error: &clap::Error) -> (String, String) {
    let text = error.render().to_string();
    let mut said = Vec::new();
    let mut usage = "rawtorrent --help".to_owned();
    for paragraph in text.split("\n\n") {
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(line) = line.strip_prefix("error: ") {
            said.push(line.to_owned());
        } else if let Some(line) = line.strip_prefix("Usage: ") {
            let words = line.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
            usage = words.chain(["--help"]).collect::<Vec<_>>().join(" ");
        } else if let Some(line) = line.strip_prefix("tip: ") {
            said.push(format!("({line})"));
        }
    }
    (said.join(" "), usage)
}

impl Command {
    /// Whether stdout is for programs.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Command::Download(args) => args.session.json,
            Command::Seed(args) => args.session.json,
            Command::Show(args) => args.json,
            Command::Verify(args) => args.json,
            Command::Scrape(args) => args.json,
            Command::Dht(args) => args.action.options().json,
            Command::Sim(args) => args.json,
            Command::Replay(args) => args.json,
            Command::Import(args) => args.state.json,
            Command::Export(args) => args.state.json,
            Command::Doctor(args) => args.state.json,
            Command::Daemon(args) => args.session.json,
            Command::Token(args) => args.json,
            Command::Add(args) => args.remote.json,
            Command::List(args) => args.remote.json,
            Command::Set(args) => args.remote.json,
            Command::Trackers(args) => args.remote.json,
            Command::Queue(args) => args.remote.json,
            Command::Watch(args) => args.remote.json,
            Command::Move(args) => args.remote.json,
            Command::Stream(args) => args.session.json,
            Command::Info(args) | Command::Files(args) | Command::Peers(args) | Command::Why(args) => {
                args.remote.json
            }
            Command::Trace(args) => args.remote.json,
            Command::Top(args) => args.remote.json,
            Command::Remove(args) => args.which.remote.json,
            Command::Pause(args)
            | Command::Resume(args)
            | Command::Recheck(args)
            | Command::Reannounce(args) => args.remote.json,
            Command::Create(_)
            | Command::Discord(_)
            | Command::Magnet(_)
            | Command::Session(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Demo => false,
        }
    }
}

/// Whether a path on the command line means standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Seconds with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "write seconds, as 2.5".into())
}

/// What a switch may be set to in the environment.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("write 1 or 0, yes or no, true or false, on or off".into()),
    }
}

/// A switch that may be given several times.
fn times(text: &str) -> Result<u8, String> {
    text.parse().or_else(|_| switch(text).map(u8::from))
}

/// What can be simulated by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scenario {
    Swarm(::sim::Scenario),
    Dht,
}

fn scenario(text: &str) -> Result<Scenario, String> {
    if text == "dht" {
        return Ok(Scenario::Dht);
    }
    let found = ::sim::Scenario::ALL.iter().find(|(name, _)| *name == text);
    found.map(|&(_, scenario)| Scenario::Swarm(scenario)).ok_or_else(|| {
        let names: Vec<&str> = ::sim::Scenario::ALL.iter().map(|(name, _)| *name).collect();
        format!("there are {}, dht", names.join(", "))
    })
}

/// `40-200ms`, or one number for both.
fn round_trips(text: &str) -> Result<(Duration, Duration), String> {
    let numbers = text.strip_suffix("ms").unwrap_or(text);
    let (least, most) = numbers.split_once('-').unwrap_or((numbers, numbers));
    match (least.trim().parse(), most.trim().parse()) {
        (Ok(least), Ok(most)) if least <= most && most <= 60_000 => {
            Ok((Duration::from_millis(least), Duration::from_millis(most)))
        }
        _ => Err(format!("'{text}' is not MIN-MAXms, of at most 60000; write 40-200ms")),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|r: &f64| r.is_finite() && *r >= 0.0);
    ratio.ok_or_else(|| format!("'{text}' is not a ratio; write 1 or 2.5"))
}

/// A power of two from 16 KiB, a block, to 64 MiB: larger pieces take other clients too much memory.
fn piece_length(text: &str) -> Result<u32, String> {
    const ALLOWED: std::ops::RangeInclusive<u32> = 1 << 14..=1 << 26;
    let bytes = units::parse_size(text)?;
    let wrong = |hint: String| Err(format!("a piece length is a power of two from 16KiB to 64MiB{hint}"));
    match u32::try_from(bytes) {
        Ok(length) if length.is_power_of_two() && ALLOWED.contains(&length) => Ok(length),
        Ok(length) if ALLOWED.contains(&length) => {
            let near = length.checked_next_power_of_two().unwrap_or(*ALLOWED.end());
            wrong(format!("; {text} is {length} bytes, {}KiB would be {near}", near / 1024))
        }
        _ => wrong(String::new()),
    }
}

fn tracker_url(text: &str) -> Result<String, String> {
    url(text, &["http", "https", "udp", "ws", "wss"])
}

fn web_seed_url(text: &str) -> Result<String, String> {
    url(text, &["http", "https", "ftp"])
}

/// Checks what would make a torrent useless; the rest of a URL is the tracker's or server's business.
fn url(text: &str, schemes: &[&str]) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    if !schemes.contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(format!("'{text}' is not a URL that starts with {}://", schemes.join("://, ")));
    }
    if rest.is_empty() || rest.starts_with(['/', ':', '?', '#']) {
        return Err(format!("'{text}' names no host"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("{text:?} has a space or control character in it"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn parse(line: &[&str]) -> Result<Command, clap::Error> {
        CommandLine::try_parse_from([&["rawtorrent"], line].concat()).map(|line| line.command)
    }

    fn error(line: &[&str]) -> String {
        usage_line(&parse(line).unwrap_err())
    }

    #[test]
    fn the_definition_holds_together() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_option_has_its_variable() {
        let command = CommandLine::command();
        let mut seen = 0;
        for of in command.get_subcommands().chain([&command]) {
            // What the daemon is told in the environment must not be told every torrent too.
            let own = format!("RAWTORRENT_{}_", of.get_name().to_uppercase());
            for arg in of.get_arguments() {
                let Some(long) = arg.get_long().filter(|&long| long != "help" && long != "version") else {
                    continue;
                };
                let long = long.to_uppercase().replace('-', "_");
                let env = arg.get_env().and_then(|env| env.to_str());
                // As everybody calls a bot's token.
                let expected =
                    [format!("RAWTORRENT_{long}"), format!("{own}{long}"), format!("DISCORD_{long}")];
                assert!(expected.iter().any(|expected| env == Some(expected)), "--{long}: {env:?}");
                seen += 1;
            }
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn options_of_dht_have_variables_of_their_own() {
        let command = CommandLine::command();
        let dht = command.find_subcommand("dht").unwrap();
        for arg in dht.get_subcommands().flat_map(clap::Command::get_arguments) {
            let Some(long) = arg.get_long().filter(|&long| long != "help") else { continue };
            let expected = match long {
                "json" => "RAWTORRENT_JSON".into(),
                long => format!("RAWTORRENT_DHT_{}", long.to_uppercase().replace('-', "_")),
            };
            assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(expected.as_str()), "--{long}");
        }
    }

    #[test]
    fn a_list_in_a_variable_is_split_in_one_way_by_all_commands() {
        fn note(command: &clap::Command, seen: &mut BTreeMap<std::ffi::OsString, Option<char>>) {
            for arg in command.get_arguments().filter(|arg| matches!(arg.get_action(), ArgAction::Append)) {
                let Some(env) = arg.get_env() else { continue };
                let split = *seen.entry(env.to_owned()).or_insert(arg.get_value_delimiter());
                assert_eq!(split, arg.get_value_delimiter(), "{env:?} of {}", command.get_name());
            }
            command.get_subcommands().for_each(|command| note(command, seen));
        }
        note(&CommandLine::command(), &mut BTreeMap::new());
        for command in [&["download", "x", "--dht-bootstrap"][..], &["dht", "lookup", "x", "--bootstrap"]] {
            parse(&[command, &["a:1,b:2"]].concat()).unwrap();
            parse(&[command, &["a:1 b:2"]].concat()).unwrap();
        }
    }

    #[test]
    fn reads_a_full_download() {
        let line = "download a.torrent - -o d --select 0,3-5 --select *.iso --seed --seed-ratio 1.5 --seed-time 1h30m \
                    --peer 1.2.3.4:5 --peer [::1]:6 --listen [::]:0 --max-down 10M --max-up 1.5MiB --max-peers 50 \
                    --no-trackers --no-pex --no-lsd --json --allocate full --overwrite --sequential --state-dir s";
        let Ok(Command::Download(args)) = parse(&line.split_whitespace().collect::<Vec<_>>()) else {
            panic!()
        };
        assert_eq!(args.sources, ["a.torrent", "-"]);
        assert_eq!(args.dir, Path::new("d"));
        assert_eq!(args.select.len(), 2);
        assert!(
            args.seed
                && args.overwrite
                && args.sequential
                && args.session.no_trackers
                && args.session.no_pex
                && args.session.no_lsd
                && args.session.json
                && !args.list
        );
        assert_eq!((args.goal.seed_ratio, args.goal.seed_time), (Some(1.5), Some(Duration::from_secs(5400))));
        assert_eq!(args.session.peer, ["1.2.3.4:5".parse().unwrap(), "[::1]:6".parse().unwrap()]);
        assert_eq!(args.session.listen, ["[::]:0".parse().unwrap()]);
        assert_eq!((args.session.max_down, args.session.max_up), (Some(10_000_000), Some(1_572_864)));
        assert_eq!((args.session.max_peers, args.allocate), (Some(50), Allocate::Full));
        assert_eq!(args.session.state_dir(), Some(PathBuf::from("s")));
    }

    #[test]
    fn usage_errors_are_one_line_that_helps() {
        for (line, expected) in [
            (
                &["download"][..],
                "the following required arguments were not provided: <SOURCE>...; see 'rawtorrent download --help'",
            ),
            (
                &["download", "x", "--jso"],
                "unexpected argument '--jso' found (a similar argument exists: '--json'); see 'rawtorrent download --help'",
            ),
            (&["upload"], "unrecognized subcommand 'upload'; see 'rawtorrent --help'"),
            (
                &["seed", "x"],
                "the following required arguments were not provided: --data <DIR>; see 'rawtorrent seed --help'",
            ),
        ] {
            assert_eq!(error(line), expected);
        }
        for (line, part) in [
            (&["download", "x", "--peer", "host:1"][..], "[2001:db8::1]:6881"),
            (&["download", "x", "--peer", "1.2.3.4:0"], "port 0"),
            (&["download", "x", "--listen", "6881"], "0.0.0.0:6881"),
            (&["download", "x", "--max-down", "fast"], "'fast' is not a size"),
            (&["download", "x", "--max-peers", "0"], "0 is not in 1..=65535"),
            (&["download", "x", "--seed-ratio", "NaN"], "not a ratio"),
            (&["download", "x", "--seed-ratio", "-1"], "'-1' is not a ratio; write 1 or 2.5"),
            (&["download", "x", "--seed-time", "30"], "'30' has no unit; write 30s, 30m, 30h or 30d"),
            (&["download", "x", "--select", "5-3"], "5-3"),
            (&["create", "x", "--piece-length", "256K"], "256KiB would be 262144"),
            (&["create", "x", "--piece-length", "18"], "from 16KiB to 64MiB"),
            (&["create", "x", "--piece-length", "128MiB"], "from 16KiB to 64MiB"),
            (&["create", "x", "-a", "tracker.example"], "is not a URL that starts with http://"),
            (&["create", "x", "-a", "udp://:80"], "names no host"),
            (&["create", "x", "--web-seed", "udp://host"], "http://, https://, ftp://"),
            (&["download", "x", "-q", "-v"], "cannot be used with"),
            (&["scrape"], "<SOURCE>..."),
            (&["scrape", "x", "--tracker", "wss://t"], "wss trackers are not supported"),
            (&["scrape", "x", "--tracker", "http://169.254.169.254/announce"], "must not be asked"),
            (&["demo", "x"], "unexpected argument 'x'"),
            (&["dht", "get", "abc"], "'abc' is not a target of 40 hex digits"),
            (&["dht", "get"], "see 'rawtorrent dht get --help'"),
            (&["dht", "get", "--key", "12"], "expected 64 hex digits"),
            (&["dht", "put"], "see 'rawtorrent dht put --help'"),
            (&["dht", "put", "x", "--seq", "1"], "--secret <FILE>"),
            (&["dht", "put", "x", "--secret", "a", "--new-secret", "b"], "cannot be used with"),
            (&["dht", "announce", "x"], "--port <N>"),
            (&["dht", "lookup", "x", "--bootstrap", "host"], "is not HOST:PORT"),
        ] {
            let error = error(line);
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_seed_may_hide_what_it_has() {
        for (line, hides) in [
            (&["seed", "x", "--data", "."][..], false),
            (&["seed", "x", "--data", ".", "--super-seed"], true),
        ] {
            let Ok(Command::Seed(args)) = parse(line) else { panic!("{line:?}") };
            assert_eq!(args.super_seed, hides);
        }
    }

    #[test]
    fn piece_lengths_at_their_bounds() {
        assert_eq!((piece_length("16KiB"), piece_length("64MiB")), (Ok(1 << 14), Ok(1 << 26)));
        assert!(piece_length("8KiB").is_err());
    }

    #[test]
    fn state_goes_where_xdg_says() {
        let with = |vars: &[(&str, &str)]| {
            default_state_dir(|name| vars.iter().find(|var| var.0 == name).map(|var| var.1.into()))
        };
        assert_eq!(with(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/rawtorrent".into()));
        assert_eq!(
            with(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]),
            Some("/h/.local/state/rawtorrent".into())
        );
        assert_eq!(with(&[("HOME", "")]), None);
    }
}
