//! What operators keep between ticks.

mod arena;
pub mod hash;
mod key_index;
mod words;

pub use key_index::{KeyIndex, NO_SLOT};
