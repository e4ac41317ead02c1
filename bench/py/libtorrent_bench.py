"""libtorrent as fast as we could make it, for the benchmarks.

Its first line on stdout tells when Python and the library were loaded, and what that took: it is not counted. It ends
as soon as its work is done, without tidying up, for the same reason.
"""

import json
import os
import signal
import sys
import time

import libtorrent as lt

print(json.dumps({"loaded": time.monotonic(), "cpu": time.process_time()}), flush=True)

QUIET = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": int(lt.enc_policy.pe_disabled),
    "out_enc_policy": int(lt.enc_policy.pe_disabled),
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert.category_t.status_notification
    | lt.alert.category_t.storage_notification
    | lt.alert.category_t.error_notification,
}


def session(listen, settings):
    return lt.session(
        {
            **QUIET,
            "listen_interfaces": listen,
            "outgoing_interfaces": listen.rpartition(":")[0],
            **settings,
        }
    )


def parameters(torrent, folder, flags):
    is_link = torrent.startswith("magnet:")
    params = lt.parse_magnet_uri(torrent) if is_link else lt.load_torrent_file(torrent)
    params.save_path = folder
    params.trackers = []
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    params.flags |= flags
    return params


def alerts(ses):
    while True:
        ses.wait_for_alert(1000)
        for alert in ses.pop_alerts():
            if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert, lt.listen_failed_alert)):
                sys.exit(alert.message())
            yield alert


def leech(settings, torrent, folder, listen, *peers):
    ses = session(listen, settings)
    # What is in the files is not looked at, and not trusted: all of it is downloaded.
    params = parameters(torrent, folder, lt.torrent_flags.no_verify_files)
    # It dials those at once; one that it is told of later waits for the next tick.
    params.peers = [(host, int(port)) for host, _, port in (peer.rpartition(":") for peer in peers)]
    handle = ses.add_torrent(params)
    for alert in alerts(ses):
        if isinstance(alert, lt.torrent_finished_alert):
            # Blocks may still be unwritten.
            handle.flush_cache()
        elif isinstance(alert, lt.cache_flushed_alert) and handle.status().is_seeding:
            return


def seed(settings, torrent, folder, listen, limit="0"):
    ses = session(listen, settings)
    params = parameters(torrent, folder, 0)
    # The session's own limit is not for peers of the same network.
    params.upload_limit = int(limit)
    ses.add_torrent(params)
    for _ in alerts(ses):
        pass


def shelf(settings, torrents, folder, listen, saved):
    """Seeds all that is in a folder, with what it saved when it has done so before, until it is told to end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ses = session(listen, {**settings, "alert_mask": 0})
    for name in os.listdir(torrents):
        resume = os.path.join(saved, name)
        if os.path.exists(resume):
            with open(resume, "rb") as data:
                params = lt.read_resume_data(data.read())
        else:
            params = parameters(os.path.join(torrents, name), folder, 0)
        ses.async_add_torrent(params)
    signal.sigwait({signal.SIGTERM})
    save(ses, saved)


def save(ses, folder):
    os.makedirs(folder, exist_ok=True)
    handles = ses.get_torrents()
    for handle in handles:
        handle.save_resume_data(lt.save_resume_flags_t.save_info_dict)
    left = len(handles)
    while left > 0:
        ses.wait_for_alert(1000)
        for alert in ses.pop_alerts():
            if isinstance(alert, lt.save_resume_data_alert):
                name = f"{alert.params.ti.name()}.torrent"
                with open(os.path.join(folder, name), "wb") as out:
                    out.write(lt.write_resume_data_buf(alert.params))
                left -= 1
            elif isinstance(alert, lt.save_resume_data_failed_alert):
                sys.exit(alert.message())


def verify(settings, torrent, folder, listen):
    ses = session(listen, settings)
    handle = ses.add_torrent(parameters(torrent, folder, lt.torrent_flags.stop_when_ready))
    for alert in alerts(ses):
        if isinstance(alert, lt.torrent_checked_alert):
            if handle.status().progress < 1:
                sys.exit("not all of it is good")
            return


def create(settings, content, output, piece_len):
    files = lt.list_files(content)
    torrent = lt.create_torrent(files, int(piece_len), lt.create_torrent.v1_only)
    lt.set_piece_hashes(torrent, os.path.dirname(content))
    with open(output, "wb") as out:
        out.write(lt.bencode(torrent.generate()))


def version(_):
    print(lt.__version__)


if __name__ == "__main__":
    command, settings, *arguments = sys.argv[1:]
    {"leech": leech, "seed": seed, "verify": verify, "create": create, "shelf": shelf, "version": version}[command](
        json.loads(settings), *arguments
    )
    sys.stdout.flush()
    os._exit(0)
