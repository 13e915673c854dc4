//! The one integration binary.

mod smoke;
mod spec_files;
