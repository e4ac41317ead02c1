# The binary, and nothing else: static, in an empty image, not root.
#
#   docker build -t rawtorrent .
#   docker run --rm rawtorrent demo
#   docker run --rm -v "$PWD:/downloads" --user "$(id -u):$(id -g)" rawtorrent download some.torrent

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Naming the target keeps `crt-static` away from build scripts and procedural macros, which can't be static.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target" --bin rawtorrent \
 && mkdir -p /out/tmp /out/state /out/downloads \
 && chmod 1777 /out/tmp /out/state /out/downloads \
 && cp "target/$target/release/rawtorrent" /out/rawtorrent

# The binary needs a place to write: temporary files, its state, what it downloads.
FROM scratch
COPY --from=build /out/ /
ENV RAWTORRENT_STATE_DIR=/state
WORKDIR /downloads
USER 1000:1000
ENTRYPOINT ["/rawtorrent"]
CMD ["--help"]
