# syntax=docker/dockerfile:1

# Another base of the same release of Debian, or a mirror, fits in here.
ARG RUST_IMAGE=docker.io/library/rust:1-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12

FROM ${RUST_IMAGE} AS build
# The image has all that it takes: Rust, and a C compiler for aws-lc, the cryptography. No protoc is needed.
WORKDIR /src
COPY . .
# The caches are the builder's, not the image's: only what is copied out stays.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin ringpost \
 && install -D -m 0755 target/release/ringpost /out/ringpost \
 && strip --strip-debug /out/ringpost

# A C library, certificates, and no shell.
FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="Ringpost" \
      org.opencontainers.image.description="A consistent-hash-ring WebSocket cluster with no broker" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/ringpost /usr/local/bin/ringpost
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/ringpost/
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# In a container loopback is nobody's address. What else is needed is said at start, one by one: an id, what
# clients and nodes are sent to, and whom to believe.
ENV RINGPOST_LISTEN=0.0.0.0:7001 \
    RINGPOST_PEER_LISTEN=0.0.0.0:7101 \
    RINGPOST_ADMIN_LISTEN=0.0.0.0:7201
EXPOSE 7001 7101 7201
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/ringpost", "health"]
ENTRYPOINT ["/usr/local/bin/ringpost"]
CMD ["serve"]
