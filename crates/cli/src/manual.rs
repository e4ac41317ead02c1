//! `completions` and `man`: what the command line says of itself, for shells and for `man`.

use crate::args::{CommandLine, Completions, Man};
use crate::console::Console;
use crate::failure::{Exit, Failure, OrFail, kind};
use clap::CommandFactory;

pub(crate) fn completions(args: &Completions, console: &Console) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "rawtorrent", &mut script);
    console.print(script)?;
    Ok(Exit::Done)
}

/// Of the whole on standard output; or a page for each command into a folder.
pub(crate) fn man(args: &Man, console: &Console) -> Result<Exit, Failure> {
    let command = CommandLine::command();
    let Some(dir) = &args.output else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).or_fail(kind::OUTPUT, "cannot make the page")?;
        console.print(page)?;
        return Ok(Exit::Done);
    };
    let doing = format!("cannot write to {}", dir.display());
    std::fs::create_dir_all(dir).or_fail(kind::OUTPUT, &doing)?;
    clap_mangen::generate_to(command, dir).or_fail(kind::OUTPUT, &doing)?;
    Ok(Exit::Done)
}
