//! What operators keep between ticks.

pub mod hash;
