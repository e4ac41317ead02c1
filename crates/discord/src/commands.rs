//! What can be asked: the commands, their options, the buttons.

use crate::access::Role;
use crate::allow::{Source, Wanted};
use crate::config::Config;
use crate::limits::{MAX_CHOICES, MAX_LINK, MAX_NAME};
use twilight_model::application::command::{Command, CommandType};
use twilight_model::application::interaction::InteractionContextType;
use twilight_model::application::interaction::application_command::{CommandData, CommandOptionValue};
use twilight_util::builder::command::{AttachmentBuilder, CommandBuilder, StringBuilder};

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// What may be downloaded.
    Torrents,
    /// Begin a download, by its name.
    Download(String),
    /// How downloads are doing.
    Status,
    /// Who the peers of a torrent are.
    Peers(Option<String>),
    /// A picture of a torrent's pieces.
    Pieces(Option<String>),
    /// Have something else said in the live message.
    Watch(Watch, Option<String>),
    /// What holds a torrent back.
    Why(Option<String>),
    /// What a message is for.
    Explain(String),
    /// Stop a download; whether its files go too.
    Stop(Option<String>, bool),
    /// Add to what may be downloaded.
    Allow(Wanted),
    /// What can be asked.
    Help,
}

/// What is said in a live message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Connections and handshakes.
    Handshakes,
    /// Requests and their answers.
    Requests,
    /// Everything.
    #[default]
    All,
}

impl Watch {
    /// All of them.
    pub const ALL: [Watch; 3] = [Watch::Handshakes, Watch::Requests, Watch::All];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Watch::Handshakes => "handshakes",
            Watch::Requests => "requests",
            Watch::All => "all",
        }
    }

    /// Whether a kind of event, or of message, is one of these.
    pub fn admits(self, name: &str) -> bool {
        match self {
            Watch::Handshakes => ["connection", "handshake", "extended"].contains(&name),
            Watch::Requests => ["request", "piece", "cancel", "reject request"].contains(&name),
            Watch::All => true,
        }
    }
}

/// A command, as its definition and the help tell it.
struct Told {
    name: &'static str,
    says: &'static str,
    needs: Role,
    /// The option that names a torrent, and whether it has to be given.
    torrent: Option<bool>,
}

const fn told(name: &'static str, needs: Role, torrent: Option<bool>, says: &'static str) -> Told {
    Told { name, says, needs, torrent }
}

const COMMANDS: [Told; 11] = [
    told("torrents", Role::Reader, None, "What may be downloaded, with sizes and licences"),
    told("download", Role::Operator, Some(true), "Download a torrent, and watch it arrive"),
    told("status", Role::Reader, None, "How the downloads are doing"),
    told("peers", Role::Reader, Some(false), "Who sends, how fast, with which client"),
    told("pieces", Role::Reader, Some(false), "A picture of which pieces are here"),
    told("watch", Role::Reader, Some(false), "What the live message shows of what is said"),
    told("why", Role::Reader, Some(false), "What holds a download back"),
    told("explain", Role::Reader, None, "What a message of the protocol is for"),
    told("stop", Role::Operator, Some(false), "Stop a download; its files stay, or go too"),
    told(
        "allow",
        Role::Admin,
        None,
        "Add a torrent to what may be downloaded: attach its file, or give a link",
    ),
    told("help", Role::Reader, None, "What can be asked"),
];

/// What becomes of files: that they stay is the other choice.
const REMOVE: &str = "remove";
const STAY: &str = "stay";

/// The commands as Discord is told them.
pub fn all() -> Vec<Command> {
    COMMANDS.iter().map(|told| define(told).build()).collect()
}

fn define(told: &Told) -> CommandBuilder {
    let mut command = CommandBuilder::new(told.name, told.says, CommandType::ChatInput)
        .contexts([InteractionContextType::Guild]);
    if told.name == "watch" {
        let choices = Watch::ALL.map(|watch| (watch.name(), watch.name()));
        command = command.option(StringBuilder::new("what", "Of what is said, what").choices(choices));
    }
    if told.name == "explain" {
        let message = StringBuilder::new("message", "Its name, such as bitfield").required(true);
        command = command.option(message.autocomplete(true));
    }
    if told.name == "allow" {
        let most = u16::try_from(MAX_NAME).unwrap_or(u16::MAX);
        let text = |name, says| StringBuilder::new(name, says).required(true).max_length(most);
        command = command
            .option(text("name", "What people are to call it"))
            .option(text("licence", "The licence that lets it be given to everybody"))
            .option(AttachmentBuilder::new("file", "Its .torrent file"))
            .option(StringBuilder::new("link", "Its magnet link or info-hash; trackers in it are not used"));
    }
    if let Some(required) = told.torrent {
        let name = StringBuilder::new("name", "Which torrent").required(required);
        command = command.option(name.autocomplete(true));
    }
    if told.name == "stop" {
        let choices = [STAY, REMOVE].map(|choice| (choice, choice));
        command = command.option(StringBuilder::new("files", "What becomes of its files").choices(choices));
    }
    command
}

/// What `/help` says.
pub fn help() -> String {
    let line = |told: &Told| {
        let needs = match told.needs {
            Role::Reader => String::new(),
            role => format!(" (role: {})", role.name()),
        };
        format!("`/{}` {}{needs}", told.name, told.says)
    };
    COMMANDS.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Order {
    /// Reads what Discord passes on.
    ///
    /// # Errors
    /// A line for who asked.
    pub fn read(data: &CommandData) -> Result<Order, String> {
        let text = |name: &str| {
            data.options.iter().find(|option| option.name == name).and_then(|option| match &option.value {
                CommandOptionValue::String(text) => Some(text.chars().take(MAX_NAME).collect::<String>()),
                _ => None,
            })
        };
        let required = |name: &str| text(name).ok_or_else(|| format!("The option '{name}' is missing."));
        Ok(match data.name.as_str() {
            "torrents" => Order::Torrents,
            "download" => Order::Download(required("name")?),
            "status" => Order::Status,
            "peers" => Order::Peers(text("name")),
            "pieces" => Order::Pieces(text("name")),
            "watch" => {
                let what = text("what").unwrap_or_else(|| Watch::All.name().to_owned());
                let watch = Watch::ALL.into_iter().find(|watch| watch.name() == what);
                Order::Watch(watch.ok_or("There are handshakes, requests and all.")?, text("name"))
            }
            "why" => Order::Why(text("name")),
            "explain" => Order::Explain(required("message")?),
            "stop" => Order::Stop(text("name"), text("files").as_deref() == Some(REMOVE)),
            "allow" => Order::Allow(wanted(data, required("name")?, required("licence")?)?),
            "help" => Order::Help,
            _ => return Err("I do not know that command; /help tells which there are.".to_owned()),
        })
    }

    /// What one has to be to ask for it.
    pub fn needs(&self) -> Role {
        match self {
            Order::Allow(_) => Role::Admin,
            Order::Download(_) | Order::Stop(..) => Role::Operator,
            _ => Role::Reader,
        }
    }
}

/// What is to be added: what is attached, or a link, and not both.
fn wanted(data: &CommandData, name: String, licence: String) -> Result<Wanted, String> {
    let attached = |id| data.resolved.as_ref().and_then(|resolved| resolved.attachments.get(&id));
    let sources = data.options.iter().filter_map(|option| match &option.value {
        CommandOptionValue::Attachment(id) if option.name == "file" => {
            attached(*id).map(|file| Source::File(file.url.clone(), file.size))
        }
        CommandOptionValue::String(link) if option.name == "link" => {
            Some(Source::Link(link.chars().take(MAX_LINK).collect()))
        }
        _ => None,
    });
    match <[Source; 1]>::try_from(sources.collect::<Vec<_>>()) {
        Ok([source]) => Ok(Wanted { name, licence, source }),
        Err(_) => Err("Attach a torrent file, or give a link: one of them.".into()),
    }
}

/// What the option that somebody is writing may become.
pub fn choices(config: &Config, data: &CommandData) -> Vec<String> {
    let writing = data.options.iter().find_map(|option| match &option.value {
        CommandOptionValue::Focused(text, _) => Some((option.name.as_str(), text.to_lowercase())),
        _ => None,
    });
    let Some((option, text)) = writing else { return Vec::new() };
    let names: Vec<&str> = match option {
        "message" => explained().map(|told| told.name).collect(),
        _ => config.torrents.iter().map(|entry| entry.name.as_str()).collect(),
    };
    let mut choices: Vec<_> = names.into_iter().filter(|name| name.to_lowercase().contains(&text)).collect();
    // What begins so comes first.
    choices.sort_by_key(|name| !name.to_lowercase().starts_with(&text));
    choices.into_iter().take(MAX_CHOICES).map(str::to_owned).collect()
}

/// What `/explain` knows.
fn explained() -> impl Iterator<Item = &'static trace::explain::Explained> {
    trace::explain::MESSAGES.iter().chain(&trace::explain::QUERIES)
}

/// What `/explain` says of a message or a query of the DHT; `None` if there is none of that name.
pub fn explain(name: &str) -> Option<String> {
    let told = trace::explain::find(name)?;
    Some(format!("**{}**: “{}” (BEP {})", told.name, told.says, told.bep))
}

/// A button under a live message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// What it does.
    pub does: Does,
    /// With which torrent: its id.
    pub id: String,
}

/// What buttons do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Does {
    /// Pause it.
    Pause,
    /// Go on.
    Resume,
    /// Stop it.
    Stop,
    /// Tell more.
    Detail,
}

impl Does {
    /// All of them.
    pub const ALL: [Does; 4] = [Does::Pause, Does::Resume, Does::Stop, Does::Detail];

    /// As it is written on it.
    pub fn label(self) -> &'static str {
        match self {
            Does::Pause => "Pause",
            Does::Resume => "Go on",
            Does::Stop => "Stop",
            Does::Detail => "Detail",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Does::Pause => "pause",
            Does::Resume => "resume",
            Does::Stop => "stop",
            Does::Detail => "detail",
        }
    }

    /// What one has to be to press it.
    pub fn needs(self) -> Role {
        match self {
            Does::Pause | Does::Resume | Does::Stop => Role::Operator,
            Does::Detail => Role::Reader,
        }
    }
}

impl Button {
    /// What Discord keeps of it.
    pub fn custom_id(&self) -> String {
        format!("{}:{}", self.does.word(), self.id)
    }

    /// Reads what Discord kept; `None` of a button that is not ours.
    pub fn read(custom_id: &str) -> Option<Button> {
        let (word, id) = custom_id.split_once(':')?;
        let does = Does::ALL.into_iter().find(|does| does.word() == word)?;
        let is_id = id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Button { does, id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::config::Entry;
    use crate::inert::length;
    use crate::limits::MAX_CONTENT;
    use std::collections::BTreeSet;
    use twilight_model::application::command::CommandOptionType;
    use twilight_model::application::interaction::application_command::CommandDataOption;
    use twilight_model::id::Id;

    fn data(name: &str, options: &[(&str, CommandOptionValue)]) -> CommandData {
        let option = |(name, value): &(&str, CommandOptionValue)| CommandDataOption {
            name: (*name).to_owned(),
            value: value.clone(),
        };
        CommandData {
            guild_id: None,
            id: Id::new(1),
            name: name.into(),
            kind: CommandType::ChatInput,
            options: options.iter().map(option).collect(),
            resolved: None,
            target_id: None,
        }
    }

    fn text(text: &str) -> CommandOptionValue {
        CommandOptionValue::String(text.into())
    }

    #[test]
    fn every_command_is_one_and_can_be_read() {
        let names: BTreeSet<_> = COMMANDS.iter().map(|told| told.name).collect();
        assert_eq!(names.len(), COMMANDS.len());
        for (command, told) in all().into_iter().zip(&COMMANDS) {
            let _ = define(told).validate().unwrap();
            let options: Vec<_> = command
                .options
                .iter()
                .filter(|option| option.kind == CommandOptionType::String)
                .map(|option| {
                    (option.name.as_str(), text(if option.name == "what" { "requests" } else { "x" }))
                })
                .collect();
            let order = Order::read(&data(&command.name, &options)).unwrap();
            assert_eq!(order.needs(), told.needs, "{}", command.name);
        }
        assert!(Order::read(&data("rm", &[])).is_err());
        assert!(Order::read(&data("download", &[])).is_err());
        let named = [("name", text("x")), ("licence", text("MIT"))];
        assert!(Order::read(&data("allow", &named)).unwrap_err().contains("one of them"));
        let long = [named[0].clone(), named[1].clone(), ("link", text(&"x".repeat(MAX_LINK + 1)))];
        let Order::Allow(wanted) = Order::read(&data("allow", &long)).unwrap() else { panic!() };
        assert_eq!(wanted.source, Source::Link("x".repeat(MAX_LINK)));
        assert!(Order::read(&data("watch", &[("what", text("secrets"))])).is_err());
        assert!(length(&help()) <= MAX_CONTENT);
        assert!(help().contains("`/download` Download a torrent, and watch it arrive (role: operator)"));
    }

    #[test]
    fn choices_are_those_that_fit_and_no_more_than_may_be() {
        let mut config = Config::parse("guilds = [1]").unwrap();
        let entry = |number: usize| Entry {
            info_hash: format!("{number:040x}"),
            name: format!("film {number}"),
            licence: "MIT".into(),
            size: Some(1),
            path: Some("x".into()),
        };
        config.torrents = (0..MAX_CHOICES + 5).map(entry).collect();
        let focused = |text: &str| CommandOptionValue::Focused(text.into(), CommandOptionType::String);
        let choices = |option, text| choices(&config, &data("x", &[(option, focused(text))]));
        assert_eq!(choices("name", "").len(), MAX_CHOICES);
        assert_eq!(choices("name", "M 29"), ["film 29"]);
        assert_eq!(choices("message", "bit"), ["bitfield"]);
        assert_eq!(choices("message", "request").first().unwrap(), "request");
        assert_eq!(choices("message", "").len(), trace::explain::MESSAGES.len());
        assert!(super::choices(&config, &data("x", &[("name", text("film"))])).is_empty());
    }

    #[test]
    fn every_message_is_explained_however_it_is_written() {
        for told in trace::explain::MESSAGES {
            for name in [told.name.to_owned(), told.name.to_uppercase(), told.name.replace(' ', "-")] {
                let text = explain(&name).unwrap();
                assert!(text.contains(told.says) && text.ends_with(&format!("(BEP {})", told.bep)), "{text}");
            }
        }
        assert_eq!(explain("bitfield").unwrap(), "**bitfield**: “what I have, one bit per piece” (BEP 3)");
        assert_eq!(explain("get_peers").unwrap().split_once(':').unwrap().0, "**get_peers**");
        assert!(explain("lt_donthave").unwrap().starts_with("**don't have**"));
        assert_eq!(explain("bitmap"), None);
    }

    #[test]
    fn buttons_are_read_again_and_others_are_not() {
        for does in Does::ALL {
            let button = Button { does, id: "ab".repeat(20) };
            assert_eq!(Button::read(&button.custom_id()), Some(button));
        }
        for other in ["", "stop", "stop:", "stop:../x", "rm:abababababababababababababababababababab"] {
            assert_eq!(Button::read(other), None);
        }
    }

    #[test]
    fn what_is_watched_is_called_as_the_trace_calls_it() {
        let known = |name: &str| {
            trace::explain::MESSAGES.iter().any(|told| told.name == name)
                || trace::Kind::ALL.iter().any(|kind| kind.name() == name)
        };
        for name in ["connection", "handshake", "extended"] {
            assert!(known(name) && Watch::Handshakes.admits(name), "{name}");
        }
        for name in ["request", "piece", "cancel", "reject request"] {
            assert!(known(name) && Watch::Requests.admits(name), "{name}");
        }
        assert!(!Watch::Requests.admits("have") && Watch::All.admits("have"));
    }
}
