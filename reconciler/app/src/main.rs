//! The binary `berqenas`: everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    berqenas::cli::main(std::env::args_os())
}
