//! The specified properties of e-commerce events, typed.
//!
//! Guarantees: amounts and quantities are read from the JSON text, number or string alike, never
//! through a float; ids may be sent as numbers and are kept as text; the spellings of version 1
//! (`id`, `orderId`) are read where version 2's are absent; nothing but an order's id is required,
//! and that only of a refund; an error names the property.
//! Left out: properties the specification does not name.

use super::fields::{Fields, PropertyError};
use crate::money::{Currency, Decimal};
use serde::{Deserialize, Serialize};

/// Gives a struct its reading (by the names listed for each property, the first one present
/// counts) beside the writing that serde derives, so that a property's names stand once.
macro_rules! properties {
    ($(#[$about:meta])* pub struct $name:ident {
        $($(#[$doc:meta])* pub $field:ident: $kind:ty = $read:ident($($key:literal),+),)+
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "Fields")]
        pub struct $name {
            $($(#[$doc])* #[serde(skip_serializing_if = "absent")] pub $field: $kind,)+
        }

        impl TryFrom<Fields> for $name {
            type Error = PropertyError;

            fn try_from(fields: Fields) -> Result<Self, PropertyError> {
                Ok(Self { $($field: fields.$read(&[$($key),+])?,)+ })
            }
        }
    };
}

/// Whether a property would say nothing and is left out of the JSON.
fn absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

properties! {
    /// A product as seen, put into a cart, ordered or refunded.
    pub struct Product {
        /// The shop's id of the product.
        pub product_id: Option<String> = text("product_id", "id", "productId"),
        /// The stock-keeping unit.
        pub sku: Option<String> = text("sku"),
        /// The category it was shown in.
        pub category: Option<String> = text("category"),
        /// Its name.
        pub name: Option<String> = text("name"),
        /// Its brand.
        pub brand: Option<String> = text("brand"),
        /// Colour, size and the like.
        pub variant: Option<String> = text("variant"),
        /// The price of one, in the currency's major unit.
        pub price: Option<Decimal> = decimal("price"),
        /// How many.
        pub quantity: Option<Decimal> = decimal("quantity"),
        /// What `price` is in, where the event says so.
        pub currency: Option<Currency> = currency("currency"),
        /// The coupon that applies to it.
        pub coupon: Option<String> = text("coupon"),
        /// Its place in the list it was shown in; the first is 1.
        pub position: Option<Decimal> = decimal("position"),
        /// Its page.
        pub url: Option<String> = text("url"),
        /// Its picture.
        pub image_url: Option<String> = text("image_url", "imageUrl"),
        /// The cart it was put into or taken from.
        pub cart_id: Option<String> = text("cart_id"),
        /// The wishlist it was put on or taken from.
        pub wishlist_id: Option<String> = text("wishlist_id"),
        /// The wishlist's name.
        pub wishlist_name: Option<String> = text("wishlist_name"),
    }
}

properties! {
    /// An order, from its checkout to its cancellation.
    pub struct Order {
        /// The checkout it came from.
        pub checkout_id: Option<String> = text("checkout_id", "checkoutId"),
        /// The order's id; absent while a checkout has only begun.
        pub order_id: Option<String> = text("order_id", "orderId"),
        /// The shop or partner it was placed through.
        pub affiliation: Option<String> = text("affiliation"),
        /// The products' sum before discounts, shipping and tax.
        pub subtotal: Option<Decimal> = decimal("subtotal"),
        /// What is paid: with discounts, shipping and tax.
        pub total: Option<Decimal> = decimal("total"),
        /// What the shop earns: without shipping and tax.
        pub revenue: Option<Decimal> = decimal("revenue"),
        /// What shipping costs.
        pub shipping: Option<Decimal> = decimal("shipping"),
        /// The tax.
        pub tax: Option<Decimal> = decimal("tax"),
        /// What was taken off.
        pub discount: Option<Decimal> = decimal("discount"),
        /// The coupon that was used.
        pub coupon: Option<String> = text("coupon"),
        /// What all its amounts are in.
        pub currency: Option<Currency> = currency("currency"),
        /// The order's lines.
        pub products: Vec<Product> = list("products"),
    }
}

properties! {
    /// A refund, whole or in part.
    pub struct Refund {
        /// The order that is refunded.
        pub order_id: String = required_text("order_id", "orderId"),
        /// What is paid back; absent: the whole order.
        pub total: Option<Decimal> = decimal("total"),
        /// What `total` is in.
        pub currency: Option<Currency> = currency("currency"),
        /// The lines that are refunded; empty: not said.
        pub products: Vec<Product> = list("products"),
    }
}

properties! {
    /// A cart as it is looked at.
    pub struct Cart {
        /// The cart.
        pub cart_id: Option<String> = text("cart_id", "cartId"),
        /// What is in it.
        pub products: Vec<Product> = list("products"),
    }
}

properties! {
    /// A search for products.
    pub struct Search {
        /// What was searched for.
        pub query: Option<String> = text("query"),
    }
}

properties! {
    /// A list or category of products, whole or filtered.
    pub struct ProductList {
        /// The list.
        pub list_id: Option<String> = text("list_id"),
        /// The category.
        pub category: Option<String> = text("category"),
        /// The products shown.
        pub products: Vec<Product> = list("products"),
    }
}

properties! {
    /// A promotion shown or clicked.
    pub struct Promotion {
        /// The promotion.
        pub promotion_id: Option<String> = text("promotion_id", "id"),
        /// The artwork.
        pub creative: Option<String> = text("creative"),
        /// Its name.
        pub name: Option<String> = text("name"),
        /// Where on the page it stood.
        pub position: Option<String> = text("position"),
    }
}

properties! {
    /// A step of the checkout, seen or done.
    pub struct CheckoutStep {
        /// The checkout.
        pub checkout_id: Option<String> = text("checkout_id"),
        /// Which step; the first is 1.
        pub step: Option<Decimal> = decimal("step"),
        /// How it is shipped.
        pub shipping_method: Option<String> = text("shipping_method"),
        /// How it is paid.
        pub payment_method: Option<String> = text("payment_method"),
    }
}

properties! {
    /// Payment details entered.
    pub struct PaymentInfo {
        /// The checkout.
        pub checkout_id: Option<String> = text("checkout_id"),
        /// The order.
        pub order_id: Option<String> = text("order_id"),
        /// Which step of the checkout; the first is 1.
        pub step: Option<Decimal> = decimal("step"),
        /// How it is shipped.
        pub shipping_method: Option<String> = text("shipping_method"),
        /// How it is paid.
        pub payment_method: Option<String> = text("payment_method"),
    }
}

properties! {
    /// A coupon entered, applied or removed.
    pub struct Coupon {
        /// The order.
        pub order_id: Option<String> = text("order_id"),
        /// The cart.
        pub cart_id: Option<String> = text("cart_id"),
        /// The coupon.
        pub coupon_id: Option<String> = text("coupon_id"),
        /// Its name.
        pub coupon_name: Option<String> = text("coupon_name"),
        /// What it takes off.
        pub discount: Option<Decimal> = decimal("discount"),
    }
}

properties! {
    /// A coupon that was refused.
    pub struct CouponRejection {
        /// The order.
        pub order_id: Option<String> = text("order_id"),
        /// The cart.
        pub cart_id: Option<String> = text("cart_id"),
        /// The coupon.
        pub coupon_id: Option<String> = text("coupon_id"),
        /// Its name.
        pub coupon_name: Option<String> = text("coupon_name"),
        /// Why it was refused.
        pub reason: Option<String> = text("reason"),
    }
}

properties! {
    /// A product or a cart shown to somebody else.
    pub struct Share {
        /// By what means.
        pub share_via: Option<String> = text("share_via"),
        /// What was said.
        pub share_message: Option<String> = text("share_message"),
        /// To whom.
        pub recipient: Option<String> = text("recipient"),
        /// The cart, where it was one.
        pub cart_id: Option<String> = text("cart_id", "cart"),
        /// The product, where it was one.
        pub product_id: Option<String> = text("product_id"),
        /// The cart's products, where it was one.
        pub products: Vec<Product> = list("products"),
    }
}

properties! {
    /// A product reviewed.
    pub struct Review {
        /// The product.
        pub product_id: Option<String> = text("product_id"),
        /// The review.
        pub review_id: Option<String> = text("review_id"),
        /// Its text.
        pub review_body: Option<String> = text("review_body"),
        /// The rating.
        pub rating: Option<Decimal> = decimal("rating"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn order(json: &str) -> Result<Order, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn an_order_is_read_exactly_and_written_back_the_same() {
        let json = concat!(
            r#"{"checkout_id":"fksdjfsdjfisjf9sdfjsd9f","order_id":"50314b8e9bcf000000000000","#,
            r#""subtotal":22.5,"total":27.5,"revenue":25,"shipping":3,"tax":2,"discount":2.5,"#,
            r#""coupon":"hasbros","currency":"USD","products":[{"product_id":"507f1f77","#,
            r#""sku":"45790-32","name":"Monopoly","price":19.99,"quantity":1}]}"#
        );
        let read = order(json).unwrap();
        assert_eq!(read.revenue, Some(25.into()));
        assert_eq!(read.products[0].price.unwrap().units(), 19_990_000);
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }

    #[test]
    fn numbers_may_be_text_and_ids_may_be_numbers() {
        let read = order(
            r#"{"order_id": 12345678901234567890, "total": "0.1", "products": [{"id": 7, "quantity": "6"}]}"#,
        )
        .unwrap();
        assert_eq!(read.order_id.as_deref(), Some("12345678901234567890"));
        assert_eq!(read.total.unwrap().units(), 100_000);
        assert_eq!(read.products[0].product_id.as_deref(), Some("7"));
        assert_eq!(read.products[0].quantity, Some(6.into()));
    }

    #[test]
    fn the_newer_spelling_counts_and_null_is_absent() {
        let product: Product =
            serde_json::from_str(r#"{"id": "old", "product_id": "new", "price": null}"#).unwrap();
        assert_eq!(product.product_id.as_deref(), Some("new"));
        assert_eq!(product.price, None);
        let product: Product =
            serde_json::from_str(r#"{"id": "old", "product_id": null}"#).unwrap();
        assert_eq!(product.product_id.as_deref(), Some("old"));
    }

    #[test]
    fn an_error_names_the_property() {
        let error = order(r#"{"total": "12,50"}"#).unwrap_err().to_string();
        assert!(error.contains(r#"property "total": "12,50" is not a decimal number"#), "{error}");
        let error = order(r#"{"currency": "EURO"}"#).unwrap_err().to_string();
        assert!(error.contains(r#"property "currency": currency "EURO""#), "{error}");
        let error = order(r#"{"products": [{"price": {}}]}"#).unwrap_err().to_string();
        assert!(error.contains(r#"property "products": property "price""#), "{error}");
    }
}
