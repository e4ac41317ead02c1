"""Nodes of the DHT by libtorrent, one session each, that do what they are told.

Arguments are the addresses of the nodes and, first, that of the node to begin with; before them `--lsd` if the sessions
are to take part in local discovery. Commands come as JSON, one object a line, on stdin, events go to stdout; the end
of stdin is the end. Only what the tests call is there.
"""

import hashlib
import json
import os
import select
import sys

import libtorrent as lt


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def session(addr, router, lsd):
    return lt.session(
        {
            "listen_interfaces": addr,
            "outgoing_interfaces": addr.rpartition(":")[0],
            "enable_dht": True,
            "dht_bootstrap_nodes": router,
            # An hour's traffic within seconds: what limits that is switched off, what decides about nodes is not.
            "dht_upload_rate_limit": 10_000_000,
            "dht_block_ratelimit": 10_000,
            "alert_queue_size": 100_000,
            "enable_lsd": lsd,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "out_enc_policy": lt.enc_policy.pe_disabled,
            "alert_mask": lt.alert.category_t.dht_notification
            | lt.alert.category_t.dht_operation_notification
            | lt.alert.category_t.error_notification
            | lt.alert.category_t.status_notification
            | lt.alert.category_t.storage_notification,
        }
    )


def private_key(seed):
    """libtorrent takes Ed25519 keys in their expanded form."""
    key = bytearray(hashlib.sha512(seed).digest())
    key[0] &= 248
    key[31] = key[31] & 63 | 64
    return bytes(key)


def make(path, piece_length, v2_only):
    """A torrent of a file or folder: hybrid, or v2 alone (BEP 52)."""
    files = lt.file_storage()
    lt.add_files(files, path)
    torrent = lt.create_torrent(files, piece_length, lt.create_torrent.v2_only if v2_only else 0)
    lt.set_piece_hashes(torrent, os.path.dirname(path))
    return lt.torrent_info(lt.bencode(torrent.generate()))


def obey(node, command):
    what = command["do"]
    if what == "announce":
        node.dht_announce(lt.sha1_hash(bytes.fromhex(command["info_hash"])), command["port"], 0)
    elif what == "get_peers":
        node.dht_get_peers(lt.sha1_hash(bytes.fromhex(command["info_hash"])))
    elif what == "put":
        node.dht_put_immutable_item(command["text"].encode())
    elif what == "get":
        node.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(command["target"])))
    elif what == "put_mutable":
        seed, key = (bytes.fromhex(command[name]) for name in ("seed", "key"))
        node.dht_put_mutable_item(private_key(seed), key, command["text"].encode(), command["salt"].encode())
    elif what == "get_mutable":
        node.dht_get_mutable_item(bytes.fromhex(command["key"]), command["salt"].encode())
    elif what == "sample":
        host, _, port = command["of"].rpartition(":")
        node.dht_sample_infohashes((host, int(port)), lt.sha1_hash(bytes.fromhex(command["target"])))
    elif what == "download":
        source = command["source"]
        is_link = source.startswith("magnet:")
        params = lt.parse_magnet_uri(source) if is_link else lt.load_torrent_file(source)
        params.save_path = command["folder"]
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        handle = node.add_torrent(params)
        if "peer" in command:
            host, _, port = command["peer"].rpartition(":")
            handle.connect_peer((host, int(port)))
    elif what == "seed_new":
        torrent = make(command["path"], command["piece_length"], command["v2_only"])
        params = lt.add_torrent_params()
        params.ti = torrent
        params.save_path = os.path.dirname(command["path"])
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        node.add_torrent(params)


def text(item):
    value = item["value"] if isinstance(item, dict) else item
    return value.decode() if isinstance(value, bytes) else value


def tell(number, alert):
    if isinstance(alert, lt.dht_bootstrap_alert):
        say("ready", node=number)
    elif isinstance(alert, lt.dht_get_peers_reply_alert):
        peers = [f"{host}:{port}" for host, port in alert.peers()]
        say("peers", node=number, info_hash=str(alert.info_hash), peers=peers)
    elif isinstance(alert, lt.dht_put_alert):
        say("put", node=number, stored=alert.num_success)
    elif isinstance(alert, lt.dht_immutable_item_alert):
        say("item", node=number, target=str(alert.target), text=text(alert.item))
    elif isinstance(alert, lt.dht_mutable_item_alert):
        say("mutable", node=number, key=bytes(alert.key).hex(), text=text(alert.item), seq=alert.seq)
    elif isinstance(alert, lt.dht_sample_infohashes_alert):
        say("samples", node=number, info_hashes=[str(sample) for sample in alert.samples], of=alert.num_infohashes)
    elif isinstance(alert, lt.torrent_finished_alert):
        # Blocks may be unwritten still.
        alert.handle.flush_cache()
    elif isinstance(alert, lt.cache_flushed_alert):
        hashes = alert.handle.info_hashes()
        best, v2 = (str(found) for found in (hashes.get_best(), hashes.v2))
        say("finished", node=number, name=alert.torrent_name, info_hash=best, v2=v2)
    elif isinstance(alert, (lt.listen_failed_alert, lt.torrent_error_alert)):
        say("error", node=number, message=alert.message())


def main():
    arguments = sys.argv[1:]
    lsd = arguments[0] == "--lsd"
    router, *addrs = arguments[lsd:]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    nodes = [session(addr, router, lsd) for addr in addrs]
    for node in nodes:
        node.set_alert_fd(writer)
    os.set_blocking(sys.stdin.fileno(), False)
    pending = b""
    while True:
        for number, node in enumerate(nodes):
            for alert in node.pop_alerts():
                tell(number, alert)
        ready, _, _ = select.select([sys.stdin, reader], [], [])
        if reader in ready:
            os.read(reader, 65536)
        if sys.stdin in ready:
            read = os.read(sys.stdin.fileno(), 65536)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                command = json.loads(line)
                obey(nodes[command["node"]], command)


if __name__ == "__main__":
    main()
