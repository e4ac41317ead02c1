"""libtorrent behind rawtorrent's command line: `create`, `download` and `seed`.

It plays two parts in the interop harness: the partner "libtorrent", and, in the harness's self-check, the stand-in
for rawtorrent itself. Only what the harness calls is there. Exit codes are rawtorrent's: 0 done, 1 failed, 2 usage.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(value[k]) for k in sorted(value)) + b"e"


def tree(root):
    """The files under `root` as (path elements, file), in a stable order."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, root).split(os.sep), path


def create(args):
    root = os.path.normpath(args.path)
    files = [([], root)] if os.path.isfile(root) else list(tree(root))
    content = b"".join(open(path, "rb").read() for _, path in files)
    step = args.piece_length
    pieces = b"".join(hashlib.sha1(content[at : at + step]).digest() for at in range(0, len(content), step))
    info = {"name": os.path.basename(root), "piece length": step, "pieces": pieces}
    if os.path.isfile(root):
        info["length"] = len(content)
    else:
        info["files"] = [{"length": os.path.getsize(path), "path": elements} for elements, path in files]
    torrent = {"info": info}
    if args.announce:
        torrent["announce"] = args.announce[0]
        torrent["announce-list"] = [[url] for url in args.announce]
    with open(args.output, "wb") as out:
        out.write(bencode(torrent))
    return 0


def session(lt, listen):
    host = listen.rpartition(":")[0].strip("[]")
    return lt.session(
        {
            "listen_interfaces": listen,
            "outgoing_interfaces": host,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "in_enc_policy": lt.enc_policy.pe_enabled,
            "out_enc_policy": lt.enc_policy.pe_disabled,
            "allow_multiple_connections_per_ip": True,
            "validate_https_trackers": True,
            "alert_mask": lt.alert.category_t.all_categories & ~lt.alert.category_t.picker_log_notification,
        }
    )


def say(args, event, **fields):
    if args.json:
        print(json.dumps({"event": event, **fields}), flush=True)


def transfer(args, folder, seeding):
    import libtorrent as lt

    stopping = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.append(True))
    started = time.monotonic()
    ses = session(lt, args.listen)
    is_link = args.source.startswith("magnet:")
    params = lt.parse_magnet_uri(args.source) if is_link else lt.load_torrent_file(args.source)
    params.save_path = folder
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if args.no_trackers:
        params.trackers = []
    handle = ses.add_torrent(params)
    for peer in args.peer:
        host, _, port = peer.rpartition(":")
        handle.connect_peer((host.strip("[]"), int(port)))
    flushing = False
    last_report = 0.0
    while not stopping:
        ses.wait_for_alert(200)
        for alert in ses.pop_alerts():
            print(alert.message(), file=sys.stderr)
            if isinstance(alert, lt.torrent_error_alert):
                say(args, "error", info_hash=str(handle.info_hash()), kind="torrent", message=alert.message())
                return 1
            if isinstance(alert, lt.cache_flushed_alert) and flushing and not seeding:
                return finish(args, handle, ses, folder, started)
        status = handle.status()
        if time.monotonic() - last_report > 1:
            last_report = time.monotonic()
            say(
                args,
                "progress",
                info_hash=str(handle.info_hash()),
                done=status.total_wanted_done,
                total=status.total_wanted,
                rate_down=status.download_payload_rate,
                rate_up=status.upload_payload_rate,
                peers=status.num_peers,
            )
        # A seed's "finished" comes while blocks are still unwritten: the flush alert is what counts.
        if status.is_seeding and not flushing and not seeding:
            flushing = True
            handle.flush_cache()
    stop(handle, ses)
    return 0 if seeding else 130


def finish(args, handle, ses, folder, started):
    status = handle.status()
    stop(handle, ses)
    say(
        args,
        "finished",
        info_hash=str(status.info_hash),
        path=os.path.join(folder, status.name),
        bytes=status.total_wanted,
        seconds=time.monotonic() - started,
    )
    return 0


def stop(handle, ses):
    """Says goodbye to the trackers, for a second at most."""
    handle.pause()
    until = time.monotonic() + 1
    while time.monotonic() < until:
        ses.wait_for_alert(100)
        for alert in ses.pop_alerts():
            print(alert.message(), file=sys.stderr)
            if type(alert).__name__ in ("tracker_reply_alert", "tracker_error_alert"):
                return


def version(_):
    import libtorrent as lt

    print(lt.__version__)
    return 0


def arguments():
    parser = argparse.ArgumentParser(prog="libtorrent_peer")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version").set_defaults(run=version)
    make = commands.add_parser("create")
    make.add_argument("path")
    make.add_argument("-a", "--announce", action="append", default=[])
    make.add_argument("-o", "--output", required=True)
    make.add_argument("--piece-length", type=int, default=65536)
    make.set_defaults(run=create)
    for name, option in (("download", "-o"), ("seed", "--data")):
        command = commands.add_parser(name)
        command.add_argument("source")
        command.add_argument(option, dest="folder", required=True)
        command.add_argument("--listen", required=True)
        command.add_argument("--peer", action="append", default=[])
        command.add_argument("--state-dir")
        command.add_argument("--no-trackers", action="store_true")
        command.add_argument("--json", action="store_true")
        command.set_defaults(run=lambda args, seeding=name == "seed": transfer(args, args.folder, seeding))
    return parser.parse_args()


if __name__ == "__main__":
    parsed = arguments()
    sys.exit(parsed.run(parsed))
