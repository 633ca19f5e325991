//! What tests share: a log in memory, a lake of files on any disk, and a world of both.

mod lake;
mod log;
mod topics;
mod world;

pub(crate) use lake::{Fault, FileLake};
pub(crate) use log::MemoryLog;
pub(crate) use topics::{Damage, Topics, Written, hangs, materialized, put, shown};
pub(crate) use world::{Row, World, catalogue, insert_of, start_time_us, view_of, wait_for};
