//! The folders under `examples/`: each is run.
