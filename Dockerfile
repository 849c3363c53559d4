# Builds the programs from the tree, and an image that has them:
#
#   docker build -t walship .
#   docker run -v leader:/var/lib/walship walship walsender -D /var/lib/walship/main --init
#
# A container's loopback is its own: to be reached from outside give --listen 0.0.0.0:5433,
# with ssl = on (docs/security.md), or -c listen_without_tls=on on a network that is trusted.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p walsender -p walreceiver -p walctl -p walship-manual \
    && ./packaging/install.sh target/release /usr /installed

FROM debian:bookworm-slim
COPY --from=build /installed/usr /usr
RUN useradd --system --home-dir /var/lib/walship --shell /usr/sbin/nologin walship \
    && install -d -o walship -g walship -m 750 /var/lib/walship
USER walship
VOLUME /var/lib/walship
# the programs' ports, and --metrics-listen as the documentation has it
EXPOSE 5433 5434 9633
STOPSIGNAL SIGTERM
CMD ["walctl", "--help"]
