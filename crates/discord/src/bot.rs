//! The bot: the gateway's events in, answers out, and a task for each live message.

use crate::book::{Book, Spot};
use crate::commands::{self, Watch};
use crate::config::{Config, ConfigError};
use crate::orders::CATEGORY;
use crate::pace::Pace;
use crate::rest::{Rest, RestError};
use crate::said::Ears;
use crate::token::Token;
use crate::{inert, live, orders};
use api::Torrent;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use twilight_gateway::{ConfigBuilder, Event, EventTypeFlags, Intents, Shard, ShardId, StreamExt};
use twilight_http::request::TryIntoRequest;
use twilight_model::channel::message::AllowedMentions;
use twilight_model::id::Id;
use twilight_model::id::marker::ApplicationMarker;

/// How often a live message is edited at most.
pub const EDIT_EVERY: Duration = Duration::from_secs(4);
/// Interactions that are being answered. Further ones are answered that there are too many.
pub const MAX_INTERACTIONS: usize = 64;
/// Interactions that wait to be answered that there are too many. Further ones are not answered, and Discord says so to who
/// asked.
pub const MAX_TURNED_AWAY: usize = 1024;
/// Answers to interactions that are sent at a time, each by a connection of its own. Further ones wait, for three seconds at
/// most.
const ANSWERERS: usize = 8;

/// What the bot runs with.
#[derive(Debug)]
pub struct Options {
    /// Who it is.
    pub token: Token,
    /// What it may do; read anew for each interaction.
    pub config: PathBuf,
    /// Where it keeps which live messages there are.
    pub book: PathBuf,
    /// Who downloads.
    pub daemon: api::Client,
    /// How often a live message is edited at most; usually [`EDIT_EVERY`].
    pub edit_every: Duration,
    /// How long a download is shown in its channel before it goes on in a thread.
    pub thread_after: Duration,
    /// `HOST:PORT` of a program that stands in for Discord's REST API, and the `ws://` URL of one for its gateway.
    pub stand_in: Option<(String, String)>,
}

/// Why the bot can't go on.
#[derive(Debug, Error)]
pub enum BotError {
    /// Its configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it keeps can't be read.
    #[error("cannot read which live messages there are, in {}: {reason}; mend that, or move the file away", path.display())]
    Book {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// There is nothing to check Discord's certificate with.
    #[error("this system has no certificates of authorities; install them (on Debian: ca-certificates)")]
    Certificates,
    /// The token is wrong.
    #[error("Discord refuses the token; make a new one on the bot's page of the developer portal")]
    Token,
    /// Discord ends the connection for good.
    #[error("Discord ends the connection: {0}")]
    Closed(String),
    /// Discord can't be asked.
    #[error("cannot reach Discord: {0}")]
    Unreachable(String),
}

/// What all parts of the bot share.
pub(crate) struct Bot {
    /// Who writes requests.
    pub(crate) http: twilight_http::Client,
    /// Who sends them.
    pub(crate) rest: Rest,
    /// How many answers to interactions may be sent.
    pub(crate) answerers: Semaphore,
    pub(crate) app: Id<ApplicationMarker>,
    pub(crate) daemon: api::Client,
    pub(crate) options: Options,
    /// As it was read last.
    config: Mutex<Arc<Config>>,
    book: Mutex<Book>,
    /// What torrents say.
    pub(crate) ears: Ears,
    /// What each live message is to show. Where one is replaced, that of before ends.
    watches: Mutex<BTreeMap<String, watch::Sender<Watch>>>,
    /// Guilds that have the commands.
    defined: Mutex<BTreeSet<u64>>,
    /// Live messages.
    lives: Mutex<JoinSet<()>>,
    /// When channels may be edited.
    pub(crate) pace: Mutex<Pace>,
    /// One download is begun at a time, so that limits hold.
    pub(crate) adding: tokio::sync::Mutex<()>,
}

/// Runs the bot until `stop` is done. Live messages stay as they are, and are found again by the next run.
///
/// # Errors
/// [`BotError`].
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> Result<(), BotError> {
    // Whoever did so before has chosen the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(BotError::Certificates);
    }
    let config = Config::read(&options.config)?;
    let unread = |reason| BotError::Book { path: options.book.clone(), reason };
    let book = Book::read(&options.book).map_err(unread)?;
    let stand_in = options.stand_in.as_ref().map(|(rest, _)| rest.as_str());
    let rest = Rest::new(options.token.secret(), stand_in).map_err(BotError::Unreachable)?;
    // It only writes requests.
    let allowed_mentions = AllowedMentions::default();
    let http = twilight_http::Client::builder().ratelimiter(None).default_allowed_mentions(allowed_mentions);
    let http = http.build();
    let mut stop = pin!(stop);
    let app = tokio::select! {
        app = rest.make(http.current_user_application().try_into_request()) => app.map_err(unreachable)?,
        () = &mut stop => return Ok(()),
    };
    let mut gateway = gateway(&options);
    let bot = Arc::new(Bot {
        ears: Ears::new(options.daemon.clone()),
        daemon: options.daemon.clone(),
        book: Mutex::new(book),
        answerers: Semaphore::new(ANSWERERS),
        http,
        rest,
        app,
        options,
        config: Mutex::new(Arc::new(config)),
        watches: Mutex::default(),
        defined: Mutex::default(),
        lives: Mutex::default(),
        pace: Mutex::default(),
        adding: tokio::sync::Mutex::default(),
    });
    let begin = async {
        for guild in bot.config().guilds.clone() {
            bot.define_commands(guild).await;
        }
        let before = lock(&bot.book).all();
        for (id, spot) in before {
            bot.clone().show(&id, spot, None);
        }
        listen(&bot, &mut gateway).await
    };
    let outcome = tokio::select! {
        outcome = begin => outcome,
        () = stop => Ok(()),
    };
    lock(&bot.lives).abort_all();
    outcome
}

fn gateway(options: &Options) -> Shard {
    // Interactions come without any intent; with this one it is told which guilds the bot comes to.
    let mut config = ConfigBuilder::new(options.token.secret().to_owned(), Intents::GUILDS);
    if let Some((_, gateway)) = &options.stand_in {
        config = config.proxy_url(gateway.clone());
    }
    Shard::with_config(ShardId::ONE, config.build())
}

fn unreachable(error: RestError) -> BotError {
    match error {
        RestError::Refused { status: 401, .. } => BotError::Token,
        error => BotError::Unreachable(inert::clean(&error.to_string())),
    }
}

/// Answers what comes. twilight reconnects and resumes; it ends only when Discord says that this is in vain.
async fn listen(bot: &Arc<Bot>, gateway: &mut Shard) -> Result<(), BotError> {
    let wanted = EventTypeFlags::INTERACTION_CREATE
        | EventTypeFlags::READY
        | EventTypeFlags::RESUMED
        | EventTypeFlags::GUILD_CREATE;
    let (mut answers, mut refusals) = (JoinSet::new(), JoinSet::new());
    let mut reason = String::from("no reason is given");
    loop {
        let event = tokio::select! {
            event = gateway.next_event(wanted) => event,
            Some(_) = answers.join_next() => continue,
            Some(_) = refusals.join_next() => continue,
        };
        match event {
            Some(Ok(Event::InteractionCreate(interaction))) if has_room(&answers, MAX_INTERACTIONS) => {
                answers.spawn(orders::answer(bot.clone(), interaction.0));
            }
            Some(Ok(Event::InteractionCreate(interaction))) if has_room(&refusals, MAX_TURNED_AWAY) => {
                refusals.spawn(orders::turn_away(bot.clone(), interaction.0));
            }
            Some(Ok(Event::InteractionCreate(_))) => {
                tracing::warn!("too many interactions; one is not answered");
            }
            Some(Ok(Event::Ready(_))) => tracing::info!("connected to Discord"),
            Some(Ok(Event::GuildCreate(guild))) if bot.config().guilds.contains(&guild.id().get()) => {
                let (bot, guild) = (bot.clone(), guild.id().get());
                answers.spawn(async move { bot.define_commands(guild).await });
            }
            Some(Ok(Event::Resumed)) => tracing::info!("connected to Discord again"),
            Some(Ok(Event::GatewayClose(Some(frame)))) if frame.code == 4004 => return Err(BotError::Token),
            Some(Ok(Event::GatewayClose(Some(frame)))) => {
                reason = format!("code {}, {}", frame.code, inert::clean(&frame.reason));
                tracing::info!(code = frame.code, "Discord closed the connection");
            }
            Some(Ok(_)) => {}
            // The event itself may hold tokens of interactions.
            #[cfg(feature = "planted")]
            Some(Err(_)) if crate::planted::is("thin-skinned") => return Err(BotError::Closed(reason)),
            Some(Err(_)) => tracing::warn!("an event of the gateway was lost, or it can't be reached"),
            None => return Err(BotError::Closed(reason)),
        }
    }
}

fn has_room(answers: &JoinSet<()>, most: usize) -> bool {
    answers.len() < most
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bot {
    /// The configuration as it is now; as it was, while the file is broken.
    pub(crate) fn config(&self) -> Arc<Config> {
        let mut known = lock(&self.config);
        match Config::read(&self.options.config) {
            Ok(config) => *known = Arc::new(config),
            Err(error) => tracing::warn!("the configuration stays as it was: {error}"),
        }
        known.clone()
    }

    /// Tells a guild which commands there are, once.
    async fn define_commands(&self, guild: u64) {
        let Some(id) = Id::new_checked(guild) else { return };
        if !lock(&self.defined).insert(guild) {
            return;
        }
        let commands = commands::all();
        let request = self.http.interaction(self.app).set_guild_commands(id, &commands).try_into_request();
        if let Err(error) = self.rest.ask(request).await {
            lock(&self.defined).remove(&guild);
            let error = inert::clean(&error.to_string());
            tracing::error!("the guild {guild} has no commands until the bot is a member: {error}");
        }
    }

    /// Opens the torrent's live message, and goes on with the torrent if `resume` says so.
    pub(crate) fn show(self: Arc<Bot>, id: &str, spot: Spot, fresh: Option<live::Fresh>) {
        let (watch, watched) = watch::channel(Watch::All);
        lock(&self.watches).insert(id.to_owned(), watch);
        let bot = self.clone();
        let task = live::run(bot, id.to_owned(), spot, watched, fresh);
        let mut lives = lock(&self.lives);
        while lives.try_join_next().is_some() {}
        lives.spawn(task);
    }

    pub(crate) fn spot(&self, id: &str) -> Option<Spot> {
        lock(&self.book).spot(id)
    }

    /// Keeps where a live message is; `false` if there are too many.
    pub(crate) fn keep(&self, id: &str, spot: Spot) -> bool {
        self.change_book(|book| book.put(id, spot))
    }

    /// A live message is none any more.
    pub(crate) fn forget(&self, id: &str) {
        lock(&self.watches).remove(id);
        self.change_book(|book| book.remove(id));
    }

    /// Who began a torrent that was not there before.
    pub(crate) fn begun_by(&self, torrent: &Torrent) -> Option<u64> {
        let is_same = torrent.category.as_deref() == Some(CATEGORY);
        lock(&self.book).begun_by(&torrent.id).filter(|_| is_same)
    }

    /// Whether files stayed of one that was stopped.
    pub(crate) fn has_left(&self, id: &str) -> bool {
        lock(&self.book).has_left(id)
    }

    /// Somebody began a torrent that was not there before.
    pub(crate) fn begin(&self, id: &str, by: u64) {
        self.change_book(|book| book.begin(id, by));
    }

    /// A torrent is gone; see [`Book::end`].
    pub(crate) fn end(&self, id: &str, known: u64, stay: bool) {
        self.change_book(|book| book.end(id, known, stay));
    }

    /// Bytes on disk of what was stopped, without torrents that are counted otherwise.
    pub(crate) fn left(&self, is_counted: impl Fn(&str) -> bool) -> u64 {
        lock(&self.book).left(is_counted)
    }

    /// Forgets who began what the daemon does not have any more.
    pub(crate) fn retain_begun(&self, is_there: impl Fn(&str) -> bool) {
        let is_stale = lock(&self.book).clone().retain(&is_there);
        if is_stale {
            self.change_book(|book| book.retain(&is_there));
        }
    }

    fn change_book<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = lock(&self.book);
        let changed = change(&mut book);
        if let Err(error) = book.write(&self.options.book) {
            tracing::error!("cannot write {}: {error}", self.options.book.display());
        }
        changed
    }

    /// Has a live message show something else; `false` if there is none.
    pub(crate) fn watch(&self, id: &str, watch: Watch) -> bool {
        lock(&self.watches).get(id).is_some_and(|shown| shown.send(watch).is_ok())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn who_cannot_reach_discord_reads_why() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Nobody answers there.
        let rest = Rest::new("a.b.c", Some("127.0.0.1:1")).unwrap();
        let http = twilight_http::Client::builder().ratelimiter(None).build();
        let asked = rest.ask(http.current_user_application().try_into_request()).await;
        let told = unreachable(asked.unwrap_err()).to_string();
        assert!(told.starts_with("cannot reach Discord: Connection refused"), "{told}");
    }

    #[tokio::test]
    async fn answers_are_bounded() {
        for most in [MAX_INTERACTIONS, MAX_TURNED_AWAY] {
            let mut answers = JoinSet::new();
            while has_room(&answers, most) {
                answers.spawn(std::future::pending());
            }
            assert_eq!(answers.len(), most);
        }
    }
}
