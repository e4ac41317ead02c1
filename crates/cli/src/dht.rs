//! `dht`: lookups shown hop by hop, announces, scrapes, samples, and items (BEP 5, 33, 44, 51).

mod secret;
mod step;
mod walker;

use crate::args::{self, Action, is_dash};
use crate::console::Console;
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::source::Source;
use crate::text::{counted, printable};
use crate::{interrupt, runtime, transfer};
use ::dht::limits::MAX_ITEM_LEN;
use ::dht::{Command, ImmutableItem, MutableItem, NodeId, Scrape, mutable_target, public_key};
use api::units::hex;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use step::Line;
use types::{InfoHashV1, InfoHashV2};
use walker::{Found, View, Walker};

pub(crate) fn run(args: &args::Dht, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let runtime = runtime()?;
    let done = runtime.block_on(act(&args.action, console));
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    done.map(|()| Exit::Done)
}

async fn act(action: &Action, console: &Console) -> Result<(), Failure> {
    let options = action.options();
    let view = match action {
        _ if options.json => View::Json,
        Action::Lookup(_) => View::Picture,
        _ if console.verbose() > 0 => View::Talk,
        _ => View::Nothing,
    };
    let walker = || Walker::new(options, view, console);
    match action {
        Action::Lookup(args) => {
            let info_hash = torrent(&args.torrent).await?.info_hash;
            look_up(&mut walker().await?, info_hash, console, view).await
        }
        Action::Announce(args) => {
            let Torrent { info_hash, is_private } = torrent(&args.torrent).await?;
            if is_private {
                let message = "a private torrent is not announced in the DHT (BEP 27)";
                return Err(Failure::new(kind::UNSUPPORTED, message).of(&info_hash.to_string()));
            }
            let (ports, seed) = ([args.port.get(); 2], args.seed);
            let command = Command::Announce { info_hash, ports, implied_port: false, seed };
            let found = walker().await?.look_up(&command).await?;
            stored(&found, console)
        }
        Action::Scrape(args) => {
            let info_hash = torrent(&args.torrent).await?.info_hash;
            scrape(&mut walker().await?, info_hash, console, view).await
        }
        Action::Sample(args) => {
            let target = args.target.map_or_else(|| secret::random().map(NodeId), Ok)?;
            sample(&mut walker().await?, target, console, view).await
        }
        Action::Get(args) => {
            let salt = args.salt.as_bytes();
            let target = args.key.map(|key| mutable_target(&key, salt)).or(args.target);
            let target = target.expect("clap wants one of them");
            get(&mut walker().await?, target, salt, console, view).await
        }
        Action::Put(args) => {
            let value = value(args)?;
            match signer(args)? {
                None => put(&mut walker().await?, value, console, view).await,
                Some(seed) => put_signed(&mut walker().await?, args, &seed, value, console, view).await,
            }
        }
    }
}

/// What is to be looked up of a torrent.
struct Torrent {
    info_hash: InfoHashV1,
    is_private: bool,
}

async fn torrent(text: &str) -> Result<Torrent, Failure> {
    let public = |info_hash| Ok(Torrent { info_hash, is_private: false });
    if let Ok(hash) = text.parse::<InfoHashV1>() {
        return public(hash);
    }
    if let Ok(hash) = text.parse::<InfoHashV2>() {
        return public(hash.truncated());
    }
    let source = Source::new(text);
    if let Some(magnet) = source.magnet()? {
        return public(magnet.info_hash.wire());
    }
    let torrent = source.load(transfer::fetch_alone).await?;
    Ok(Torrent { info_hash: torrent.info_hash().wire(), is_private: torrent.is_private() })
}

async fn look_up(
    walker: &mut Walker<'_>,
    info_hash: InfoHashV1,
    console: &Console,
    view: View,
) -> Result<(), Failure> {
    let found = walker.look_up(&Command::GetPeers { info_hash, noseed: false }).await?;
    if view == View::Json {
        return Ok(());
    }
    let peers: String = found.peers.iter().map(|peer| format!("peer {peer}\n")).collect();
    let bits = found.bits.map_or(String::new(), |bits| format!("; the closest node shares {bits} bits"));
    let queries = found.outcome.queries;
    console.print(format!(
        "{peers}{}, {}, {} and {} in {:.3} s{bits}\n",
        counted(found.peers.len() as u64, "peer"),
        counted(found.outcome.hops.into(), "hop"),
        if queries == 1 { "1 query".into() } else { format!("{queries} queries") },
        counted(found.outcome.answers as u64, "answer"),
        found.at.as_secs_f64(),
    ))
}

async fn scrape(
    walker: &mut Walker<'_>,
    info_hash: InfoHashV1,
    console: &Console,
    view: View,
) -> Result<(), Failure> {
    let found = walker.look_up(&Command::Scrape { info_hash }).await?;
    if view != View::Json {
        let Scrape { seeds, peers, nodes } = found.scrape();
        console.print(format!("seeds {seeds:.0}\ndownloaders {peers:.0}\n"))?;
        console.note(format_args!("estimated from the answers of {}", counted(nodes as u64, "node")));
    }
    Ok(())
}

async fn sample(
    walker: &mut Walker<'_>,
    target: NodeId,
    console: &Console,
    view: View,
) -> Result<(), Failure> {
    let found = walker.look_up(&Command::Sample { target }).await?;
    if view != View::Json {
        console.print(found.torrents.iter().map(|hash| format!("{hash}\n")).collect::<String>())?;
        let torrents = counted(found.torrents.len() as u64, "torrent");
        console.note(format_args!("{torrents} near {target}, in {:.3} s", found.at.as_secs_f64()));
    }
    Ok(())
}

/// An item as it was found.
#[derive(Debug)]
struct Item {
    /// As it is bencoded.
    value: Vec<u8>,
    /// Of a mutable one.
    key: Option<[u8; 32]>,
    seq: Option<i64>,
}

impl From<ImmutableItem> for Item {
    fn from(item: ImmutableItem) -> Item {
        Item { value: item.value, key: None, seq: None }
    }
}

impl From<MutableItem> for Item {
    fn from(item: MutableItem) -> Item {
        Item { value: item.value, key: Some(item.key), seq: Some(item.seq) }
    }
}

impl Item {
    /// What the value is if it is a string, else as it is bencoded.
    fn content(&self) -> &[u8] {
        let digits = self.value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_string = bencode::decode(&self.value).is_ok_and(|value| value.root().as_bytes().is_some());
        if is_string { &self.value[digits + 1..] } else { &self.value }
    }

    /// The string, if it is one and text.
    fn text(&self) -> Option<&str> {
        let is_string = self.value.first().is_some_and(u8::is_ascii_digit);
        std::str::from_utf8(self.content()).ok().filter(|_| is_string)
    }
}

async fn get(
    walker: &mut Walker<'_>,
    target: NodeId,
    salt: &[u8],
    console: &Console,
    view: View,
) -> Result<(), Failure> {
    let found = walker.look_up(&Command::Get { target, salt: salt.to_vec() }).await?;
    let Some(item) = &found.item else {
        let asked = counted(found.outcome.answers as u64, "node");
        let message =
            format!("nothing is stored as {target}, say {asked} (a mutable item may need its --salt)");
        return Err(Failure::new(kind::NOT_FOUND, message));
    };
    if view == View::Json {
        return Ok(());
    }
    // A stranger's words: programs get them as they are, terminals what cannot harm them.
    if io::stdout().is_terminal() {
        console.print(format!("{}\n", printable(&String::from_utf8_lossy(item.content()))))?;
    } else {
        console.print([item.content(), b"\n"].concat())?;
    }
    let copies = counted(found.outcome.copies as u64, "node");
    match item.seq {
        Some(seq) => console.note(format_args!("mutable, seq {seq}, from {copies}")),
        None => console.note(format_args!("immutable, from {copies}")),
    }
    Ok(())
}

/// The bencoded string that is to be stored.
fn value(args: &args::Put) -> Result<Vec<u8>, Failure> {
    let bytes = match (&args.value, &args.file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(path)) => {
            read(path).or_fail(kind::SOURCE, format_args!("cannot read {}", path.display()))?
        }
        (None, None) => Vec::new(),
    };
    Ok([format!("{}:", bytes.len()).as_bytes(), &bytes].concat())
}

/// As much of a file as could be stored, and a byte that shows that there is more.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> =
        if is_dash(path) { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut bytes = Vec::new();
    source.take(MAX_ITEM_LEN as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn signer(args: &args::Put) -> Result<Option<[u8; 32]>, Failure> {
    match (&args.secret, &args.new_secret) {
        (Some(path), _) => secret::read(path).map(Some),
        (None, Some(path)) => secret::make(path).map(Some),
        (None, None) => Ok(None),
    }
}

async fn put(walker: &mut Walker<'_>, value: Vec<u8>, console: &Console, view: View) -> Result<(), Failure> {
    let item = ImmutableItem::new(value).or_fail(kind::BAD_ITEM, "cannot store this")?;
    let target = item.target();
    walker.show(&Line::Put { target: target.to_string(), key: None, seq: None })?;
    let found = walker.look_up(&Command::PutImmutable(item)).await?;
    stored(&found, console)?;
    if view == View::Json { Ok(()) } else { console.print(format!("{target}\n")) }
}

async fn put_signed(
    walker: &mut Walker<'_>,
    args: &args::Put,
    seed: &[u8; 32],
    value: Vec<u8>,
    console: &Console,
    view: View,
) -> Result<(), Failure> {
    let salt = args.salt.as_deref().unwrap_or_default();
    let key = public_key(seed);
    let sign = |seq| {
        MutableItem::sign(seed, salt.as_bytes(), seq, value.clone())
            .or_fail(kind::BAD_ITEM, "cannot store this")
    };
    // What cannot be signed needs no question.
    sign(args.seq.unwrap_or(0))?;
    let seq = match args.seq {
        Some(seq) => seq,
        None => next_version(walker, mutable_target(&key, salt.as_bytes()), salt).await?,
    };
    let item = sign(seq)?;
    let target = item.target();
    walker.show(&Line::Put { target: target.to_string(), key: Some(hex(&key)), seq: Some(seq) })?;
    let found = walker.look_up(&Command::PutMutable { item, cas: args.cas }).await?;
    stored(&found, console)?;
    if view == View::Json {
        return Ok(());
    }
    console.note(format_args!("mutable, seq {seq}, public key {}", hex(&key)));
    console.print(format!("{target}\n"))
}

/// One more than the latest version that the DHT has; 1 for a new item.
async fn next_version(walker: &mut Walker<'_>, target: NodeId, salt: &str) -> Result<i64, Failure> {
    let found = walker.look_up(&Command::Get { target, salt: salt.into() }).await?;
    let latest = found.item.and_then(|item| item.seq).unwrap_or(0);
    let last = || Failure::new(kind::BAD_ITEM, "the latest version has the highest number that there is");
    latest.checked_add(1).ok_or_else(last)
}

/// Tells how many nodes stored something; none is a failure.
fn stored(found: &Found, console: &Console) -> Result<(), Failure> {
    let refused = match &found.refusal {
        Some((code, text)) => format!("{} refused, the last with: {code} {text}", found.refusals),
        None => "none gave leave to".into(),
    };
    match found.outcome.stored {
        0 => Err(Failure::new(kind::NOT_STORED, format_args!("no node stored it: {refused}"))),
        nodes if found.refusals > 0 => {
            console.note(format_args!("stored at {}; {refused}", counted(nodes as u64, "node")));
            Ok(())
        }
        nodes => {
            console.note(format_args!("stored at {}", counted(nodes as u64, "node")));
            Ok(())
        }
    }
}
