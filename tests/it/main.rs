//! The one integration binary.

mod cli;
mod cli_reference;
mod expect;
mod tidy;
