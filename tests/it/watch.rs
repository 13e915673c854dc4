//! What tells that specs may have changed: real files, and a real repository.

mod folder;
mod git;
