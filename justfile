# The recipes, listed
default:
    @just --list

# Everything that must pass: format, lints, docs, all tests
test:
    tests/run

# The pure core alone: seconds
core:
    cargo test -p berqenas-core

# The docs of both crates, private items and all: the way in for maintainers
docs:
    cargo doc --no-deps --workspace --document-private-items --open

# Format and lints
check:
    cargo fmt --check && cargo clippy --workspace --all-targets -- -D warnings

# Write generated files anew: CLI reference, JSON Schema
update:
    UPDATE_EXPECT=1 cargo test -p berqenas --test it

# Licences, sources and duplicates of the dependencies
deny:
    cargo deny check bans licenses sources

# The demo, in ./berqenas-demo
demo:
    cargo run --release -- demo
