//! Exact amounts, currencies, and the two together.
//!
//! Guarantees: a [`Decimal`] is a whole number of millionths (Arrow's `Decimal128(18, 6)`), read
//! from JSON text digit by digit, never through a float; arithmetic that would leave its range is
//! an error, never a wrap; amounts of different currencies do not add up; a code that ISO 4217
//! does not list is an error, never zero and never a guess.
//! Left out: exchange rates, and amounts past 999,999,999,999.999999.

mod currency;
mod decimal;

pub use currency::Currency;
pub use decimal::Decimal;

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// How much, in the currency's major unit (euros, not cents).
    pub amount: Decimal,
    /// Of what.
    pub currency: Currency,
}

/// Why an amount could not be read or computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Text that is no decimal number.
    #[error("{text:?} is not a decimal number; write digits with a point, as in 1234.50")]
    NotANumber {
        /// What was there, cut to a length worth showing.
        text: String,
    },
    /// A number outside what `Decimal128(18, 6)` holds.
    #[error("{what} is outside -999999999999.999999 to 999999999999.999999")]
    OutOfRange {
        /// The number or the operation.
        what: String,
    },
    /// A code that is not in ISO 4217.
    #[error("currency {code:?} is not in ISO 4217; write a three-letter code, as in EUR")]
    UnknownCurrency {
        /// What was there, cut to a length worth showing.
        code: String,
    },
    /// Amounts of two currencies in one sum.
    #[error("{left} and {right} do not add up without an exchange rate")]
    DifferentCurrencies {
        /// The first amount's.
        left: Currency,
        /// The second amount's.
        right: Currency,
    },
}

impl Money {
    /// `amount` of `currency`.
    pub fn new(amount: Decimal, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::DifferentCurrencies`], [`MoneyError::OutOfRange`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Ok(Self { amount: self.amount.checked_add(other.amount)?, ..self })
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::DifferentCurrencies`], [`MoneyError::OutOfRange`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Ok(Self { amount: self.amount.checked_sub(other.amount)?, ..self })
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::DifferentCurrencies { left: self.currency, right: other.currency })
    }
}

impl fmt::Display for Money {
    /// At least the currency's minor digits: `27.50 EUR`, `500 JPY`; more when there are more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.amount.to_string();
        let fraction = text.split_once('.').map_or(0, |(_, digits)| digits.len());
        let missing = usize::from(self.currency.minor_digits()).saturating_sub(fraction);
        let point = if fraction == 0 && missing > 0 { "." } else { "" };
        write!(f, "{text}{point}{} {}", "0".repeat(missing), self.currency)
    }
}

/// At most 40 characters of `text`, so that an error stays one line.
fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40; // longer than any number that could have been meant
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn money(amount: &str, code: &str) -> Money {
        Money::new(amount.parse().unwrap(), code.parse().unwrap())
    }

    #[test]
    fn shows_the_minor_digits_of_its_currency() {
        assert_eq!(money("27.5", "EUR").to_string(), "27.50 EUR");
        assert_eq!(money("30", "USD").to_string(), "30.00 USD");
        assert_eq!(money("500", "JPY").to_string(), "500 JPY");
        assert_eq!(money("1.2345", "KWD").to_string(), "1.2345 KWD");
        assert_eq!(money("-0.1", "BHD").to_string(), "-0.100 BHD");
    }

    #[test]
    fn adds_one_currency_only() {
        let sum = money("10.10", "EUR").checked_add(money("-0.2", "EUR")).unwrap();
        assert_eq!(sum, money("9.9", "EUR"));
        assert_eq!(sum.checked_sub(money("10", "EUR")).unwrap(), money("-0.1", "EUR"));
        let mixed = money("1", "EUR").checked_add(money("1", "USD"));
        assert_eq!(
            mixed.unwrap_err().to_string(),
            "EUR and USD do not add up without an exchange rate"
        );
    }

    #[test]
    fn survives_json_both_ways() {
        let there = serde_json::to_string(&money("27.50", "EUR")).unwrap();
        assert_eq!(there, r#"{"amount":27.5,"currency":"EUR"}"#);
        let back: Money = serde_json::from_str(&there).unwrap();
        assert_eq!(back, money("27.5", "EUR"));
    }

    #[test]
    fn an_error_shows_no_more_than_a_line_of_hostile_text() {
        let error = "9x".repeat(10_000).parse::<Decimal>().unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
    }
}
