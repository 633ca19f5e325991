//! Tests of the dataflow from outside.
#![allow(clippy::unwrap_used)]

mod aggregate;
mod aggregate_support;
