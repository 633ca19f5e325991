//! The vocabulary of Segment's e-commerce specification: event names and typed properties.
//!
//! Guarantees: every name of version 2 is known by its canonical spelling, and so are the names of
//! version 1, in any case and with spaces, underscores or nothing between the words, as Segment's
//! own libraries take them; amounts are exact; what a shop sends beside the specified properties
//! is ignored here and stays in the event's raw `properties`.
//! Left out: judging an order (does the total add up, is the refund larger than the order): that
//! is a query's work.

mod fields;
mod names;
mod properties;

pub use names::{EcommerceEvent, canonical_name};
pub use properties::{
    Cart, CheckoutStep, Coupon, CouponRejection, Order, PaymentInfo, Product, ProductList,
    Promotion, Refund, Review, Search, Share,
};

use serde_json::value::RawValue;

/// The properties of an e-commerce event, by what they describe.
#[derive(Debug, Clone, PartialEq)]
pub enum Properties {
    /// `Products Searched`.
    Search(Search),
    /// `Product List Viewed`, `Product List Filtered`.
    ProductList(ProductList),
    /// `Promotion Viewed`, `Promotion Clicked`.
    Promotion(Promotion),
    /// One product seen, clicked, added, removed or wished for.
    Product(Product),
    /// `Cart Viewed`.
    Cart(Cart),
    /// `Checkout Step Viewed`, `Checkout Step Completed`.
    CheckoutStep(CheckoutStep),
    /// `Payment Info Entered`.
    PaymentInfo(PaymentInfo),
    /// `Checkout Started`, `Order Completed`, `Order Updated`, `Order Cancelled`.
    Order(Order),
    /// `Order Refunded`.
    Refund(Refund),
    /// `Coupon Entered`, `Coupon Applied`, `Coupon Removed`.
    Coupon(Coupon),
    /// `Coupon Denied`.
    CouponRejection(CouponRejection),
    /// `Product Shared`, `Cart Shared`.
    Share(Share),
    /// `Product Reviewed`.
    Review(Review),
}

impl EcommerceEvent {
    /// Reads the properties this event is specified with.
    ///
    /// # Errors
    /// What `serde_json` says about a property of the wrong type, an amount that is no number or a
    /// currency nobody knows, with line and column in `properties`.
    pub fn properties(self, properties: &RawValue) -> Result<Properties, serde_json::Error> {
        use EcommerceEvent as E;
        let text = properties.get();
        Ok(match self {
            E::ProductsSearched => Properties::Search(serde_json::from_str(text)?),
            E::ProductListViewed | E::ProductListFiltered => {
                Properties::ProductList(serde_json::from_str(text)?)
            }
            E::PromotionViewed | E::PromotionClicked => {
                Properties::Promotion(serde_json::from_str(text)?)
            }
            E::ProductClicked
            | E::ProductViewed
            | E::ProductAdded
            | E::ProductRemoved
            | E::ProductAddedToWishlist
            | E::ProductRemovedFromWishlist
            | E::WishlistProductAddedToCart => Properties::Product(serde_json::from_str(text)?),
            E::CartViewed => Properties::Cart(serde_json::from_str(text)?),
            E::CheckoutStepViewed | E::CheckoutStepCompleted => {
                Properties::CheckoutStep(serde_json::from_str(text)?)
            }
            E::PaymentInfoEntered => Properties::PaymentInfo(serde_json::from_str(text)?),
            E::CheckoutStarted | E::OrderCompleted | E::OrderUpdated | E::OrderCancelled => {
                Properties::Order(serde_json::from_str(text)?)
            }
            E::OrderRefunded => Properties::Refund(serde_json::from_str(text)?),
            E::CouponEntered | E::CouponApplied | E::CouponRemoved => {
                Properties::Coupon(serde_json::from_str(text)?)
            }
            E::CouponDenied => Properties::CouponRejection(serde_json::from_str(text)?),
            E::ProductShared | E::CartShared => Properties::Share(serde_json::from_str(text)?),
            E::ProductReviewed => Properties::Review(serde_json::from_str(text)?),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn every_event_reads_an_empty_object_or_names_what_is_missing() {
        for event in EcommerceEvent::ALL {
            match event.properties(&raw("{}")) {
                Ok(_) => {}
                Err(error) => assert!(error.to_string().contains("order_id"), "{event:?}: {error}"),
            }
        }
    }

    #[test]
    fn a_refund_is_not_read_as_an_order() {
        let refund = EcommerceEvent::OrderRefunded
            .properties(&raw(r#"{"order_id": "50314b8e", "total": 30, "currency": "USD"}"#))
            .unwrap();
        let Properties::Refund(refund) = refund else { panic!("{refund:?}") };
        assert_eq!(refund.order_id, "50314b8e");
        assert_eq!(refund.total, Some(30.into()));
    }
}
