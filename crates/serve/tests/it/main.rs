//! The HTTP edge over real sockets, in this process.
#![allow(clippy::unwrap_used)]

mod changes;
mod flight;
mod http;
mod sql;
mod support;
