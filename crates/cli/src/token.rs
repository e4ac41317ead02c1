//! `token`: who may use the daemon's API from elsewhere.

use crate::args::{Token, TokenAction, default_state_dir};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, kind};
use crate::text::printable;
use daemon::Tokens;
use serde_json::json;

pub(crate) fn run(args: &Token, console: &Console) -> Result<Exit, Failure> {
    let state_dir = args.state_dir.clone().or_else(|| default_state_dir(|name| std::env::var_os(name)));
    let state_dir = state_dir
        .ok_or_else(|| Failure::new(kind::STARTUP, "there is no home to keep state in (--state-dir)"))?;
    let fail = |error| Failure::new(kind::TOKEN, error);
    let mut tokens = Tokens::open(&state_dir).map_err(fail)?;
    match &args.action {
        TokenAction::Add { name, scope } => {
            let token = tokens.add(name, *scope).map_err(fail)?;
            let line = match args.json {
                true => json_line(&json!({"name": name, "scope": scope, "token": token})),
                false => format!("{token}\n"),
            };
            console.print(line)?;
        }
        TokenAction::List => {
            for token in tokens.all() {
                let line = match args.json {
                    true => json_line(
                        &json!({"name": token.name, "scope": token.scope, "created": token.created}),
                    ),
                    false => format!("{:<7} {}\n", token.scope.to_string(), printable(&token.name)),
                };
                console.print(line)?;
            }
        }
        TokenAction::Remove { name } => {
            tokens.remove(name).map_err(fail)?;
            if tokens.is_empty() {
                console.note(
                    "that was the last token: only the daemon's unix socket lets anybody in until there is another",
                );
            }
        }
    }
    Ok(Exit::Done)
}
