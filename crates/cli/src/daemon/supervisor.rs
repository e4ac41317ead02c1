//! Who started the daemon and watches over it: systemd, or whoever speaks as it does.

use crate::failure::{Failure, OrFail, kind};
use daemon::Inherited;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::future::pending;
use tokio::time::interval;

/// The sockets that were passed to us. To be called before there are threads.
pub(super) fn inherited() -> Result<Inherited, Failure> {
    let mut passed = ListenFd::from_env();
    let mut inherited = Inherited::default();
    for at in 0..passed.len() {
        // One that is of the other kind stays, to be tried as that.
        if let Ok(Some(listener)) = passed.take_unix_listener(at) {
            inherited.unix.push(listener);
            continue;
        }
        let doing = "cannot serve at a socket that was passed (LISTEN_FDS)";
        inherited.tcp.extend(passed.take_tcp_listener(at).or_fail(kind::STARTUP, doing)?);
    }
    Ok(inherited)
}

/// Says how it stands, if anybody asked.
pub(super) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("who started the daemon does not hear of it: {error}");
    }
}

/// Shows a sign of life as often as was asked for, on the threads that answer requests. Never returns.
pub(super) async fn watchdog() {
    let Some(every) = sd_notify::watchdog_enabled().filter(|every| !every.is_zero()) else {
        return pending().await;
    };
    let mut ticks = interval(every / 2);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}
