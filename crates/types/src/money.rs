//! Exact amounts. Placeholder.
/// Placeholder.
pub struct Currency;
/// p
pub struct Decimal;
/// p
pub struct Money;
