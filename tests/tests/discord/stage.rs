//! What the tests of the bot share: a stand-in for Discord, a daemon, a bot between them.

use std::path::{Path, PathBuf};

use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::discord::{Call, Discord, Place, TOKEN};

use crate::common::daemon::Daemon;
use crate::common::{self, Home, LIMIT};

/// A name that would mention everybody, if it could.
pub(crate) const NAME: &str = "@everyone *sample*";
/// Where people and the bot are.
pub(crate) const CHANNEL: u64 = 10;
pub(crate) const CONFIG: &str = "guilds = [1]\nchannels = [10]\n[roles]\noperator = [100]\nadmin = [101]\n";

/// How a stage is set.
pub(crate) struct Plan<'a> {
    pub(crate) sample: Sample,
    /// Options of the daemon.
    pub(crate) daemon: &'a [&'a str],
    /// Options of the bot.
    pub(crate) bot: &'a [&'a str],
    /// What the configuration says beside who may ask where.
    pub(crate) config: &'a str,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Plan { sample: Sample::MULTI, daemon: &[], bot: &[], config: "" }
    }
}

/// All that a bot needs.
pub(crate) struct Stage {
    pub(crate) discord: Discord,
    pub(crate) daemon: Daemon,
    pub(crate) home: Home,
    pub(crate) config: PathBuf,
    pub(crate) bot: Session,
    daemon_options: Vec<String>,
    bot_options: Vec<String>,
    /// What bots wrote that are gone.
    logs: String,
}

impl Stage {
    /// The bot is connected, and may offer the sample.
    pub(crate) fn set(plan: &Plan<'_>) -> Stage {
        let home = Home::new(plan.sample);
        let owned = |options: &[&str]| options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
        let daemon_options = owned(&[&["--no-dht", "--no-lsd"], plan.daemon].concat());
        let daemon = open(&home, &daemon_options);
        let config = home.path().join("bot.toml");
        std::fs::write(&config, format!("{CONFIG}{}", plan.config)).unwrap();
        allow(&home, &config, &home.torrent, NAME);
        let discord = Discord::start().unwrap();
        let bot_options = owned(plan.bot);
        let bot = begin(&discord, &home, &config, &bot_options);
        Stage { discord, daemon, home, config, bot, daemon_options, bot_options, logs: String::new() }
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.home.info_hash)
    }

    /// Allows another torrent.
    pub(crate) fn allow(&self, torrent: &Path, name: &str) {
        allow(&self.home, &self.config, torrent, name);
    }

    /// Ends the bot, as Ctrl-C does.
    pub(crate) fn end_bot(&mut self) {
        let (code, _) = self.bot.interrupt().unwrap();
        let process = &self.bot.process;
        assert_eq!(code, Some(0), "{}", process.stderr());
        self.logs.push_str(&format!("{}{}", process.stdout(), process.stderr()));
    }

    pub(crate) fn begin_bot(&mut self) {
        self.bot = begin(&self.discord, &self.home, &self.config, &self.bot_options);
    }

    /// Ends the daemon.
    pub(crate) fn end_daemon(&mut self) {
        let (code, _) = self.daemon.session.interrupt().unwrap();
        assert_eq!(code, Some(0), "{}", self.daemon.session.process.stderr());
    }

    pub(crate) fn begin_daemon(&mut self) {
        self.daemon = open(&self.home, &self.daemon_options);
    }

    /// What is answered to a command.
    pub(crate) fn ask(&self, place: &Place, name: &str, options: &[(&str, &str)]) -> String {
        let token = self.discord.command(place, name, options);
        self.answer(&token)
    }

    pub(crate) fn answer(&self, token: &str) -> String {
        let answer = self.discord.wait(LIMIT, |seen| seen.answer(token).cloned());
        let body = answer.unwrap_or_else(|| panic!("no answer: {}", self.bot.process.stderr())).body;
        let text = if body["data"].is_object() { &body["data"]["content"] } else { &body["content"] };
        text.as_str().unwrap().to_owned()
    }

    /// The last request of that kind; waits for one.
    pub(crate) fn call(&self, is: impl Fn(&Call) -> bool) -> Call {
        self.call_after(0, is)
    }

    /// The same, of those that come after so many.
    pub(crate) fn call_after(&self, before: usize, is: impl Fn(&Call) -> bool) -> Call {
        let call = self
            .discord
            .wait(LIMIT, |seen| seen.calls()[before..].iter().rev().find(|call| is(call)).cloned());
        call.unwrap_or_else(|| {
            panic!("no such request: {:#?}\n{}", self.discord.calls(), self.bot.process.stderr())
        })
    }

    /// Requests up to now.
    pub(crate) fn count(&self) -> usize {
        self.discord.calls().len()
    }

    /// Ends all, and asserts that no rule was broken and nothing was told that must not be.
    pub(crate) fn end(mut self) -> Vec<Call> {
        self.end_bot();
        assert_eq!(self.discord.faults(), Vec::<String>::new());
        let calls = self.discord.calls();
        let home = self.home.path().display().to_string();
        let is_quiet = |text: &str| {
            for secret in [TOKEN, "[::1]"] {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
            assert_eq!(address(text), None, "{text}");
        };
        let is_told = |text: &str| {
            is_quiet(text);
            assert!(!text.contains(&home), "where the daemon is: {text}");
        };
        for call in &calls {
            is_told(&call.body.to_string());
            call.files.iter().for_each(|(_, bytes)| is_told(&String::from_utf8_lossy(bytes)));
        }
        is_quiet(&self.logs);
        // With such a token anybody could answer in the bot's place.
        assert!(!self.logs.contains("interaction-"), "{}", self.logs);
        self.daemon.end();
        calls
    }
}

fn open(home: &Home, options: &[String]) -> Daemon {
    Daemon::start(home, &options.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(crate) fn allow(home: &Home, config: &Path, torrent: &Path, name: &str) {
    let mut allow = home.command();
    allow.args(["discord", "allow", "--name", name, "--licence", "CC0 1.0", "--config"]);
    let allowed = common::run(allow.arg(config).arg(torrent));
    assert_eq!(allowed.code(), Some(0), "{}", allowed.stderr);
}

fn begin(discord: &Discord, home: &Home, config: &Path, options: &[String]) -> Session {
    let before = discord.wait(LIMIT, |seen| Some(seen.sessions().0)).unwrap();
    let mut command = home.command();
    command.args(["-v", "discord", "--config"]).arg(config).args(options).env("DISCORD_TOKEN", TOKEN);
    command.args(["--host", &format!("unix:{}", home.path().join("api.sock").display())]);
    command.env("RAWTORRENT_DISCORD_REST", discord.rest.to_string());
    command.env("RAWTORRENT_DISCORD_GATEWAY", format!("ws://{}", discord.gateway));
    let bot = common::start(&mut command);
    let is_there = discord.wait(LIMIT, |seen| (seen.sessions().0 > before).then_some(()));
    assert!(is_there.is_some(), "the bot does not come: {}", bot.process.stderr());
    bot
}

/// What looks like an IPv4 address, and is not libtorrent's version.
fn address(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let (first, others) = text.split_once("libtorrent/").unwrap_or((text, ""));
    let others = others.split("libtorrent/").map(|rest| rest.trim_start_matches(is_part));
    let words = std::iter::once(first).chain(others).flat_map(|part| part.split(|c| !is_part(c)));
    words.map(|word| word.trim_matches('.')).find(|word| {
        let parts: Vec<_> = word.split('.').collect();
        parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    })
}

pub(crate) fn somebody(user: u64, roles: &[u64]) -> Place {
    Place { guild: 1, channel: CHANNEL, user, roles: roles.to_vec() }
}

pub(crate) fn operator() -> Place {
    somebody(6, &[100])
}

/// The trace that is attached to a summary.
pub(crate) fn trace_of(summary: &Call) -> String {
    let (_, trace) = summary.files.iter().find(|(name, _)| name == "trace.txt").unwrap();
    String::from_utf8_lossy(trace).into_owned()
}

pub(crate) fn description(call: &Call) -> &str {
    call.body["embeds"][0]["description"].as_str().unwrap_or_default()
}

/// Whether it is an edit of a live message, which Discord took.
pub(crate) fn is_edit(call: &Call) -> bool {
    call.what.starts_with("PATCH /channels/") && call.status == 200
}

/// The message that a request edits.
pub(crate) fn message(call: &Call) -> u64 {
    call.what.rsplit('/').next().unwrap().parse().unwrap()
}
