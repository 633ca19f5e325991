//! Tests of the dataflow from outside.
#![allow(clippy::unwrap_used)]

mod aggregate;
mod aggregate_property;
mod aggregate_support;
mod join;
mod join_bounds;
mod join_property;
mod join_support;
mod materialize;
mod scratch;
mod speed;
mod ttl;
mod window;
mod window_property;
