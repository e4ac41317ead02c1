//! The command line of `completions` and `man`.

use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

/// Print what has a shell complete rawtorrent's command lines
///
/// bash: rawtorrent completions bash > ~/.local/share/bash-completion/completions/rawtorrent
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Print rawtorrent's manual page, or write those of all commands
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder to write a page for each command into, such as ~/.local/share/man/man1
    #[arg(short, long, value_name = "DIR", env = "RAWTORRENT_OUTPUT")]
    pub(crate) output: Option<PathBuf>,
}
