//! The edges over real sockets, in this process.
#![allow(clippy::unwrap_used)]

mod changes;
mod flight;
mod http;
mod postgres;
mod sql;
mod support;
