//! Programs that are run.

use super::{Event, Hook, words};
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Bytes that a program writes to each of its outputs and that go to the log. More is read and dropped.
pub(crate) const MAX_OUTPUT: usize = 4096;
/// What a program sees of our environment.
const PASSED: [&str; 6] = ["HOME", "LANG", "LC_ALL", "PATH", "TZ", "USER"];

/// Runs a program until it ends, or is killed.
pub(super) async fn run(hook: &Hook, event: &Event) {
    let program = hook.command.first().map(String::as_str).unwrap_or_default();
    let (id, what) = (event.id.as_str(), event.what.name());
    let mut child = match command(hook, event).spawn() {
        Ok(child) => child,
        Err(error) => return tracing::warn!(program, id, event = what, "a hook cannot be run: {error}"),
    };
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    match timeout(Duration::from_secs(hook.timeout), outcome(&mut child)).await {
        Ok((code, said)) => {
            group.let_go();
            let said = said.trim_end();
            match code {
                Some(0) => tracing::info!(program, id, event = what, said, "a hook was run"),
                code => tracing::warn!(program, id, event = what, code, said, "a hook failed"),
            }
        }
        Err(_) => {
            drop(group);
            let _ = child.wait().await;
            tracing::warn!(
                program,
                id,
                event = what,
                "a hook took more than {} s and was killed",
                hook.timeout
            );
        }
    }
}

/// A program and what it started: killed together if they are not let go.
struct Group(Option<Pid>);

impl Group {
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Its exit code, and what it said.
async fn outcome(child: &mut Child) -> (Option<i32>, String) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err, ended) = tokio::join!(bounded(out), bounded(err), child.wait());
    (ended.ok().and_then(|ended| ended.code()), [out, err].concat())
}

/// The beginning of what comes; the rest is read too, so that nobody waits.
async fn bounded(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else { return String::new() };
    let (mut kept, mut chunk) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let room = MAX_OUTPUT - kept.len();
        kept.extend_from_slice(&chunk[..count.min(room)]);
    }
    // It may be a stranger's words.
    String::from_utf8_lossy(&kept).escape_debug().to_string()
}

fn command(hook: &Hook, event: &Event) -> Command {
    let mut parts = hook.command.iter();
    let mut command = Command::new(parts.next().map(String::as_str).unwrap_or_default());
    command.args(parts.map(|part| event.fill(part)));
    command.env_clear().envs(PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("RAWTORRENT_EVENT", event.what.name()).env("RAWTORRENT_ID", &event.id);
    command.env("RAWTORRENT_NAME", words(&event.name)).env("RAWTORRENT_PATH", &event.path);
    if let Some(reason) = &event.reason {
        command.env("RAWTORRENT_REASON", words(reason));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.current_dir("/").process_group(0).kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_program_says_has_an_end() {
        let most = vec![b'x'; MAX_OUTPUT];
        assert_eq!(bounded(Some(&most[..])).await.len(), MAX_OUTPUT);
        let more = vec![b'x'; MAX_OUTPUT + 1];
        assert_eq!(bounded(Some(&more[..])).await.len(), MAX_OUTPUT);
        assert_eq!(bounded(Some(&b"a\x1b[2J\nb"[..])).await, "a\\u{1b}[2J\\nb");
    }
}
