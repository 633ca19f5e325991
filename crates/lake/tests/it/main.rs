//! The lake as its neighbours use it: sinks write, sessions query, other programs read the folder.
#![allow(clippy::unwrap_used)]

mod batches;
mod exactly_once;
mod faults;
mod interop;
mod maintenance;
mod power;
mod readers;
mod refusals;
mod store;
mod support;
mod types;
