//! The server as a library, and the commands around it.
//!
//! Guarantees: a test can start a whole server in its own process, on a disk and a clock of its
//! choice, and stop it in order.
//! Left out: parsing of arguments beyond each command's own, which the binary does.

pub mod commands;
mod control;
pub mod data_dir;
mod dead_letters;
pub mod engine;
mod follow;
mod groups;
mod history;
pub mod packs;
mod pipeline_rows;
pub mod server;
pub mod settings;

pub use server::{Server, ServerOptions, StartError};
