//! What tells that specs may have changed: real files.

mod folder;
