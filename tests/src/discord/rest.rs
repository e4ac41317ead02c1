//! The REST API's side: what is asked, whether it may be, what is answered.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ANSWER_IN, APP, Call, EDIT_WINDOW, EDITS, Shared, State, TOKEN};

/// An answer.
struct Answer {
    status: u16,
    headers: String,
    body: Value,
}

pub(super) fn serve(stream: TcpStream, shared: &Shared) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut read = BufReader::new(stream);
    // An error is the end of this connection.
    while let Ok(Some((method, path, head, body))) = request(&mut read) {
        if path.starts_with("/attachments/") {
            if download(&mut out, shared, &path, &head).is_err() {
                return;
            }
            continue;
        }
        let (broken, answer) = shared.change(|state| {
            let answer = answer(state, &method, &path, &head, &body);
            let is_meant = state.broken.front().is_some_and(|(end, ..)| path.ends_with(end));
            let broken = if is_meant { state.broken.pop_front() } else { None };
            if let (Some((_, status, _)), Some(call)) = (&broken, state.calls.last_mut()) {
                call.status = *status;
            }
            (broken.map(|(_, status, text)| (status, text)), answer)
        });
        let text = if answer.status == 204 { String::new() } else { answer.body.to_string() };
        let (status, text) = broken.unwrap_or((answer.status, text));
        let text = if status == 204 { String::new() } else { text };
        let written = write!(
            out,
            "HTTP/1.1 {} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}\r\n{text}",
            status,
            text.len(),
            answer.headers,
        );
        if written.is_err() {
            return;
        }
    }
}

/// What somebody attached; what is called `away` is said to be elsewhere.
fn download(out: &mut TcpStream, shared: &Shared, path: &str, head: &str) -> io::Result<()> {
    let file = shared.change(|state| {
        if header(head, "authorization").is_some() {
            state.fault("the token was shown to where attachments are");
        }
        state.uploads.get(path).cloned()
    });
    let (status, file) = file.map_or((404, Vec::new()), |file| (200, file));
    if path.ends_with("/away") {
        let place = String::from_utf8_lossy(&file);
        return write!(out, "HTTP/1.1 302 x\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
    }
    write!(out, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", file.len())?;
    out.write_all(&file)
}

type Request = (String, String, String, Vec<u8>);

fn request(read: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if read.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut words = head.split(' ');
    let (method, path) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    read.take(length).read_to_end(&mut body)?;
    let path =
        path.strip_prefix("/api/v10").unwrap_or(&path).split('?').next().unwrap_or_default().to_owned();
    Ok(Some((method, path, head, body)))
}

fn header(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn answer(state: &mut State, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
    let (json, files) = parts(head, body);
    let what = format!("{method} {path}");
    if files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > ATTACHED {
        state.fault("too much is attached");
    }
    let answer = judge(state, method, path, head, &json);
    state.calls.push(Call { what, body: json, files, status: answer.status });
    answer
}

fn done(body: Value) -> Answer {
    Answer { status: 200, headers: String::new(), body }
}

fn refused(status: u16, code: u32, message: &str) -> Answer {
    Answer { status, headers: String::new(), body: json!({"code": code, "message": message}) }
}

fn limited(scope: &str) -> Answer {
    let after = wait(scope).as_secs_f32();
    let headers = match scope {
        "" => "retry-after: 1\r\n".to_owned(),
        "global" => "retry-after: 1\r\nx-ratelimit-global: true\r\nx-ratelimit-scope: global\r\n".to_owned(),
        _ => format!(
            "retry-after: 1\r\nx-ratelimit-scope: {scope}\r\nx-ratelimit-bucket: b\r\nx-ratelimit-limit: 5\r\n\
             x-ratelimit-remaining: 0\r\nx-ratelimit-reset-after: {after}\r\nx-ratelimit-reset: 0\r\n"
        ),
    };
    let global = scope == "global";
    let body = json!({"message": "You are being rate limited.", "retry_after": after, "global": global});
    Answer { status: 429, headers, body }
}

/// How long one has to wait after a 429. Of one's own bucket that is told in more than whole seconds.
fn wait(scope: &str) -> Duration {
    if scope == "user" { Duration::from_millis(300) } else { Duration::from_secs(1) }
}

/// Requests that may be on their way while all of them begin to be refused.
const ON_THEIR_WAY: usize = 4;

fn judge(state: &mut State, method: &str, path: &str, head: &str, body: &Value) -> Answer {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let by_token = matches!(parts[0], "interactions" | "webhooks");
    if !by_token && header(head, "authorization").as_deref() != Some(&format!("Bot {TOKEN}")) {
        return refused(401, 0, "401: Unauthorized");
    }
    let what = format!("{method} {path}");
    if state.refused.remove(&what).is_some_and(|until| Instant::now() < until) {
        state.fault(format!("asked again too soon: {what}"));
    }
    if let Some((until, asked)) = &mut state.held
        && Instant::now() < *until
    {
        *asked += 1;
        if *asked > ON_THEIR_WAY {
            state.fault(format!("asked while all had to wait: {what}"));
        }
        return limited("global");
    }
    if let Some(scope) = state.refuse.pop_front() {
        if matches!(scope, "" | "global") {
            state.held = Some((Instant::now() + wait(scope), 0));
            return limited(scope);
        }
        state.refused.insert(what, Instant::now() + wait(scope));
        return limited(scope);
    }
    if let ["channels", channel, ..] = parts[..]
        && channel.parse().is_ok_and(|channel| state.gone.contains(&channel))
    {
        return refused(404, 10003, "Unknown Channel");
    }
    match (method, &parts[..]) {
        ("GET", ["applications", "@me"]) => done(json!({
            "id": APP.to_string(), "name": "bot", "description": "", "icon": null, "bot_public": false,
            "bot_require_code_grant": false, "verify_key": "", "team": null, "flags": 0,
        })),
        ("PUT", ["applications", _, "guilds", _, "commands"]) => done(json!([])),
        ("POST", ["interactions", _, token, "callback"]) => {
            match state.asked.remove(*token) {
                Some(since) if since.elapsed() <= ANSWER_IN => {}
                Some(since) => {
                    state.fault(format!("an interaction was answered after {:?}: {body}", since.elapsed()));
                }
                None => state.fault("an interaction was answered twice"),
            }
            if body["type"] == 4 {
                check(state, &body["data"]);
            }
            let choices = body["data"]["choices"].as_array().map_or(&[][..], Vec::as_slice);
            let is_long = |choice: &Value| {
                !(1..=100).contains(&length(&choice["name"])) || length(&choice["value"]) > 100
            };
            if choices.len() > 25 || choices.iter().any(is_long) {
                state.fault("choices are too many or too long");
            }
            Answer { status: 204, headers: String::new(), body: Value::Null }
        }
        ("PATCH", ["webhooks", _, _, "messages", "@original"]) => {
            check(state, body);
            let id = state.id();
            done(message(id, 0))
        }
        ("POST", ["channels", channel, "messages"]) => {
            check(state, body);
            let (id, channel) = (state.id(), channel.parse().unwrap_or(0));
            state.messages.insert(id, channel);
            done(message(id, channel))
        }
        ("POST", ["channels", channel, "messages", message, "threads"]) => {
            let (channel, message) = (channel.parse().unwrap_or(0), message.parse().unwrap_or(0));
            thread(state, channel, message, body)
        }
        ("PATCH", ["channels", thread]) => {
            if body["archived"] == false {
                state.archived.remove(&thread.parse().unwrap_or(0));
            }
            done(json!({"id": thread, "type": 11, "name": "thread"}))
        }
        ("PATCH", ["channels", channel, "messages", id]) => {
            let (channel, id) = (channel.parse().unwrap_or(0), id.parse().unwrap_or(0));
            edit(state, channel, id, body)
        }
        _ => {
            state.fault(format!("a request that is none: {method} {path}"));
            refused(404, 0, "404: Not Found")
        }
    }
}

/// Bytes that may be attached to a message where nobody paid for more.
const ATTACHED: usize = 10 << 20;

/// Characters as Discord counts them.
fn length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.encode_utf16().count())
}

/// Begins a thread below a message, which can have one.
fn thread(state: &mut State, channel: u64, message: u64, body: &Value) -> Answer {
    if state.messages.get(&message) != Some(&channel) {
        return refused(404, 10008, "Unknown Message");
    }
    if !matches!(body["auto_archive_duration"].as_u64(), Some(60 | 1440 | 4320 | 10080)) {
        state.fault(format!("a thread is archived after {}", body["auto_archive_duration"]));
    }
    if !(1..=100).contains(&length(&body["name"])) {
        state.fault(format!("a thread is called {}", body["name"]));
    }
    // A thread has the id of the message that it began with.
    if state.threads.insert(message, channel).is_some() {
        return refused(400, 160_004, "A thread has already been created for this message");
    }
    done(json!({"id": message.to_string(), "type": 11, "name": body["name"]}))
}

fn edit(state: &mut State, channel: u64, id: u64, body: &Value) -> Answer {
    if state.messages.get(&id) != Some(&channel) {
        return refused(404, 10008, "Unknown Message");
    }
    if state.archived.contains(&channel) {
        return refused(400, 50083, "Thread is archived");
    }
    let edits = state.edits.entry(channel).or_default();
    edits.retain(|at| at.elapsed() < EDIT_WINDOW);
    if edits.len() >= EDITS {
        state.fault("a channel was edited too often");
        return limited("user");
    }
    edits.push(Instant::now());
    check(state, body);
    done(message(id, channel))
}

fn message(id: u64, channel: u64) -> Value {
    let author = json!({"id": "1", "username": "bot", "discriminator": "0", "avatar": null});
    json!({
        "id": id.to_string(), "channel_id": channel.max(1).to_string(), "author": author, "content": "", "type": 0,
        "timestamp": "2026-01-01T00:00:00.000000+00:00", "edited_timestamp": null, "tts": false, "pinned": false,
        "mention_everyone": false, "mentions": [], "mention_roles": [], "attachments": [], "embeds": [],
    })
}

/// That a message keeps to the limits, and mentions nobody.
fn check(state: &mut State, body: &Value) {
    if body["allowed_mentions"]["parse"] != json!([]) {
        state.fault(format!("a message may mention people: {}", body["allowed_mentions"]));
    }
    let mut all = 0;
    for embed in body["embeds"].as_array().into_iter().flatten() {
        let (title, text, foot) =
            (length(&embed["title"]), length(&embed["description"]), length(&embed["footer"]["text"]));
        all += title + text + foot;
        if title > 256 || text > 4096 || foot > 2048 {
            state.fault(format!("an embed is too long: {title}, {text}, {foot}"));
        }
    }
    if length(&body["content"]) > 2000 || all > 6000 {
        state.fault("a message is too long");
    }
    for row in body["components"].as_array().into_iter().flatten() {
        let buttons = row["components"].as_array().map_or(&[][..], Vec::as_slice);
        let is_long = |button: &Value| {
            !(1..=100).contains(&length(&button["custom_id"])) || length(&button["label"]) > 80
        };
        if !(1..=5).contains(&buttons.len()) || buttons.iter().any(is_long) {
            state.fault("buttons are too many, or too long, or a row has none");
        }
    }
}

/// The JSON of a request, and what is attached to it.
fn parts(head: &str, body: &[u8]) -> (Value, Vec<(String, Vec<u8>)>) {
    let boundary =
        header(head, "content-type").and_then(|kind| Some(kind.split_once("boundary=")?.1.to_owned()));
    let Some(boundary) = boundary else {
        return (serde_json::from_slice(body).unwrap_or(Value::Null), Vec::new());
    };
    let (mut json, mut files) = (Value::Null, Vec::new());
    for part in split(body, format!("--{}", boundary.trim_matches('"')).as_bytes()) {
        let Some(end) = find(part, b"\r\n\r\n") else { continue };
        let (head, bytes) = (String::from_utf8_lossy(&part[..end]), &part[end + 4..]);
        let bytes = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
        match head.split_once("filename=\"") {
            Some((_, rest)) => {
                files.push((rest.split('"').next().unwrap_or_default().to_owned(), bytes.to_vec()));
            }
            None => json = serde_json::from_slice(bytes).unwrap_or(Value::Null),
        }
    }
    (json, files)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn split<'a>(mut bytes: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, by) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + by.len()..];
    }
    parts.push(bytes);
    parts
}
