//! When to look again: hints that a folder may have changed ([`folder`]), and a Git repository followed at a branch ([`git`]).
//!
//! What comes from here are triggers and folders, never what is in them. A hint may be wrong, late or missing; whoever uses it reads
//! everything again, and does so from time to time without one.

pub mod folder;
pub mod git;
