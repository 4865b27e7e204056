# The image of tagpipe: the program, Chromium, PostgreSQL's client, and nothing that none of them needs.
# docker-compose.yml shows how to run it; docs/deployment.md explains.

# As `rust-version` in Cargo.toml says; scripts/check-containers compares the two.
ARG RUST=1.95
ARG DEBIAN=trixie

# What decides which dependencies there are: manifests and lock file. Each target is an empty program, so that this
# stage yields the same files, and the next one its kept layer, until a dependency changes.
FROM rust:${RUST}-slim-${DEBIAN} AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock \
      ! -path '*/src/lib.rs' ! -path '*/src/main.rs' ! -path '*/benches/*.rs' ! -path './examples/*.rs' -delete \
    && find . -name '*.rs' -exec sh -c 'for file; do echo "fn main() { }" >"$file"; done' sh {} +

FROM rust:${RUST}-slim-${DEBIAN} AS builder
WORKDIR /src
COPY --from=manifests /src .
RUN cargo build --release --locked --bin tagpipe
COPY . .
# Sources are as old as their checkout. Cargo would take the empty programs, which are younger, for built from them.
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin tagpipe

FROM debian:${DEBIAN}-slim
# tini is the first process: it hands signals on and collects what Chromium leaves behind. procps has the `ps` that one
# wants when something hangs. Chromium's libraries bring Mesa's drivers for graphics cards, 200 MB that it never loads
# without one. pg_dump, pg_restore and psql make backups of a PostgreSQL and bring them back; they must not be older than
# the server. Debian's trixie has those of 17.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
      ca-certificates chromium-headless-shell postgresql-client procps tini tzdata \
    && rm -rf /var/lib/apt/lists/* /usr/lib/*/libgallium-*.so /usr/lib/*/libLLVM*.so* /usr/lib/*/libz3.so* \
    && groupadd --gid 10001 tagpipe \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin tagpipe \
    && install --directory --owner tagpipe --group tagpipe --mode 0750 /data
COPY deploy/image/chromium deploy/image/healthy deploy/image/python /usr/local/bin/
COPY --from=builder /src/target/release/tagpipe /usr/local/bin/

ENV CHROMIUM=/usr/local/bin/chromium
# The container's own loopback cannot be reached from outside it. On every other address the service wants a token.
ENV TAGPIPE_LISTEN=0.0.0.0:8080
# By number: Kubernetes cannot tell from a name that it is not root.
USER 10001:10001
# Without a database setting the data is /data/tagpipe.db; a tagpipe.toml is looked for here as well.
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["healthy"]
ENTRYPOINT ["tini", "--", "tagpipe"]
CMD ["serve"]
