# The recipes, listed
default:
    @just --list

# Everything that must pass: format, lints, all tests
test:
    tests/run

# The pure core alone: seconds
core:
    cargo test -p berqenas-core

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
