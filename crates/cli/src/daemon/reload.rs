//! SIGHUP: the configuration is read again, and what can change while the daemon runs does.

use super::supervisor::tell;
use crate::args::{Command, CommandLine, Daemon as Args, Said, said};
use crate::console::{Console, json_line};
use daemon::Control;
use engine::{Session, SessionSettings};
use sd_notify::NotifyState;
use serde_json::json;
use tokio::signal::unix::Signal;

/// What can be another from now on. Everything else takes a restart.
const AT_ONCE: [&str; 6] = ["allow_host", "hooks", "max_active", "max_down", "max_up", "root"];

/// Reads the configuration again whenever that is asked for. Never returns.
pub(super) async fn follow(
    mut hangups: Signal,
    args: &Args,
    session: &Session,
    control: &Control,
    console: &Console,
) {
    let (json, mut known, mut hooks) = (args.session.json, args.said.clone(), args.hooks.clone());
    while hangups.recv().await.is_some() {
        let now = NotifyState::monotonic_usec_now();
        tell(&[Some(NotifyState::Reloading), now.ok()].into_iter().flatten().collect::<Vec<_>>());
        match reload(&known, session, control).await {
            Ok((args, mut changed)) => {
                changed.extend((args.hooks != hooks).then(|| "hooks".to_owned()));
                hooks = args.hooks;
                let (done, later): (Vec<&str>, Vec<&str>) =
                    changed.iter().map(String::as_str).partition(|key| AT_ONCE.contains(key));
                // What takes a restart is told again next time.
                known.extend(args.said.into_iter().filter(|(key, _)| AT_ONCE.contains(&key.as_str())));
                told(&done, &later, json, console);
            }
            Err(wrong) => {
                console.note(format_args!("the configuration stays as it was: {wrong}"));
                if json {
                    let _ = console.print(json_line(&json!({"event": "reload_failed", "error": wrong})));
                }
            }
        }
        tell(&[NotifyState::Ready]);
    }
    std::future::pending::<()>().await;
}

async fn reload(known: &Said, session: &Session, control: &Control) -> Result<(Args, Vec<String>), String> {
    let line = CommandLine::read().map_err(|error| said(&error).0)?;
    let Command::Daemon(args) = line.command else { return Err("it is no daemon any more".into()) };
    let differs = |key: &str| known.get(key) != args.said.get(key);
    let changed: Vec<String> = args.said.keys().filter(|key| differs(key)).cloned().collect();
    // The keys of webhooks may be others, whatever else is.
    let roots = differs("root").then(|| args.roots());
    control.set(roots, args.hooks.clone(), session).map_err(|error| error.to_string())?;
    if differs("allow_host") {
        control.set_hosts(&args.allow_host);
    }
    let (down, up, active) = (differs("max_down"), differs("max_up"), differs("max_active"));
    let (max_down, max_up) = (args.session.max_down, args.session.max_up);
    let max_active = args.session.max_active.map(usize::from);
    let change = move |settings: &mut SessionSettings| {
        settings.max_down = if down { max_down } else { settings.max_down };
        settings.max_up = if up { max_up } else { settings.max_up };
        settings.max_active = if active { max_active } else { settings.max_active };
    };
    session.edit_settings(change).await.map_err(|error| error.to_string())?;
    Ok((*args, changed))
}

fn told(done: &[&str], later: &[&str], json: bool, console: &Console) {
    if json {
        let _ = console.print(json_line(&json!({"event": "reloaded", "changed": done, "restart": later})));
    }
    let list = |keys: &[&str]| if keys.is_empty() { "nothing".into() } else { keys.join(", ") };
    let rest = match later {
        [] => String::new(),
        later => format!("; a restart is needed for: {}", list(later)),
    };
    console.note(format_args!("the configuration was read again; changed: {}{rest}", list(done)));
}
