//! What is done with what people ask.

use crate::access::{Place, Refused, Role};
use crate::allow::allow;
use crate::book::{MAX_LIVE, Spot};
use crate::bot::Bot;
use crate::commands::{self, Button, Does, Order, Watch};
use crate::config::{Config, Entry};
use crate::inert::words;
use crate::limits::{MAX_CONTENT, MAX_TORRENT};
use crate::live::{Fresh, is_complete};
use crate::say::{Asked, Fate, Message, whispered};
use crate::{inert, picture, show};
use api::{AddQuery, ClientError, ListQuery, RemoveQuery, State, Stayed, Torrent};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;
use twilight_model::application::command::{CommandOptionChoice, CommandOptionChoiceValue};
use twilight_model::application::interaction::{Interaction, InteractionData, InteractionType};
use twilight_model::http::interaction::{InteractionResponseData, InteractionResponseType};
use twilight_model::id::Id;

/// Files that stay of which the daemon tells: there may be more.
const MAX_TOLD: usize = 100;

/// Answers an interaction. Before the daemon is asked anything, Discord hears that an answer will come: it waits for three
/// seconds only.
pub(crate) async fn answer(bot: Arc<Bot>, interaction: Interaction) {
    let (place, by) = (place(&interaction), interaction.author_id().map_or(0, Id::get));
    let asked = Asked { id: interaction.id.get(), token: interaction.token };
    let config = bot.config();
    let (order, needs) = match interaction.data {
        Some(InteractionData::ApplicationCommand(data))
            if interaction.kind == InteractionType::ApplicationCommandAutocomplete =>
        {
            let choices = match config.admit(&place, Role::Reader) {
                Ok(_) => commands::choices(&config, &data),
                Err(_) => Vec::new(),
            };
            return complete(&bot, &asked, choices).await;
        }
        Some(InteractionData::ApplicationCommand(data)) => match Order::read(&data) {
            Ok(order) => {
                let needs = order.needs();
                (Asks::Order(order), needs)
            }
            Err(line) => return whisper(&bot, &asked, &line).await,
        },
        Some(InteractionData::MessageComponent(data)) => match Button::read(&data.custom_id) {
            Some(button) => {
                let needs = button.does.needs();
                (Asks::Button(button), needs)
            }
            None => return whisper(&bot, &asked, "That button is none of mine.").await,
        },
        _ => return,
    };
    let role = match config.admit(&place, needs) {
        Ok(role) => role,
        Err(refused) => return whisper(&bot, &asked, &refused.to_string()).await,
    };
    bot.respond(&asked, InteractionResponseType::DeferredChannelMessageWithSource, None).await;
    let asker = Asker { channel: place.channel, by, role };
    let done = match order {
        Asks::Order(order) => carry_out(&bot, &config, &asker, order).await,
        Asks::Button(button) => press(&bot, &config, &asker, &button).await,
    };
    bot.fulfil(&asked, &done.unwrap_or_else(Message::text)).await;
}

/// Answers an interaction that there is no room for, of which it keeps little.
pub(crate) fn turn_away(bot: Arc<Bot>, interaction: Interaction) -> impl Future<Output = ()> {
    let asked = Asked { id: interaction.id.get(), token: interaction.token };
    let is_choice = interaction.kind == InteractionType::ApplicationCommandAutocomplete;
    async move {
        match is_choice {
            true => complete(&bot, &asked, Vec::new()).await,
            false => whisper(&bot, &asked, "Too much is asked of me now; try again in a while.").await,
        }
    }
}

enum Asks {
    Order(Order),
    Button(Button),
}

/// Who asks.
struct Asker {
    channel: u64,
    by: u64,
    role: Role,
}

fn place(interaction: &Interaction) -> Place {
    let channel = interaction.channel.as_ref();
    let parent = channel.filter(|channel| channel.kind.is_thread()).and_then(|channel| channel.parent_id);
    let roles = interaction.member.iter().flat_map(|member| &member.roles).map(|role| role.get()).collect();
    Place {
        guild: interaction.guild_id.map(Id::get),
        channel: channel.map_or(0, |channel| channel.id.get()),
        parent: parent.map(Id::get),
        roles,
    }
}

async fn complete(bot: &Bot, asked: &Asked, choices: Vec<String>) {
    let choice = |name: String| CommandOptionChoice {
        value: CommandOptionChoiceValue::String(name.clone()),
        name,
        name_localizations: None,
    };
    let choices = Some(choices.into_iter().map(choice).collect());
    let data = InteractionResponseData { choices, ..InteractionResponseData::default() };
    bot.respond(asked, InteractionResponseType::ApplicationCommandAutocompleteResult, Some(data)).await;
}

async fn whisper(bot: &Bot, asked: &Asked, line: &str) {
    bot.respond(asked, InteractionResponseType::ChannelMessageWithSource, Some(whispered(line))).await;
}

/// What is answered, or the line that says why not.
async fn carry_out(bot: &Arc<Bot>, config: &Config, asker: &Asker, order: Order) -> Result<Message, String> {
    match order {
        Order::Torrents => Ok(Message::text(show::torrents(config))),
        Order::Help => Ok(Message::text(commands::help())),
        Order::Explain(name) => {
            let told =
                commands::explain(&name).ok_or("There is no such message; begin to write and choose one.")?;
            Ok(Message::text(told))
        }
        Order::Status => Ok(Message::text(show::status(config, &torrents(bot, config).await?))),
        Order::Download(name) => {
            let entry = config.by_name(&name).ok_or(UNKNOWN)?;
            download(bot, config, asker, entry).await
        }
        Order::Peers(name) => {
            let entry = meant(bot, config, name).await?;
            let peers = bot.daemon.peers(&entry.info_hash).await.map_err(|error| missing(entry, &error))?;
            Ok(Message::text(show::peers(&peers, MAX_CONTENT)))
        }
        Order::Pieces(name) => {
            let entry = meant(bot, config, name).await?;
            pieces(bot, entry).await
        }
        Order::Why(name) => {
            let entry = meant(bot, config, name).await?;
            let mut why = bot.daemon.why(&entry.info_hash).await.map_err(|error| missing(entry, &error))?;
            let torrent = bot.daemon.torrent(&entry.info_hash).await.map_err(|error| away(&error))?;
            why.causes.iter_mut().for_each(|cause| cause.says = show::placeless(&cause.says, &torrent));
            Ok(Message::text(show::why(&why)))
        }
        Order::Watch(watch, name) => {
            let entry = meant(bot, config, name).await?;
            set_watch(bot, entry, watch)
        }
        Order::Allow(wanted) => {
            let entry = allow(bot, config, wanted).await?;
            let told = words(&entry.line(), 400);
            Ok(Message::text(format!("May be downloaded from now on: {told} · {}", entry.info_hash)))
        }
        Order::Stop(name, files) => {
            let entry = meant(bot, config, name).await?;
            stop(bot, asker, entry, files).await
        }
    }
}

async fn press(bot: &Arc<Bot>, config: &Config, asker: &Asker, button: &Button) -> Result<Message, String> {
    let entry = config.by_id(&button.id).ok_or(UNKNOWN)?;
    let told = |what: &str| Ok(Message::text(format!("{} {what}.", bold(entry))));
    match button.does {
        Does::Pause => {
            begun_by(bot, entry).await?;
            bot.daemon.pause(&button.id).await.map_err(|error| away(&error))?;
            told("rests")
        }
        Does::Resume => {
            begun_by(bot, entry).await?;
            let _alone = bot.adding.lock().await;
            let all = torrents(bot, config).await?;
            let torrent = all.iter().find(|torrent| torrent.id == button.id);
            if torrent.is_some_and(|torrent| !is_complete(torrent)) {
                has_room(bot, config, entry, &all)?;
            }
            bot.daemon.resume(&button.id).await.map_err(|error| away(&error))?;
            told("goes on")
        }
        Does::Stop => stop(bot, asker, entry, false).await,
        Does::Detail => {
            let mut message = pieces(bot, entry).await?;
            let peers = bot.daemon.peers(&button.id).await.map_err(|error| away(&error))?;
            let head = message.text.take().unwrap_or_default() + "\n";
            let room = MAX_CONTENT.saturating_sub(inert::length(&head));
            message.text = Some(head + &show::peers(&peers, room));
            Ok(message)
        }
    }
}

/// The category of torrents that were begun here: whoever removes one and adds it again has it without.
pub(crate) const CATEGORY: &str = "discord";

const UNKNOWN: &str = "That is not on the list of what may be downloaded; /torrents shows it.";

/// What people call it, in bold.
fn bold(entry: &Entry) -> String {
    format!("**{}**", inert::words(&entry.name, 200))
}

/// The daemon's torrents that are on the allow-list.
async fn torrents(bot: &Bot, config: &Config) -> Result<Vec<Torrent>, String> {
    let all = bot.daemon.torrents(&ListQuery::default()).await.map_err(|error| away(&error))?;
    bot.retain_begun(|id| all.torrents.iter().any(|torrent| torrent.id == id));
    Ok(all.torrents.into_iter().filter(|torrent| config.by_id(&torrent.id).is_some()).collect())
}

/// The torrent that is named; if none is, the only one that there is.
async fn meant<'a>(bot: &Bot, config: &'a Config, name: Option<String>) -> Result<&'a Entry, String> {
    if let Some(name) = name {
        return config.by_name(&name).ok_or_else(|| UNKNOWN.to_owned());
    }
    let all = torrents(bot, config).await?;
    match &all[..] {
        [] => Err("Nothing is under way; /download begins something.".into()),
        [one] => config.by_id(&one.id).ok_or_else(|| UNKNOWN.to_owned()),
        _ => Err("Several torrents are here; say which one.".into()),
    }
}

async fn pieces(bot: &Bot, entry: &Entry) -> Result<Message, String> {
    let pieces = bot.daemon.pieces(&entry.info_hash).await.map_err(|error| missing(entry, &error))?;
    let here = pieces.verified().into_iter().filter(|&verified| verified).count();
    let text = format!("{}: {here} of {} pieces are here.", bold(entry), pieces.count);
    let files = picture::pieces(&pieces).map(|file| vec![("pieces.png", file)]).unwrap_or_default();
    Ok(Message { files, ..Message::text(text) })
}

fn set_watch(bot: &Bot, entry: &Entry, watch: Watch) -> Result<Message, String> {
    match bot.watch(&entry.info_hash, watch) {
        true => Ok(Message::text(format!("The live message shows {} now.", watch.name()))),
        false => Err("It has no live message; /download opens one.".into()),
    }
}

/// Who began a torrent, and may decide on it: what its owner had is neither paused nor stopped on anybody's word here.
async fn begun_by(bot: &Bot, entry: &Entry) -> Result<u64, String> {
    let torrent = bot.daemon.torrent(&entry.info_hash).await.map_err(|error| missing(entry, &error))?;
    bot.begun_by(&torrent).ok_or_else(|| {
        format!("{} was not begun here: only who runs me pauses, resumes or stops it.", bold(entry))
    })
}

async fn stop(bot: &Bot, asker: &Asker, entry: &Entry, files: bool) -> Result<Message, String> {
    if begun_by(bot, entry).await? != asker.by && asker.role < Role::Admin {
        return Err(Refused::Role(Role::Admin.name()).to_string());
    }
    let became = end(bot, &entry.info_hash, files).await.map_err(|error| missing(entry, &error))?;
    Ok(Message::text(format!("{} is stopped; {}.", bold(entry), became.told())))
}

/// What became of the files of a torrent that was stopped.
pub(crate) enum Files {
    /// They went, or there were none.
    Gone,
    /// They stay, as was asked for.
    Kept,
    /// They stay, since somebody else's may be among them.
    Others,
    /// They should have gone, and some stay.
    Stayed(Stayed),
}

impl Files {
    /// How many files stay, and nothing of where: that is in the daemon's own words.
    pub(crate) fn told(&self) -> String {
        match self {
            Files::Gone => "its files are gone".to_owned(),
            Files::Kept => "its files stay, and take room".to_owned(),
            Files::Others => {
                "its files stay: what was there before it was begun may be among them, and is not mine to remove".to_owned()
            }
            Files::Stayed(stayed) => match stayed.stayed.len() {
                1 => "one of its files stays, and takes room".to_owned(),
                MAX_TOLD.. => format!("{MAX_TOLD} of its files or more stay, and take room"),
                files => format!("{files} of its files stay, and take room"),
            },
        }
    }
}

/// Whether all that is on disk of a torrent came by its download: what lay there before may be its owner's.
fn is_all_fetched(torrent: &Torrent) -> bool {
    let [done, fetched] = [torrent.done, torrent.downloaded].map(Option::unwrap_or_default);
    torrent.state != State::Checking && fetched > 0 && done <= fetched
}

/// Removes a torrent, with its files or without; what stays of them is counted from then on.
pub(crate) async fn end(bot: &Bot, id: &str, files: bool) -> Result<Files, ClientError> {
    let torrent = bot.daemon.torrent(id).await?;
    // What was stopped before and stayed was fetched then.
    let may_go = bot.has_left(id) || is_all_fetched(&torrent);
    let stayed = bot.daemon.remove(id, RemoveQuery { data: files && may_go }).await?;
    let became = match stayed {
        Some(stayed) => Files::Stayed(stayed),
        None if !files => Files::Kept,
        None if may_go || torrent.done.unwrap_or_default() == 0 && torrent.state != State::Checking => {
            Files::Gone
        }
        None => Files::Others,
    };
    // What was there before is no room that was taken here, and stays somebody else's when it is begun again.
    let known = if may_go { torrent.done.unwrap_or(torrent.size) } else { 0 };
    bot.end(id, known, !matches!(became, Files::Gone));
    Ok(became)
}

/// Whether one more torrent may be under way beside all others, and fits on the disk with them and what was stopped.
fn has_room(bot: &Bot, config: &Config, entry: &Entry, all: &[Torrent]) -> Result<(), String> {
    let is_done = |state| matches!(state, State::Seeding | State::Stopped | State::Failed);
    let others = || all.iter().filter(|torrent| torrent.id != entry.info_hash);
    let under_way = others().filter(|torrent| !is_done(torrent.state)).count();
    // One whose size is not known yet may be as large as any.
    let size = |torrent: &Torrent| match torrent.size {
        0 => config.by_id(&torrent.id).and_then(|entry| entry.size).unwrap_or(config.limits.torrent_bytes),
        size => size,
    };
    let left = bot.left(|id| *id == entry.info_hash || all.iter().any(|torrent| torrent.id == id));
    let taken = others().map(size).fold(left, u64::saturating_add);
    config.room(entry, under_way, taken).map_err(|refused| refused.to_string())
}

async fn download(bot: &Arc<Bot>, config: &Config, asker: &Asker, entry: &Entry) -> Result<Message, String> {
    let _alone = bot.adding.lock().await;
    let id = &entry.info_hash;
    if bot.spot(id).is_some() && bot.daemon.torrent(id).await.is_ok() {
        return Err("It is being shown already; look above.".into());
    }
    let all = torrents(bot, config).await?;
    let known = all.iter().find(|torrent| torrent.id == *id);
    let mut is_new = known.is_none();
    let mut ours = known.is_none_or(|torrent| bot.begun_by(torrent).is_some());
    if is_new {
        has_room(bot, config, entry, &all)?;
        // First: whatever ends us, somebody may have it go on, or stop it.
        bot.begin(id, asker.by);
        match add(bot, entry).await {
            Ok(true) => {}
            Ok(false) => {
                // Its owner was quicker.
                (is_new, ours) = (false, false);
                bot.end(id, 0, false);
            }
            Err(why) => {
                bot.end(id, 0, false);
                return Err(why);
            }
        }
    }
    // Listening begins before the torrent does, so that the first handshake is seen.
    let said = bot.ears.listen(id);
    bot.ears.open().await;
    let text = Message::text(format!("{} begins …", bold(entry)));
    let begun = match bot.send(asker.channel, &text).await {
        Ok(message) => {
            let (channel, by, since) = (asker.channel, asker.by, crate::live::seconds());
            let spot = Spot { channel, message, by, thread: false, ours, since };
            let full = || format!("{MAX_LIVE} live messages are open, and more are not allowed.");
            bot.keep(id, spot).then_some(spot).ok_or_else(full)
        }
        Err(Fate::Gone) => Err("I may not write in this channel.".to_owned()),
        Err(_) => Err("Discord does not take my message; ask again.".to_owned()),
    };
    let spot = match begun {
        Ok(spot) => spot,
        Err(why) => {
            // Nobody would see it, or could have it go on.
            if is_new {
                let removed = bot.daemon.remove(id, RemoveQuery::default()).await;
                if removed.is_ok() {
                    bot.end(id, 0, false);
                }
            }
            return Err(why);
        }
    };
    let since = Instant::now();
    let mut resumed = Ok(());
    if is_new {
        resumed = bot.daemon.resume(id).await.map(drop);
    }
    // If it rests on, its message has the button to go on.
    bot.clone().show(id, spot, Some(Fresh { said, is_new, since }));
    resumed.map_err(|error| away(&error))?;
    Ok(Message::text(match is_new {
        true => format!("Downloading {}, {}.", bold(entry), show::size(entry)),
        false => format!("{} is here already, and is shown.", bold(entry)),
    }))
}

/// Gives the torrent to the daemon, where it rests; what is in the file must be what is allowed. `false` if it was there.
async fn add(bot: &Bot, entry: &Entry) -> Result<bool, String> {
    let category = Some(CATEGORY.to_owned());
    let query = AddQuery { paused: Some(true), category, ..AddQuery::default() };
    let added = match &entry.path {
        Some(path) => {
            let path = bot.options.config.parent().unwrap_or(Path::new("")).join(path);
            let file = tokio::task::spawn_blocking(move || read(&path)).await;
            let Ok(Ok(file)) = file else {
                return Err("Its torrent file can't be read; whoever runs me has to look.".into());
            };
            bot.daemon.add(file, &query).await
        }
        None => bot.daemon.add_source(&format!("magnet:?xt=urn:btih:{}", entry.info_hash), &query).await,
    };
    let added = added.map_err(|error| away(&error))?;
    if added.id == entry.info_hash {
        return Ok(added.created);
    }
    if added.created {
        bot.daemon.remove(&added.id, RemoveQuery::default()).await.map_err(|error| away(&error))?;
    }
    tracing::error!("the torrent file of {} is another torrent, {}", entry.info_hash, added.id);
    Err("Its torrent file is that of another torrent; whoever runs me has to look.".into())
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_TORRENT + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_TORRENT {
        true => Err(std::io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// What people are told of an error about a torrent of the list, which may not be here.
fn missing(entry: &Entry, error: &ClientError) -> String {
    match error {
        ClientError::Problem(problem) if problem.kind == "not_here" => {
            format!("{} is not under way; /download begins it.", bold(entry))
        }
        error => away(error),
    }
}

/// What people are told of an error: never where the daemon is.
pub(crate) fn away(error: &ClientError) -> String {
    match error {
        ClientError::Problem(problem) => inert::words(&problem.detail, 500),
        error => {
            tracing::warn!("{}", inert::clean(&error.to_string()));
            "The daemon does not answer now; try again in a while.".into()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_torrent_file_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.torrent");
        std::fs::write(&path, vec![0; usize::try_from(MAX_TORRENT).unwrap()]).unwrap();
        assert!(read(&path).is_ok());
        std::fs::write(&path, vec![0; usize::try_from(MAX_TORRENT).unwrap() + 1]).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn of_files_that_stay_the_number_is_told() {
        let told = |count: usize| {
            let stayed = (0..count).map(|number| format!("/srv/{number}")).collect();
            Files::Stayed(Stayed { stayed, warning: "/srv/0: no".into() }).told()
        };
        assert_eq!(told(1), "one of its files stays, and takes room");
        assert_eq!(told(99), "99 of its files stay, and take room");
        assert_eq!(told(MAX_TOLD), "100 of its files or more stay, and take room");
    }

    #[test]
    fn nobody_is_told_where_the_daemon_is() {
        let error = ClientError::Unreachable { host: "10.1.2.3:6880".into(), reason: "refused".into() };
        assert!(!away(&error).contains("10.1.2.3"));
    }
}
