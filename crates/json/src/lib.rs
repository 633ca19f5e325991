//! JSON read once, from front to back, by whoever knows which of its values he wants.
//!
//! Guarantees: what is passed over is checked against JSON's grammar, so broken text is found even
//! where nobody wants its values; nothing is copied but texts with escapes; no text can exhaust the
//! stack or the memory.
//! Left out: what values become: whoever reads has columns of his own.

mod cursor;
mod keys;
mod text;

pub use cursor::{Cursor, Fault};
pub use keys::Keys;
pub use text::Text;
