//! What operators keep between ticks.

pub(crate) mod accumulator;
pub(crate) mod ages;
mod arena;
mod groups;
mod groups_state;
pub mod hash;
mod key_index;
pub(crate) mod rows;
mod slots;
mod words;

pub(crate) use groups::{Grouping, Groups};
pub(crate) use groups_state::{AT, CALL, DELETED, Extra, column};
pub use key_index::{KeyIndex, NO_SLOT};
