//! Tests of pipelines with a log and a lake in memory, and a disk that loses power.

#![allow(clippy::unwrap_used)]

mod crashes;
mod decoder;
mod engine;
mod expressions;
mod language;
mod packs;
mod planner;
mod slt;
mod state;
mod support;
mod ticks;
