//! Tests of the language and the catalogue.

#![allow(clippy::unwrap_used)]

mod cases;
mod catalogue;
mod errors;
mod flink;
mod plan;
mod script;
