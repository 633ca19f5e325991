//! Tests of pipelines with a log and a lake in memory, and a disk that loses power.

#![allow(clippy::unwrap_used)]

mod crashes;
mod decoder;
mod engine;
mod expressions;
mod files;
mod language;
mod packs;
mod pauses;
mod planner;
mod replaced;
mod slt;
mod state;
mod support;
mod ticks;
mod topic_clients;
mod topic_crashes;
mod topics;
mod transactions;
