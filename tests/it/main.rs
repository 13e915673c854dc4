//! The one integration binary.

mod spec_files;
