//! The program from outside: the real binary on free ports, and its answers.
#![allow(clippy::unwrap_used)]

mod demo;
mod doctor;
mod errors;
mod examples;
mod hostile;
mod kill;
mod power_cut;
mod real_orders;
mod server;
mod session;
mod shop;
mod spine;
mod support;
mod turns;
mod views;
