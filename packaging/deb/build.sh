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
install -d "$tree/usr/share/doc/rawtorrent"
cat "$root/LICENSE-MIT" "$root/LICENSE-APACHE" > "$tree/usr/share/doc/rawtorrent/copyright"
chmod 644 "$tree/usr/share/doc/rawtorrent/copyright"
completions() { install -d "$tree/usr/share/$2"; "$binary" completions "$1" > "$tree/usr/share/$2/$3"; }
completions bash bash-completion/completions rawtorrent
completions zsh zsh/vendor-completions _rawtorrent
completions fish fish/vendor_completions.d rawtorrent.fish
"$binary" man -o "$tree/usr/share/man/man1"
gzip -9n "$tree"/usr/share/man/man1/*.1
install -d "$tree/DEBIAN"
# Where systemd runs, the service ends before its program goes, and an update is taken up.
cat > "$tree/DEBIAN/prerm" <<'PRERM'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --quiet disable --now rawtorrent.socket rawtorrent.service || true
fi
PRERM
cat > "$tree/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
    [ -z "$2" ] || systemctl try-restart rawtorrent.service || true
fi
POSTINST
chmod 755 "$tree/DEBIAN/prerm" "$tree/DEBIAN/postinst"
libc=$(objdump -T "$binary" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1 | cut -d_ -f2)
cat > "$tree/DEBIAN/control" <<CONTROL
Package: rawtorrent
Version: $version
Architecture: $arch
Maintainer: The rawtorrent authors <rawtorrent@localhost>
Section: net
Priority: optional
Depends: libc6 (>= $libc), libgcc-s1
Recommends: ca-certificates
Homepage: https://github.com/rawtorrent/rawtorrent
Description: BitTorrent client and daemon
 Downloads, seeds, creates and inspects torrents, from the command line or
 through the API of a daemon.
CONTROL
dpkg-deb --root-owner-group --build "$tree" "$out/rawtorrent_${version}_$arch.deb"
