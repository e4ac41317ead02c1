//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the program at once.
//!
//! A thread of its own listens, so that no work can keep a second Ctrl-C waiting.

use crate::console::Console;
use crate::failure::{Exit, Failure, OrFail, kind};
use std::io;
use std::thread;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Knows whether somebody asked for an end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Returns once an end has been asked for.
    pub(crate) async fn asked(&mut self) {
        if self.0.wait_for(|&asked| asked).await.is_err() {
            // The listener has no other end than the program's: this is never reached, and means "never asked".
            std::future::pending::<()>().await;
        }
    }
}

/// Listens from now on; the caller stops cleanly when asked to.
pub(crate) fn graceful(console: &Console) -> Result<Interrupt, Failure> {
    let (asked, interrupt) = watch::channel(false);
    let console = console.clone();
    listen(move |times| match times {
        1 => drop(asked.send_replace(true)),
        _ => end(&console),
    })
    .or_fail(kind::STARTUP, "cannot listen for Ctrl-C")?;
    Ok(Interrupt(interrupt))
}

/// Listens from now on; for work that leaves nothing half done, the first Ctrl-C ends the program.
pub(crate) fn immediate(console: &Console) -> Result<(), Failure> {
    let console = console.clone();
    listen(move |_| end(&console)).or_fail(kind::STARTUP, "cannot listen for Ctrl-C")
}

fn end(console: &Console) -> ! {
    console.put_away_bars();
    std::process::exit(Exit::Interrupted.code())
}

/// Calls `heard` with 1, 2, and so on, from a thread of its own.
fn listen(heard: impl Fn(u32) + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            for times in 1.. {
                either(&mut interrupt, &mut terminate).await;
                heard(times);
            }
        });
    })?;
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
