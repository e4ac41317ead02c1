//! `config.toml`: what the daemon's options are when neither flag nor variable says so.
//!
//! There is no second list of settings: a key is an option's name with `_` for `-`, and its value becomes the option's default.
//! So each is checked, and refused, exactly as on the command line.

mod file;
mod hooks;

use super::CommandLine;
use clap::builder::OsStr;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use daemon::Hooks;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub(crate) use file::Config;

/// The most bytes of a configuration that are read. A longer one is refused.
const MAX_CONFIG: u64 = 256 * 1024;
/// What makes no sense in a file: where the file is, and what is printed.
const NOT_HERE: [&str; 5] = ["config", "print_config", "json", "help", "version"];

/// What each option is in the end, wherever that was said.
pub(crate) type Said = BTreeMap<String, Vec<OsString>>;

/// What the daemon was told.
pub(super) fn said(daemon: &ArgMatches) -> Said {
    let value = |arg: &Arg| {
        let values = daemon.get_raw(arg.get_id().as_str()).into_iter().flatten();
        (key(arg), values.map(ToOwned::to_owned).collect())
    };
    options().iter().map(value).collect()
}

/// The command line with what the file says as defaults of the daemon's options.
pub(super) fn with(command: Command, config: &Config) -> Command {
    command.mut_subcommand("daemon", |daemon| {
        daemon.mut_args(|arg| match config.get(&key(&arg)) {
            Some(values) => {
                let values: Vec<OsStr> = values.iter().map(OsStr::from).collect();
                arg.default_values(values)
            }
            None => arg,
        })
    })
}

/// Reads the file that was named, which must be there, or the usual one, if it is.
///
/// # Errors
/// One line that says what is wrong with it.
pub(super) fn read(named: Option<&Path>) -> Result<(Config, Hooks), String> {
    let usual = || usual_config("config.toml", |name| std::env::var_os(name));
    let Some(path) = named.map(Path::to_owned).or_else(usual) else { return Ok(Default::default()) };
    let told = |reason: String| format!("{}: {reason}", path.display());
    match read_bounded(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Default::default()),
        Err(error) => Err(told(error.to_string())),
        Ok(text) => parse(&text).and_then(|config| Ok((config, hooks::hooks(&text)?))).map_err(told),
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_CONFIG + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(io::Error::other("it is too long for a configuration"));
    }
    Ok(text)
}

fn parse(text: &str) -> Result<Config, String> {
    file::parse(text, &options().iter().map(key).collect::<Vec<_>>())
}

/// A configuration that says nothing yet: every setting, what it is for, and what it is called elsewhere.
pub(crate) fn template() -> String {
    let mut text = String::from(
        "# The configuration of 'rawtorrent daemon'. Flags and environment variables win over it.\n\
         # Its place is $XDG_CONFIG_HOME/rawtorrent/config.toml, or ~/.config/rawtorrent/config.toml, or what --config says.\n",
    );
    for arg in options() {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let flag = arg.get_long().unwrap_or_default();
        let env = arg.get_env().and_then(|env| env.to_str()).unwrap_or_default();
        // A string takes everything.
        let _ = write!(text, "\n# {help}\n# --{flag}, {env}\n# {} = {}\n", key(&arg), example(&arg));
    }
    text.push_str(hooks::TEMPLATE);
    text
}

fn example(arg: &Arg) -> String {
    let shown = arg.get_default_values().first().and_then(|value| value.to_str().map(str::to_owned));
    let hint = || {
        arg.get_value_names().and_then(|names| names.first()).map_or_else(String::new, ToString::to_string)
    };
    match arg.get_action() {
        ArgAction::SetTrue => "false".into(),
        ArgAction::Append => format!("[\"{}\"]", shown.unwrap_or_else(hint)),
        _ => format!("\"{}\"", shown.unwrap_or_else(hint)),
    }
}

/// The daemon's options that a file may set.
fn options() -> Vec<Arg> {
    let command = CommandLine::command();
    let daemon = command.find_subcommand("daemon").into_iter().flat_map(Command::get_arguments);
    daemon.filter(|arg| arg.get_long().is_some() && !NOT_HERE.contains(&key(arg).as_str())).cloned().collect()
}

fn key(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().replace('-', "_")
}

/// Where a file of ours is that says how things are to be.
pub(crate) fn usual_config(file: &str, env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let dir = |name| env(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let config = dir("XDG_CONFIG_HOME").or_else(|| Some(dir("HOME")?.join(".config")))?;
    Some(config.join("rawtorrent").join(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command as What;
    use clap::FromArgMatches;

    fn daemon(text: &str, line: &[&str]) -> Result<Box<crate::args::Daemon>, String> {
        let config = parse(text)?;
        let command = with(CommandLine::command(), &config);
        let matches = command.try_get_matches_from([&["rawtorrent", "daemon"], line].concat());
        let matches = matches.map_err(|error| super::super::usage_line(&error))?;
        match CommandLine::from_arg_matches(&matches).unwrap().command {
            What::Daemon(args) => Ok(args),
            _ => unreachable!("it is the daemon"),
        }
    }

    #[test]
    fn a_file_says_what_no_flag_says() {
        let text = "max_down = '10M'\nmax_peers = 7\nno_lsd = true\nno_pex = false\nroot = ['/a', '/b']\napi = '127.0.0.1:1'";
        let args = daemon(text, &["--max-peers", "9"]).unwrap();
        assert_eq!((args.session.max_down, args.session.max_peers), (Some(10_000_000), Some(9)));
        assert!(args.session.no_lsd && !args.session.no_pex && !args.session.no_dht);
        assert_eq!(args.root, [Path::new("/a"), Path::new("/b")]);
        assert_eq!(args.api, ["127.0.0.1:1".parse().unwrap()]);
    }

    #[test]
    fn what_makes_no_sense_is_told_on_one_line() {
        for (text, part) in [
            ("max_dwn = 1", "there is no setting 'max_dwn'"),
            ("json = true", "there is no setting 'json'"),
            ("\"a\\nb\" = 1", "there is no setting 'a\\nb'"),
            ("max_down = 'fast'", "'fast' is not a size"),
            ("max_peers = 0", "0 is not in 1..=65535"),
            ("no_lsd = 'perhaps'", "yes or no"),
            ("root = [['/a']]", "'root' must be"),
            ("[root]", "'root' must be"),
            ("max_down 1", "line 1"),
            ("a = 1\na = 2", "line 2"),
        ] {
            let said = daemon(text, &[]).map(drop).unwrap_err();
            assert!(said.contains(part) && !said.contains('\n'), "{text}: {said}");
        }
    }

    #[test]
    fn the_template_names_every_option_and_says_nothing() {
        let template = template();
        assert!(parse(&template).unwrap().is_empty());
        let uncommented: String = template
            .lines()
            .filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(parse(&uncommented).unwrap().len(), options().len(), "{uncommented}");
    }

    #[test]
    fn a_configuration_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let length = usize::try_from(MAX_CONFIG).unwrap();
        std::fs::write(&path, "#".repeat(length)).unwrap();
        assert!(read(Some(&path)).unwrap().0.is_empty());
        std::fs::write(&path, "#".repeat(length + 1)).unwrap();
        assert!(read(Some(&path)).unwrap_err().contains("too long"));
        assert!(read(Some(&dir.path().join("none"))).is_err());
    }
}
