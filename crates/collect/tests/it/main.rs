//! Integration tests of the collectors, in one binary.
#![allow(clippy::unwrap_used)]

mod api;
mod dedup;
mod demo;
mod failures;
mod front_door;
mod hostile;
mod power;
mod replay;
mod retry;
mod roundtrip;
mod stub;
mod support;
