//! The commands that ask a daemon: `add`, `list`, `info`, `files`, `peers`, `trackers`, `set`, `pause`, `resume`, `remove`,
//! `recheck`, `reannounce`.

pub(crate) mod set;

use crate::args::{Add, Id, Ids, List, Move, Queue, Remote, Remove, Trackers, Watch};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::source::{self, Source};
use crate::terminal::{columns_of_stdout, fitted};
use crate::text::printable;
use crate::units::{Rate, Size, Span};
use crate::{interrupt, runtime};
use api::{AddQuery, Added, Client, ClientError, ListQuery, RemoveQuery, Torrent, TrackersChange, Watched};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

pub(crate) fn add(args: &Add, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    let sources = source::unfold(&args.sources)?;
    let query = AddQuery {
        dir: args.dir.clone(),
        category: args.category.clone(),
        paused: args.paused.then_some(true),
        sequential: args.sequential.then_some(true),
    };
    runtime()?.block_on(async {
        each(&sources, console, async |source| {
            let added = give(&client, Source::new(source), &query).await?;
            match args.remote.json {
                true => console.print(json_line(&added)),
                false if added.created => console.print(format!("{} added\n", added.id)),
                false => console.print(format!("{} was here already\n", added.id)),
            }
        })
        .await
    })
}

/// Gives a torrent to the daemon, however it is named.
pub(crate) async fn give(client: &Client, source: Source<'_>, query: &AddQuery) -> Result<Added, Failure> {
    let added = match source {
        Source::Url(url) => client.add_source(url, query).await,
        Source::Magnet(link) => {
            // A broken one need not be sent.
            source.magnet()?;
            client.add_source(link, query).await
        }
        source => client.add(source.read().await?, query).await,
    };
    added.map_err(told)
}

pub(crate) fn list(args: &List, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    let query = ListQuery {
        state: args.state,
        search: args.search.clone(),
        category: args.category.clone(),
        tag: args.tag.clone(),
        sort: args.sort.map(Into::into),
        reverse: args.reverse.then_some(true),
        ..ListQuery::default()
    };
    let mut interrupt = interrupt::graceful(console)?;
    runtime()?.block_on(async {
        let work = async {
            let mut answer = client.torrents(&query).await.map_err(told)?;
            print_list(&answer.torrents, args.remote.json, console)?;
            if !args.follow {
                return Ok(Exit::Done);
            }
            let mut shown: BTreeSet<String> = ids(&answer.torrents).collect();
            let mut changes = client.changes(Some(answer.revision)).await.map_err(told)?;
            // The stream says that something changed, the query what of it is wanted.
            while let Some(news) = changes.next().await.map_err(told)? {
                let since = ListQuery { since: Some(answer.revision), ..query.clone() };
                answer = client.torrents(&since).await.map_err(told)?;
                print_list(&answer.torrents, args.remote.json, console)?;
                if answer.full {
                    shown.clear();
                }
                shown.extend(ids(&answer.torrents));
                // Of others it is of no interest that they do not match.
                for id in answer.removed.iter().filter(|&id| shown.remove(id)) {
                    let line = match args.remote.json {
                        true => json_line(&json!({"id": id, "removed": true})),
                        false => format!("{} removed\n", short(id)),
                    };
                    console.print(line)?;
                }
                if console.is_reader_gone() {
                    return Ok(Exit::Done);
                }
                answer.revision = answer.revision.max(news.revision);
            }
            Err(Failure::new(kind::DAEMON, "the daemon has ended"))
        };
        tokio::select! {
            done = work => done,
            () = interrupt.asked() => Ok(Exit::Interrupted),
        }
    })
}

fn ids(torrents: &[Torrent]) -> impl Iterator<Item = String> {
    torrents.iter().map(|torrent| torrent.id.clone())
}

pub(crate) fn info(args: &Id, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    runtime()?.block_on(async {
        let torrent = find(&client, &args.torrent).await?;
        if args.remote.json {
            console.print(json_line(&torrent))?;
            return Ok(Exit::Done);
        }
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // A string takes everything.
            let _ = writeln!(text, "{name:<10} {}", printable(&value));
        };
        line("name", torrent.name.clone());
        line("id", torrent.id.clone());
        line("state", torrent.state.name().to_owned());
        torrent.error.iter().for_each(|error| line("error", error.clone()));
        torrent.note.iter().for_each(|note| line("note", note.clone()));
        line("folder", torrent.dir.clone());
        line("size", Size(torrent.size).to_string());
        line("done", torrent.share());
        torrent.category.iter().for_each(|category| line("category", category.clone()));
        if !torrent.tags.is_empty() {
            line("tags", torrent.tags.iter().cloned().collect::<Vec<_>>().join(", "));
        }
        line("down", Rate(torrent.rate_down).to_string());
        line("up", Rate(torrent.rate_up).to_string());
        line("peers", format!("{}, of which {} seeds", torrent.peers, torrent.seeds));
        console.print(text)?;
        Ok(Exit::Done)
    })
}

pub(crate) fn files(args: &Id, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    runtime()?.block_on(async {
        let torrent = find(&client, &args.torrent).await?;
        for file in client.files(&torrent.id).await.map_err(told)? {
            let line = match args.remote.json {
                true => json_line(&file),
                false if file.padding => continue,
                false => format!(
                    "{:>5}  {:>10}  {:<6}  {}\n",
                    file.index,
                    Size(file.length),
                    file.priority.name(),
                    printable(&file.path)
                ),
            };
            console.print(line)?;
        }
        Ok(Exit::Done)
    })
}

pub(crate) fn peers(args: &Id, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    runtime()?.block_on(async {
        let torrent = find(&client, &args.torrent).await?;
        for peer in client.peers(&torrent.id).await.map_err(told)? {
            let line = match args.remote.json {
                true => json_line(&peer),
                false => format!(
                    "{:<24}  {:>12}  {:>12}  {}\n",
                    peer.addr,
                    Rate(peer.rate_down),
                    Rate(peer.rate_up),
                    printable(peer.client.as_deref().unwrap_or("-"))
                ),
            };
            console.print(line)?;
        }
        Ok(Exit::Done)
    })
}

pub(crate) fn trackers(args: &Trackers, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    runtime()?.block_on(async {
        let torrent = find(&client, &args.torrent).await?;
        if !args.add.is_empty() || !args.remove.is_empty() {
            let (add, remove) = (args.add.clone(), args.remove.iter().cloned().collect());
            client.edit_trackers(&torrent.id, &TrackersChange { remove, add }).await.map_err(told)?;
        }
        let count = |count: Option<u32>| count.map_or_else(|| "-".into(), |count| count.to_string());
        let time =
            |time: Option<u64>| time.map_or_else(|| "-".into(), |time| Span(Duration::from_secs(time)).to_string());
        for tracker in client.trackers(&torrent.id).await.map_err(told)? {
            let line = match args.remote.json {
                true => json_line(&tracker),
                false => format!(
                    "{:>2}  {:<10}  last {:>8}  next {:>8}  {:>6} seeds  {:>6} leechers  {:>4} peers  {}  {}\n",
                    tracker.tier,
                    tracker.state.name(),
                    time(tracker.last_seconds),
                    time(tracker.next_seconds),
                    count(tracker.seeds),
                    count(tracker.leechers),
                    tracker.peers,
                    printable(&tracker.name),
                    printable(tracker.message.as_deref().unwrap_or_default()),
                ),
            };
            console.print(line.trim_end().to_owned() + "\n")?;
        }
        Ok(Exit::Done)
    })
}

pub(crate) fn queue(args: &Queue, console: &Console) -> Result<Exit, Failure> {
    let ids = Ids { torrents: args.torrents.clone(), remote: args.remote.clone() };
    order(&ids, console, "queued", async |client, id| client.queue(id, args.to.into()).await)
}

pub(crate) fn watch(args: &Watch, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    runtime()?.block_on(async {
        if let Some(dir) = &args.dir {
            match args.stop {
                true => client.unwatch(dir).await,
                false => client.watch(&watched(dir, args)).await,
            }
            .map_err(told)?;
        }
        for folder in client.watched().await.map_err(told)? {
            let line = match args.remote.json {
                true => json_line(&folder),
                false => {
                    let to = folder.to.as_deref().unwrap_or("the folder of its category");
                    if let Some(away) = &folder.error {
                        console.note(format_args!("{}", printable(away)));
                    }
                    format!("{} -> {}\n", printable(&folder.dir), printable(to))
                }
            };
            console.print(line)?;
        }
        Ok(Exit::Done)
    })
}

fn watched(dir: &str, args: &Watch) -> Watched {
    Watched {
        dir: dir.to_owned(),
        to: args.to.clone(),
        category: args.category.clone(),
        tags: args.tag.iter().cloned().collect(),
        paused: args.paused,
        error: None,
    }
}

pub(crate) fn move_to(args: &Move, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    runtime()?.block_on(async {
        let torrent = find(&client, &args.torrent).await?;
        if let Some(stayed) = client.move_to(&torrent.id, &args.dir).await.map_err(told)? {
            console.note(format_args!("{}", printable(&stayed.warning)));
        }
        console.print(match args.remote.json {
            true => json_line(&json!({"id": torrent.id, "moving": true})),
            false => format!("{} is being moved to {}\n", torrent.id, printable(&args.dir)),
        })?;
        Ok(Exit::Done)
    })
}

pub(crate) fn recheck(args: &Ids, console: &Console) -> Result<Exit, Failure> {
    order(args, console, "rechecked", async |client, id| client.recheck(id).await)
}

pub(crate) fn reannounce(args: &Ids, console: &Console) -> Result<Exit, Failure> {
    order(args, console, "reannounced", async |client, id| client.reannounce(id).await)
}

pub(crate) fn pause(args: &Ids, console: &Console) -> Result<Exit, Failure> {
    order(args, console, "paused", async |client, id| client.pause(id).await)
}

pub(crate) fn resume(args: &Ids, console: &Console) -> Result<Exit, Failure> {
    order(args, console, "resumed", async |client, id| {
        if let Some(resumed) = client.resume(id).await? {
            console.note(format_args!("{}", printable(&resumed.warning)));
        }
        Ok(())
    })
}

pub(crate) fn remove(args: &Remove, console: &Console) -> Result<Exit, Failure> {
    let query = RemoveQuery { data: args.data };
    order(&args.which, console, "removed", async |client, id| {
        if let Some(stayed) = client.remove(id, query).await? {
            console.note(format_args!("{}", printable(&stayed.warning)));
        }
        Ok(())
    })
}

#[allow(clippy::needless_pass_by_value, reason = "a closure")]
fn order(
    args: &Ids,
    console: &Console,
    what: &str,
    give: impl AsyncFn(&Client, &str) -> Result<(), ClientError>,
) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    runtime()?.block_on(async {
        each(&args.torrents, console, async |name| {
            let torrent = find(&client, name).await?;
            give(&client, &torrent.id).await.map_err(told)?;
            match args.remote.json {
                true => console.print(json_line(&json!({"id": torrent.id, what: true}))),
                false => console.print(format!("{} {what}\n", torrent.id)),
            }
        })
        .await
    })
}

/// One after the other, whatever becomes of those before.
async fn each(
    all: &[String],
    console: &Console,
    work: impl AsyncFn(&str) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    for one in all {
        if let Err(failure) = work(one).await {
            console.failure(&failure);
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

pub(crate) fn client(remote: &Remote) -> Result<Client, Failure> {
    /// Bytes of a token file that are read; a token has 75.
    const READ: usize = 256;
    let token = remote.token_file.as_ref().map(|path| {
        let read = std::fs::read_to_string(path);
        let text = read.or_fail(kind::TOKEN, format_args!("cannot read {}", path.display()))?;
        let token = text.trim();
        if token.is_empty() || token.len() > READ || !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Failure::new(kind::TOKEN, format_args!("{} holds no token", path.display())));
        }
        Ok(token.to_owned())
    });
    Client::new(&remote.host(), token.transpose()?).map_err(told)
}

pub(crate) fn told(error: ClientError) -> Failure {
    match &error {
        ClientError::Problem(problem) => Failure::new(known_kind(&problem.kind), &problem.detail),
        _ => Failure::new(kind::DAEMON, error),
    }
}

/// The daemon's word for it, if it is one of those that programs are told here.
fn known_kind(kind: &str) -> &'static str {
    const KNOWN: [&str; 12] = [
        "token", "scope", NOT_HERE, "root", "torrent", "magnet", "fetch", "refused", "v2_only", "busy",
        "slow", "unsaved",
    ];
    KNOWN.into_iter().find(|known| *known == kind).unwrap_or(kind::DAEMON)
}

/// What the failure to find a torrent is called, here and by the daemon.
pub(crate) const NOT_HERE: &str = "not_here";

/// Characters of an id or a name that are taken for its beginning, at least.
const BEGINNING: usize = 4;
/// Torrents that are named when several could be meant.
const NAMED: usize = 5;

/// The torrent with this id or name, or that alone begins with it.
pub(crate) async fn find(client: &Client, name: &str) -> Result<Torrent, Failure> {
    let is_hex = name.chars().all(|c| c.is_ascii_hexdigit());
    if is_hex && name.len() == 40 {
        return client.torrent(&name.to_ascii_lowercase()).await.map_err(told);
    }
    let all = client.torrents(&ListQuery::default()).await.map_err(told)?.torrents;
    one_of(all, name)
}

fn one_of(all: Vec<Torrent>, name: &str) -> Result<Torrent, Failure> {
    let is_long = name.chars().count() >= BEGINNING;
    let is_id = is_long && name.chars().all(|c| c.is_ascii_hexdigit());
    let (id, lower) = (name.to_ascii_lowercase(), name.to_lowercase());
    let is_meant = |torrent: &Torrent| torrent.name == name || is_id && torrent.id.starts_with(&id);
    let begins = |torrent: &Torrent| is_long && torrent.name.to_lowercase().starts_with(&lower);
    let (mut meant, others): (Vec<Torrent>, Vec<Torrent>) = all.into_iter().partition(is_meant);
    if meant.is_empty() {
        meant = others.into_iter().filter(begins).collect();
    }
    if meant.len() < 2 {
        let help = if is_long { "" } else { "; four characters of a name or id are taken for its beginning" };
        let none = || Failure::new(NOT_HERE, format_args!("there is no torrent '{name}'{help}"));
        return meant.pop().ok_or_else(none);
    }
    let named = meant
        .iter()
        .take(NAMED)
        .map(|torrent| format!("{} ({})", printable(&torrent.name), short(&torrent.id)));
    let mut named = named.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = meant.len().checked_sub(NAMED) {
        let _ = write!(named, " and {more} more");
    }
    Err(Failure::new(kind::AMBIGUOUS, format_args!("'{name}' may be {named}; give more of its name or id")))
}

fn print_list(torrents: &[Torrent], json: bool, console: &Console) -> Result<(), Failure> {
    let mut text = String::new();
    for torrent in torrents {
        match json {
            true => text.push_str(&json_line(torrent)),
            false => {
                // A string takes everything.
                let _ = writeln!(
                    text,
                    "{}  {:<11}  {:>6}  {:>10}  {:>12}  {:>12}  {}",
                    short(&torrent.id),
                    torrent.state.short_name(),
                    torrent.share(),
                    Size(torrent.size),
                    Rate(torrent.rate_down),
                    Rate(torrent.rate_up),
                    printable(&torrent.name)
                );
            }
        }
    }
    let columns = if json { None } else { columns_of_stdout() };
    console.print(fitted(&text, columns).as_bytes())
}

/// Enough of an id for a table.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_names_a_torrent_if_it_is_of_one_alone() {
        let torrent = |id: &str, name: &str| -> Torrent {
            serde_json::from_value(json!({
                "id": id.repeat(10), "name": name, "state": "seeding", "dir": "", "size": 1, "rate_down": 0,
                "rate_up": 0, "peers": 0, "seeds": 0, "private": false, "tags": [], "place": 0, "revision": 0,
            }))
            .unwrap()
        };
        let all = vec![
            torrent("abcd", "Debian 12"),
            torrent("cafe", "debian 13"),
            torrent("0123", "ubuntu"),
            torrent("4567", "ubuntu server"),
            torrent("89ab", "abcdef"),
        ];
        let found =
            |name: &str| one_of(all.clone(), name).map(|torrent| torrent.name).map_err(|error| error.message);
        for (name, meant) in [
            ("Debian 12", "Debian 12"),
            ("debian 1", ""),
            ("DEBIAN 13", "debian 13"),
            ("ubuntu", "ubuntu"),
            ("ubun", ""),
            ("ubuntu s", "ubuntu server"),
            ("cafec", "debian 13"),
            ("abcd", "Debian 12"),
            ("abcde", "abcdef"),
        ] {
            assert_eq!(found(name).as_deref().unwrap_or_default(), meant, "{name}");
        }
        let told =
            "'debian 1' may be Debian 12 (abcdabcd), debian 13 (cafecafe); give more of its name or id";
        assert_eq!(found("debian 1").unwrap_err(), told);
        let too_short =
            "there is no torrent 'deb'; four characters of a name or id are taken for its beginning";
        assert_eq!(found("deb").unwrap_err(), too_short);
        let many = vec![torrent("abcd", "many"); NAMED + 2];
        assert!(one_of(many, "many").unwrap_err().message.contains(" and 2 more; "));
    }
}
