//! A stand-in for Discord on loopback: its gateway and its REST API, version 10, as far as a bot uses them.
//!
//! It holds the bot to the rules: who it is, how long texts and embeds are, that nobody is mentioned, that interactions are
//! answered in time, that no channel is edited too often, that who is refused waits as long as it was told, that a session is
//! resumed by its id. What breaks one is in [`Discord::faults`].

mod rest;
mod socket;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use socket::Socket;

/// The application's id.
pub const APP: u64 = 4242;
/// The token that is expected of the bot.
pub const TOKEN: &str = "MTIzNDU2.stand-in.NotASecretOfAnybody";
/// How long the bot has to answer an interaction.
pub const ANSWER_IN: Duration = Duration::from_secs(3);
/// Edits that a channel takes in [`EDIT_WINDOW`].
const EDITS: usize = 5;
const EDIT_WINDOW: Duration = Duration::from_secs(5);

/// A request of the bot, as it was answered.
#[derive(Clone, Debug)]
pub struct Call {
    /// `POST /channels/1/messages`, and so on.
    pub what: String,
    /// Its JSON.
    pub body: Value,
    /// Names and bytes of what is attached.
    pub files: Vec<(String, Vec<u8>)>,
    /// The status of the answer.
    pub status: u16,
}

/// The stand-in.
#[derive(Debug)]
pub struct Discord {
    /// Where its REST API is.
    pub rest: SocketAddr,
    /// Where its gateway is.
    pub gateway: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    faults: Vec<String>,
    /// Channel of each message.
    messages: BTreeMap<u64, u64>,
    /// Channel of each thread.
    threads: BTreeMap<u64, u64>,
    next_id: u64,
    edits: BTreeMap<u64, Vec<Instant>>,
    /// Threads that are archived.
    archived: BTreeSet<u64>,
    /// Channels that were deleted.
    gone: BTreeSet<u64>,
    /// The scopes of the 429s that the next requests are answered with; the empty one is that of a proxy.
    refuse: VecDeque<&'static str>,
    /// Until when all is refused, and how much was asked since that was said first.
    held: Option<(Instant, usize)>,
    /// What the next requests are answered with whose paths end so.
    broken: VecDeque<(&'static str, u16, String)>,
    /// When what was refused may be asked again.
    refused: BTreeMap<String, Instant>,
    /// What people attached, by its path.
    uploads: BTreeMap<String, Vec<u8>>,
    /// When each interaction came; none once it is answered.
    asked: BTreeMap<String, Instant>,
    sockets: Vec<Socket>,
    sequence: u64,
    identified: usize,
    resumed: usize,
    heartbeats: usize,
}

impl Discord {
    /// Starts it; it answers until the test ends.
    ///
    /// # Errors
    /// No port is free.
    pub fn start() -> io::Result<Discord> {
        let (rest, gateway) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let shared = Arc::new(Shared {
            state: Mutex::new(State { next_id: 9000, ..State::default() }),
            ..Shared::default()
        });
        let discord = Discord { rest: rest.local_addr()?, gateway: gateway.local_addr()?, shared };
        let shared = discord.shared.clone();
        thread::spawn(move || {
            for stream in rest.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || rest::serve(stream, &shared));
            }
        });
        let (shared, addr) = (discord.shared.clone(), discord.gateway);
        thread::spawn(move || {
            for stream in gateway.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || {
                    if let Ok(socket) = Socket::accept(stream) {
                        shared.lock().sockets.push(socket.clone());
                        // An error is the end of this connection.
                        let _ = talk(&socket, &shared, addr);
                        socket.cut();
                    }
                });
            }
        });
        Ok(discord)
    }

    /// Waits until something is so; `None` after `limit`.
    pub fn wait<T>(&self, limit: Duration, is: impl Fn(&Seen<'_>) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = is(&Seen(&state)) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All requests up to now.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// The rules that were broken.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut state = self.shared.lock();
        let late: Vec<String> = state
            .asked
            .values()
            .filter(|since| since.elapsed() > ANSWER_IN)
            .map(|_| "no answer".into())
            .collect();
        state.faults.extend(late);
        state.faults.clone()
    }

    /// Somebody uses a command. What comes back is the interaction's token.
    #[must_use]
    pub fn command(&self, place: &Place, name: &str, options: &[(&str, &str)]) -> String {
        self.interact(place, 2, &json!({"id": "77", "name": name, "type": 1, "options": given(options)}))
    }

    /// Somebody uses a command with a file, of which Discord says where it is and how large.
    #[must_use]
    pub fn command_with(
        &self,
        place: &Place,
        name: &str,
        options: &[(&str, &str)],
        (url, size): (&str, u64),
    ) -> String {
        let file = json!({"id": "88", "filename": "x.torrent", "size": size, "url": url, "proxy_url": url,
                          "content_type": null});
        let mut options = given(options);
        options.push(json!({"name": "file", "type": 11, "value": "88"}));
        let data = json!({"id": "77", "name": name, "type": 1, "options": options,
                          "resolved": {"attachments": {"88": file}}});
        self.interact(place, 2, &data)
    }

    /// Keeps a file as Discord keeps what is attached; its URL.
    #[must_use]
    pub fn attach(&self, name: &str, file: &[u8]) -> String {
        let path = format!("/attachments/1/2/{name}");
        self.shared.lock().uploads.insert(path.clone(), file.to_vec());
        format!("http://{}{path}", self.rest)
    }

    /// Somebody is writing an option.
    #[must_use]
    pub fn complete(&self, place: &Place, name: &str, option: &str, text: &str) -> String {
        let option = json!({"name": option, "type": 3, "value": text, "focused": true});
        self.interact(place, 4, &json!({"id": "77", "name": name, "type": 1, "options": [option]}))
    }

    /// Somebody presses a button.
    #[must_use]
    pub fn press(&self, place: &Place, custom_id: &str) -> String {
        self.interact(place, 3, &json!({"custom_id": custom_id, "component_type": 2}))
    }

    fn interact(&self, place: &Place, kind: u8, data: &Value) -> String {
        let mut state = self.shared.lock();
        let id = state.id();
        let token = format!("interaction-{id}");
        let user = json!({"id": place.user.to_string(), "username": "somebody", "discriminator": "0", "avatar": null});
        let roles: Vec<_> = place.roles.iter().map(ToString::to_string).collect();
        let mut channel =
            json!({"id": place.channel.to_string(), "type": 0, "guild_id": place.guild.to_string()});
        if let Some(parent) = state.threads.get(&place.channel) {
            channel["type"] = json!(11);
            channel["parent_id"] = json!(parent.to_string());
        }
        let interaction = json!({
            "id": id.to_string(), "application_id": APP.to_string(), "type": kind, "token": token, "version": 1,
            "guild_id": place.guild.to_string(), "channel_id": place.channel.to_string(),
            "channel": channel,
            "member": {"user": user, "roles": roles, "deaf": false, "mute": false, "flags": 0, "joined_at": null,
                       "permissions": "0"},
            "authorizing_integration_owners": {}, "entitlements": [], "data": data,
        });
        state.asked.insert(token.clone(), Instant::now());
        state.dispatch("INTERACTION_CREATE", &interaction);
        token
    }

    /// Answers the next requests with 429: of each the scope is given, `user`, `shared`, or `global`, with which all others are
    /// refused for as long; so they are with an empty one, as by a proxy that tells nothing but how long.
    pub fn refuse(&self, scopes: &[&'static str]) {
        self.shared.lock().refuse.extend(scopes);
    }

    /// Somebody deletes a message.
    pub fn delete(&self, message: u64) {
        self.shared.lock().messages.remove(&message);
    }

    /// Somebody deletes a channel or thread, with its messages.
    pub fn delete_channel(&self, channel: u64) {
        let mut state = self.shared.lock();
        state.gone.insert(channel);
        state.messages.retain(|_, of| *of != channel);
    }

    /// Nobody wrote in a thread for long.
    pub fn archive(&self, thread: u64) {
        self.shared.lock().archived.insert(thread);
    }

    /// The bot comes to a guild.
    pub fn join(&self, guild: u64) {
        let data = json!({"id": guild.to_string(), "unavailable": true});
        self.shared.lock().dispatch("GUILD_CREATE", &data);
    }

    /// Says something over the gateway: 7 asks to connect again, 9 ends the session.
    pub fn tell(&self, op: u8, data: &Value) {
        let message = json!({"op": op, "t": null, "s": null, "d": data});
        self.shared.lock().sockets.retain(|socket| socket.send(&message).is_ok());
    }

    /// Says something that need not be a message of the gateway.
    pub fn say(&self, text: &str) {
        self.shared.lock().sockets.retain(|socket| socket.text(text).is_ok());
    }

    /// Answers the next request with this, whatever it asks.
    pub fn break_next(&self, status: u16, body: &str) {
        self.shared.lock().broken.push_back(("", status, body.to_owned()));
    }

    /// Answers the next request with this whose path ends so, once what was to be answered otherwise before was; it is done all
    /// the same.
    pub fn break_at(&self, end: &'static str, status: u16) {
        self.shared.lock().broken.push_back((end, status, "{}".into()));
    }

    /// Cuts all connections with the gateway.
    pub fn cut(&self) {
        self.shared.lock().sockets.drain(..).for_each(|socket| socket.cut());
    }
}

/// Options of a command as Discord passes them on.
fn given(options: &[(&str, &str)]) -> Vec<Value> {
    options.iter().map(|(name, value)| json!({"name": name, "type": 3, "value": value})).collect()
}

/// Where somebody is, and who.
#[derive(Clone, Debug)]
pub struct Place {
    /// The guild.
    pub guild: u64,
    /// The channel.
    pub channel: u64,
    /// The user.
    pub user: u64,
    /// The user's roles.
    pub roles: Vec<u64>,
}

/// What is known while one waits.
#[derive(Debug)]
pub struct Seen<'a>(&'a State);

impl Seen<'_> {
    /// All requests.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.0.calls
    }

    /// How often a bot identified itself, resumed a session, and said that it lives.
    #[must_use]
    pub fn sessions(&self) -> (usize, usize, usize) {
        (self.0.identified, self.0.resumed, self.0.heartbeats)
    }

    /// The answer that was given to an interaction last, if its deferred answer is done.
    #[must_use]
    pub fn answer(&self, token: &str) -> Option<&Call> {
        let call = self.0.calls.iter().rev().find(|call| call.what.contains(token) && call.status < 300)?;
        let is_deferred = call.body["type"] == 5 || call.body["type"] == 6;
        (!is_deferred).then_some(call)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }
}

impl State {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn dispatch(&mut self, event: &str, data: &Value) {
        self.sequence += 1;
        let message = json!({"op": 0, "t": event, "s": self.sequence, "d": data});
        self.sockets.retain(|socket| socket.send(&message).is_ok());
    }

    fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }
}

/// The gateway's side of a connection.
fn talk(socket: &Socket, shared: &Shared, addr: SocketAddr) -> io::Result<()> {
    socket.send(&json!({"op": 10, "t": null, "s": null, "d": {"heartbeat_interval": 5000}}))?;
    while let Some(said) = socket.read()? {
        match said["op"].as_u64() {
            Some(1) => {
                shared.change(|state| state.heartbeats += 1);
                socket.send(&json!({"op": 11, "t": null, "s": null, "d": null}))?;
            }
            Some(2) => shared.change(|state| {
                if said["d"]["token"] != format!("Bot {TOKEN}") && said["d"]["token"] != TOKEN {
                    state.fault("identify with another token");
                }
                state.identified += 1;
                let user = json!({"id": "1", "username": "bot", "discriminator": "0", "avatar": null, "banner": null,
                                  "accent_color": null, "mfa_enabled": false, "bot": true});
                state.dispatch("READY", &json!({
                    "v": 10, "user": user, "guilds": [], "session_id": "the-session",
                    "resume_gateway_url": format!("ws://{addr}"),
                    "application": {"id": APP.to_string(), "flags": 0},
                }));
            }),
            Some(6) => shared.change(|state| {
                if said["d"]["session_id"] != "the-session" || said["d"]["seq"].as_u64() > Some(state.sequence) {
                    state.fault(format!("resume of another session: {}", said["d"]["seq"]));
                }
                state.resumed += 1;
                state.dispatch("RESUMED", &json!({}));
            }),
            _ => shared.change(|state| state.fault(format!("an operation that is none: {}", said["op"]))),
        }
    }
    Ok(())
}
