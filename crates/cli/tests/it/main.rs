//! The program from outside: the real binary on free ports, and its answers.
#![allow(clippy::unwrap_used)]

mod dashboard;
mod dbt;
mod demo;
mod docs;
mod doctor;
mod errors;
mod examples;
mod flight_clients;
mod groups;
mod history;
mod hostile;
mod kafka_clients;
mod kill;
mod openapi;
mod pipelines;
mod postgres;
mod power_cut;
mod real_orders;
mod server;
mod session;
mod shop;
mod spine;
mod subscriptions;
mod support;
mod topics;
mod turns;
mod views;
