//! The log against disks that work, fail, fill up and lose power.
#![allow(clippy::unwrap_used)]

mod alter;
mod append_read;
mod compaction;
mod compaction_power;
mod compressed;
mod corruption;
mod faults;
mod format;
mod fuzz_seeds;
mod group_commit;
mod groups_power_cut;
mod hooked;
mod model;
mod power_cut;
mod producers;
mod record_rules;
mod retention;
mod seeds;
mod support;
mod topics;
mod torn_tail;
mod wire;
mod writer_panics;
