# The steps of .ci/run, one recipe each. `just` alone runs all of them.

# Everything that CI runs.
all:
    .ci/run

# What the other steps need: ip and nft (as root), a Python with websockets and aiohttp.
tools:
    .ci/run tools

# Formatting.
fmt:
    .ci/run fmt

# Lints, warnings are errors.
clippy:
    .ci/run clippy

# Documentation, warnings are errors.
doc:
    .ci/run doc

# Licences of all packages against deny.toml, offline.
licences:
    .ci/run licences

# Whether the stated oldest Rust can be true.
msrv:
    .ci/run msrv

# A build from the package alone.
package:
    .ci/run package

# All tests; nothing may be skipped.
test:
    .ci/run tools test

# The JavaScript client.
js:
    .ci/run tools js

# The web pages, in a browser.
pages:
    .ci/run tools pages

# Lints and tests of a build with traces.
otel:
    .ci/run otel

# Every fuzz target for a short time.
fuzz seconds="60":
    RINGPOST_FUZZ_SECONDS={{seconds}} .ci/run tools fuzz

# Only the tests in network namespaces and with other people's clients.
faults:
    .ci/run tools faults

# The simulations of membership and of streams with many seeds, in a release build.
simulation runs="1000":
    RINGPOST_SIM_RUNS={{runs}} .ci/run simulation

# Crashes, restarts, joins and partitions under load, for many rounds, in a release build.
chaos rounds="8":
    RINGPOST_CHAOS_ROUNDS={{rounds}} .ci/run tools chaos

# Runs every benchmark once.
bench:
    .ci/run bench

# A cluster of three nodes in one process, with web pages.
demo:
    cargo run --release -- demo
