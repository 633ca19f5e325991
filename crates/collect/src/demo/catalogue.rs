//! What the simulated shop sells, where, and for how much.
//!
//! Guarantees: every price is a whole number of the currency's minor unit, as shops write them.
//! Left out: exchange rates. A price is set for a market, not converted.

use chrono_tz::{America, Asia, Europe, Tz};

/// A product.
#[derive(Debug, PartialEq, Eq)]
pub struct Product {
    /// The shop's id.
    pub product_id: &'static str,
    /// What is on the shelf.
    pub sku: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its category.
    pub category: &'static str,
    /// Who makes it.
    pub brand: &'static str,
    /// Its price in euro cents; the other markets' follow from it.
    eur_cents: i64,
}

/// Where a shopper shops: a country, a currency, its prices and its tax.
#[derive(Debug, PartialEq, Eq)]
pub struct Market {
    /// By whose clock its shoppers sleep.
    pub(super) zone: Tz,
    /// Of a hundred visits.
    pub(super) visits_per_cent: u64,
    /// ISO 3166.
    pub country: &'static str,
    /// ISO 4217.
    pub currency: &'static str,
    /// The browser's language.
    pub locale: &'static str,
    /// Digits after the point of the currency's amounts.
    pub minor_digits: usize,
    /// Sales tax in thousandths.
    pub tax_per_mille: i64,
    /// Shipping in minor units, for orders below `free_shipping_minor`.
    pub shipping_minor: i64,
    /// Orders from here on ship free.
    pub free_shipping_minor: i64,
}

/// The markets; a shopper is of one of them.
pub(super) static MARKETS: [Market; 3] = [
    Market {
        zone: Europe::Berlin,
        visits_per_cent: 50,
        country: "DE",
        currency: "EUR",
        locale: "de-DE",
        minor_digits: 2,
        tax_per_mille: 190,
        shipping_minor: 490,
        free_shipping_minor: 5_000,
    },
    Market {
        zone: America::New_York,
        visits_per_cent: 30,
        country: "US",
        currency: "USD",
        locale: "en-US",
        minor_digits: 2,
        tax_per_mille: 83,
        shipping_minor: 795,
        free_shipping_minor: 7_500,
    },
    Market {
        zone: Asia::Tokyo,
        visits_per_cent: 20,
        country: "JP",
        currency: "JPY",
        locale: "ja-JP",
        minor_digits: 0,
        tax_per_mille: 100,
        shipping_minor: 660,
        free_shipping_minor: 8_000,
    },
];

impl Market {
    /// What a product costs here, in minor units.
    pub fn price_minor(&self, product: &Product) -> i64 {
        match self.currency {
            "JPY" => product.eur_cents * 165 / 100 / 10 * 10,
            "USD" => product.eur_cents * 112 / 100 / 100 * 100 + 95,
            _ => product.eur_cents,
        }
    }

    /// An amount as text, exactly: `1234` is `12.34` in euro and `1234` in yen.
    pub fn amount_text(&self, minor: i64) -> String {
        if self.minor_digits == 0 {
            return minor.to_string();
        }
        let unit = 10_i64.pow(self.minor_digits as u32);
        let sign = if minor < 0 { "-" } else { "" };
        let (whole, rest) = (minor.abs() / unit, minor.abs() % unit);
        format!("{sign}{whole}.{rest:0width$}", width = self.minor_digits)
    }
}

/// `(product_id, sku, name, category, brand, euro cents)`.
const fn product(
    product_id: &'static str,
    sku: &'static str,
    name: &'static str,
    category: &'static str,
    brand: &'static str,
    eur_cents: i64,
) -> Product {
    Product { product_id, sku, name, category, brand, eur_cents }
}

/// The shelves, the best sellers first.
pub(super) static PRODUCTS: [Product; 24] = [
    product("1001", "MUG-BLU-1", "Stoneware mug, blue", "Kitchen", "Nordlicht", 1290),
    product("1002", "MUG-GRN-1", "Stoneware mug, green", "Kitchen", "Nordlicht", 1290),
    product("1003", "TEA-ASM-250", "Assam tea, 250 g", "Pantry", "Leaf & Tide", 895),
    product("1004", "COF-ETH-500", "Ethiopian coffee, 500 g", "Pantry", "Leaf & Tide", 1490),
    product("1005", "TSH-WHT-M", "Organic cotton T-shirt, white", "Clothing", "Harbour", 2495),
    product("1006", "TSH-BLK-L", "Organic cotton T-shirt, black", "Clothing", "Harbour", 2495),
    product("1007", "SCK-WOL-42", "Merino socks, pair", "Clothing", "Harbour", 1650),
    product("1008", "NTB-A5-DOT", "Notebook A5, dotted", "Stationery", "Quire", 990),
    product("1009", "PEN-GEL-3", "Gel pens, set of three", "Stationery", "Quire", 645),
    product("1010", "CND-FIG-1", "Candle, fig", "Home", "Hearthside", 1990),
    product("1011", "TWL-LIN-2", "Linen tea towels, two", "Kitchen", "Nordlicht", 1890),
    product("1012", "BAG-CAN-1", "Canvas shopping bag", "Accessories", "Harbour", 1495),
    product("1013", "BTL-STL-750", "Steel bottle, 0.75 l", "Outdoor", "Fellgate", 2790),
    product("1014", "LMP-DSK-1", "Desk lamp, brass", "Home", "Hearthside", 8900),
    product("1015", "PLW-CSH-1", "Cushion, 45 x 45 cm", "Home", "Hearthside", 3290),
    product("1016", "KNF-CHF-20", "Chef's knife, 20 cm", "Kitchen", "Nordlicht", 7950),
    product("1017", "PAN-IRN-28", "Iron pan, 28 cm", "Kitchen", "Nordlicht", 5490),
    product("1018", "RCK-DAY-20", "Day pack, 20 l", "Outdoor", "Fellgate", 6995),
    product("1019", "JKT-RAN-M", "Rain jacket", "Outdoor", "Fellgate", 12900),
    product("1020", "SCF-WOL-1", "Wool scarf", "Accessories", "Harbour", 3995),
    product("1021", "PUZ-1000-1", "Jigsaw, 1000 pieces", "Toys", "Parlour", 1795),
    product("1022", "GME-CRD-1", "Card game, \"Harbour Lights\"", "Toys", "Parlour", 1295),
    product("1023", "CHR-OAK-1", "Oak chair", "Furniture", "Hearthside", 18900),
    product("1024", "HDP-WRL-1", "Wireless headphones", "Electronics", "Larkspur", 14990),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_currencys_digits() {
        let [euro, dollar, yen] = &MARKETS;
        assert_eq!(euro.amount_text(1290), "12.90");
        assert_eq!(euro.amount_text(5), "0.05");
        assert_eq!(euro.amount_text(-1290), "-12.90");
        assert_eq!(yen.amount_text(1290), "1290");
        assert_eq!(dollar.amount_text(dollar.price_minor(&PRODUCTS[0])), "14.95");
        assert_eq!(yen.price_minor(&PRODUCTS[0]), 2120);
    }
}
