//! A disk in memory that loses power at a chosen operation.
