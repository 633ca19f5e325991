//! The SQL session from outside: statements in, rows or one-line errors out.
#![allow(clippy::unwrap_used)]

mod changes;
mod clients;
mod control;
mod files;
mod flink;
mod names;
mod numbers;
mod prepared;
mod support;
mod tables;
