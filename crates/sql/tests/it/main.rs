//! Tests of the language and the catalogue.

#![allow(clippy::unwrap_used)]

mod catalogue;
mod errors;
mod script;
