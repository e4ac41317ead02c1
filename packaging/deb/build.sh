#!/bin/sh
# Makes rawtorrent_VERSION_ARCH.deb from a release build: packaging/deb/build.sh [BINARY [OUT]]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
binary=${1:-$root/target/release/rawtorrent}
out=${2:-$root/target}
version=$("$binary" --version | cut -d' ' -f2)
arch=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

install -Dm755 "$binary" "$tree/usr/bin/rawtorrent"
install -Dm644 "$root/packaging/rawtorrent.service" "$tree/usr/lib/systemd/system/rawtorrent.service"
install -Dm644 "$root/packaging/rawtorrent.socket" "$tree/usr/lib/systemd/system/rawtorrent.socket"
install -Dm644 "$root/packaging/rawtorrent.desktop" "$tree/usr/share/applications/rawtorrent.desktop"
install -Dm644 "$root/LICENSE-MIT" "$tree/usr/share/doc/rawtorrent/copyright"
completions() { install -d "$tree/usr/share/$2"; "$binary" completions "$1" > "$tree/usr/share/$2/$3"; }
completions bash bash-completion/completions rawtorrent
completions zsh zsh/vendor-completions _rawtorrent
completions fish fish/vendor_completions.d rawtorrent.fish
"$binary" man -o "$tree/usr/share/man/man1"
gzip -9n "$tree"/usr/share/man/man1/*.1
install -d "$tree/DEBIAN"
cat > "$tree/DEBIAN/control" <<CONTROL
Package: rawtorrent
Version: $version
Architecture: $arch
Maintainer: The rawtorrent authors <rawtorrent@localhost>
Section: net
Priority: optional
Depends: libc6, libgcc-s1
Recommends: ca-certificates
Homepage: https://github.com/rawtorrent/rawtorrent
Description: BitTorrent client and daemon
 Downloads, seeds, creates and inspects torrents, from the command line or
 through the API of a daemon.
CONTROL
dpkg-deb --root-owner-group --build "$tree" "$out/rawtorrent_${version}_$arch.deb"
