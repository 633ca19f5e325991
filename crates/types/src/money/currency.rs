//! The currencies of ISO 4217 with the number of digits their smallest coin needs.
//!
//! Guarantees: a [`Currency`] is always one of the table; codes are read in any case and printed
//! in capitals.
//! Left out: units without a minor unit of their own (gold, SDR, test codes).
//!
//! Checked code by code against the maintenance agency's List One (current codes and their digits)
//! as published on 2026-01-01 and List Three (withdrawn codes) of the same time; withdrawn codes
//! have the digits of the last List One that held them.
//! Source: SIX Group, <https://www.six-group.com/en/products-services/financial-information/market-reference-data/data-standards.html>.

use super::{MoneyError, shown};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// One currency of ISO 4217. Ordered by code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(u8);

/// Code and minor digits, by code. Money withdrawn at the end of 2014 or later stays: a shop's
/// history still holds it.
#[rustfmt::skip]
const TABLE: &[(&str, u8)] = &[
    ("AED", 2), ("AFN", 2), ("ALL", 2), ("AMD", 2), ("ANG", 2), ("AOA", 2), ("ARS", 2),
    ("AUD", 2), ("AWG", 2), ("AZN", 2), ("BAM", 2), ("BBD", 2), ("BDT", 2), ("BGN", 2),
    ("BHD", 3), ("BIF", 0), ("BMD", 2), ("BND", 2), ("BOB", 2), ("BOV", 2), ("BRL", 2),
    ("BSD", 2), ("BTN", 2), ("BWP", 2), ("BYN", 2), ("BYR", 0), ("BZD", 2), ("CAD", 2),
    ("CDF", 2), ("CHE", 2), ("CHF", 2), ("CHW", 2), ("CLF", 4), ("CLP", 0), ("CNY", 2),
    ("COP", 2), ("COU", 2), ("CRC", 2), ("CUC", 2), ("CUP", 2), ("CVE", 2), ("CZK", 2),
    ("DJF", 0), ("DKK", 2), ("DOP", 2), ("DZD", 2), ("EGP", 2), ("ERN", 2), ("ETB", 2),
    ("EUR", 2), ("FJD", 2), ("FKP", 2), ("GBP", 2), ("GEL", 2), ("GHS", 2), ("GIP", 2),
    ("GMD", 2), ("GNF", 0), ("GTQ", 2), ("GYD", 2), ("HKD", 2), ("HNL", 2), ("HRK", 2),
    ("HTG", 2), ("HUF", 2), ("IDR", 2), ("ILS", 2), ("INR", 2), ("IQD", 3), ("IRR", 2),
    ("ISK", 0), ("JMD", 2), ("JOD", 3), ("JPY", 0), ("KES", 2), ("KGS", 2), ("KHR", 2),
    ("KMF", 0), ("KPW", 2), ("KRW", 0), ("KWD", 3), ("KYD", 2), ("KZT", 2), ("LAK", 2),
    ("LBP", 2), ("LKR", 2), ("LRD", 2), ("LSL", 2), ("LTL", 2), ("LYD", 3), ("MAD", 2),
    ("MDL", 2), ("MGA", 2), ("MKD", 2), ("MMK", 2), ("MNT", 2), ("MOP", 2), ("MRO", 2),
    ("MRU", 2), ("MUR", 2), ("MVR", 2), ("MWK", 2), ("MXN", 2), ("MXV", 2), ("MYR", 2),
    ("MZN", 2), ("NAD", 2), ("NGN", 2), ("NIO", 2), ("NOK", 2), ("NPR", 2), ("NZD", 2),
    ("OMR", 3), ("PAB", 2), ("PEN", 2), ("PGK", 2), ("PHP", 2), ("PKR", 2), ("PLN", 2),
    ("PYG", 0), ("QAR", 2), ("RON", 2), ("RSD", 2), ("RUB", 2), ("RWF", 0), ("SAR", 2),
    ("SBD", 2), ("SCR", 2), ("SDG", 2), ("SEK", 2), ("SGD", 2), ("SHP", 2), ("SLE", 2),
    ("SLL", 2), ("SOS", 2), ("SRD", 2), ("SSP", 2), ("STD", 2), ("STN", 2), ("SVC", 2),
    ("SYP", 2), ("SZL", 2), ("THB", 2), ("TJS", 2), ("TMT", 2), ("TND", 3), ("TOP", 2),
    ("TRY", 2), ("TTD", 2), ("TWD", 2), ("TZS", 2), ("UAH", 2), ("UGX", 0), ("USD", 2),
    ("USN", 2), ("UYI", 0), ("UYU", 2), ("UYW", 4), ("UZS", 2), ("VED", 2), ("VEF", 2),
    ("VES", 2), ("VND", 0), ("VUV", 0), ("WST", 2), ("XAD", 2), ("XAF", 0), ("XCD", 2),
    ("XCG", 2), ("XOF", 0), ("XPF", 0), ("YER", 2), ("ZAR", 2), ("ZMW", 2), ("ZWG", 2),
    ("ZWL", 2),
];

impl Currency {
    /// The three-letter code, in capitals.
    pub fn code(self) -> &'static str {
        TABLE[usize::from(self.0)].0
    }

    /// Digits after the point in the currency's smallest unit: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn minor_digits(self) -> u8 {
        TABLE[usize::from(self.0)].1
    }

    /// Every currency, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).map(|row| Self(row as u8))
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let unknown = || MoneyError::UnknownCurrency { code: shown(text) };
        let mut code: [u8; 3] = text.as_bytes().try_into().map_err(|_| unknown())?;
        code.make_ascii_uppercase();
        match TABLE.binary_search_by(|(listed, _)| listed.as_bytes().cmp(&code)) {
            Ok(row) => Ok(Self(row as u8)),
            Err(_) => Err(unknown()),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_table_is_sorted_and_fits_a_byte() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0), "a code stands twice or out of order");
        assert!(TABLE.len() <= 256);
        assert!(TABLE.iter().all(|(code, _)| code.len() == 3 && code == &code.to_uppercase()));
    }

    #[test]
    fn every_code_reads_back_in_any_case() {
        for currency in Currency::all() {
            assert_eq!(currency.code().parse::<Currency>().unwrap(), currency);
            assert_eq!(currency.code().to_lowercase().parse::<Currency>().unwrap(), currency);
        }
    }

    #[test]
    fn minor_digits_follow_the_standard() {
        let digits = |code: &str| code.parse::<Currency>().unwrap().minor_digits();
        assert_eq!([digits("EUR"), digits("JPY"), digits("KWD"), digits("CLF")], [2, 0, 3, 4]);
        assert_eq!([digits("ISK"), digits("HUF"), digits("UGX"), digits("TND")], [0, 2, 0, 3]);
    }

    /// What List One of 2026-01-01 says, written by digits instead of by code.
    #[test]
    fn digits_are_those_of_list_one() {
        let with = |digits: u8| {
            let codes = Currency::all().filter(|currency| currency.minor_digits() == digits);
            codes.map(Currency::code).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            with(0),
            "BIF BYR CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
        );
        assert_eq!(with(3), "BHD IQD JOD KWD LYD OMR TND");
        assert_eq!(with(4), "CLF UYW");
        assert_eq!(Currency::all().filter(|each| each.minor_digits() == 2).count(), 149);
    }

    #[test]
    fn codes_made_and_withdrawn_since_2014_are_known() {
        let known = |code: &str| code.parse::<Currency>().is_ok();
        let made = ["BYN", "MRU", "SLE", "STN", "UYW", "VED", "VES", "XAD", "XCG", "ZWG"];
        let withdrawn =
            ["ANG", "BGN", "BYR", "CUC", "HRK", "LTL", "MRO", "SLL", "STD", "VEF", "ZWL"];
        for code in made.into_iter().chain(withdrawn) {
            assert!(known(code), "{code}");
        }
        for never_or_long_gone in ["DEM", "LVL", "USS", "XAU", "XDR", "XSU", "XTS", "ZWR"] {
            assert!(!known(never_or_long_gone), "{never_or_long_gone}");
        }
    }

    #[test]
    fn an_unknown_code_is_an_error() {
        for code in ["", "EU", "EURO", "€", "XXX", "ABC", "\u{130}SD"] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
        let error = "eurs".parse::<Currency>().unwrap_err().to_string();
        assert_eq!(
            error,
            r#"currency "eurs" is not in ISO 4217; write a three-letter code, as in EUR"#
        );
    }
}
