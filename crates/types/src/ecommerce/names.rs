//! Event names: the canonical spelling of version 2, and everything that means the same.
//!
//! Guarantees: looking a name up allocates nothing, whatever its length.
//! Left out: names outside e-commerce, which stay as the client wrote them.

use std::sync::LazyLock;

/// An event of Segment's e-commerce specification, version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the variants are their names in the specification
pub enum EcommerceEvent {
    ProductsSearched,
    ProductListViewed,
    ProductListFiltered,
    PromotionViewed,
    PromotionClicked,
    ProductClicked,
    ProductViewed,
    ProductAdded,
    ProductRemoved,
    CartViewed,
    CheckoutStarted,
    CheckoutStepViewed,
    CheckoutStepCompleted,
    PaymentInfoEntered,
    OrderCompleted,
    OrderUpdated,
    OrderRefunded,
    OrderCancelled,
    CouponEntered,
    CouponApplied,
    CouponDenied,
    CouponRemoved,
    ProductAddedToWishlist,
    ProductRemovedFromWishlist,
    WishlistProductAddedToCart,
    ProductShared,
    CartShared,
    ProductReviewed,
}

use EcommerceEvent as E;

/// Event, canonical name, and the other names it goes by: those of version 1 with its enhanced
/// e-commerce extension, and American spelling. In the order of [`EcommerceEvent`].
const NAMES: &[(EcommerceEvent, &str, &[&str])] = &[
    (E::ProductsSearched, "Products Searched", &["Searched Products"]),
    (
        E::ProductListViewed,
        "Product List Viewed",
        &["Viewed Product Category", "Viewed Product List"],
    ),
    (E::ProductListFiltered, "Product List Filtered", &["Filtered Product List"]),
    (E::PromotionViewed, "Promotion Viewed", &["Viewed Promotion"]),
    (E::PromotionClicked, "Promotion Clicked", &["Clicked Promotion"]),
    (E::ProductClicked, "Product Clicked", &["Clicked Product"]),
    (
        E::ProductViewed,
        "Product Viewed",
        &["Viewed Product", "Viewed Product Details", "Viewed Product Detail"],
    ),
    (E::ProductAdded, "Product Added", &["Added Product"]),
    (E::ProductRemoved, "Product Removed", &["Removed Product"]),
    (E::CartViewed, "Cart Viewed", &["Viewed Cart"]),
    (
        E::CheckoutStarted,
        "Checkout Started",
        &["Started Checkout", "Started Order", "Order Started"],
    ),
    (E::CheckoutStepViewed, "Checkout Step Viewed", &["Viewed Checkout Step"]),
    (E::CheckoutStepCompleted, "Checkout Step Completed", &["Completed Checkout Step"]),
    (
        E::PaymentInfoEntered,
        "Payment Info Entered",
        &["Entered Payment Info", "Payment Info Added"],
    ),
    (E::OrderCompleted, "Order Completed", &["Completed Order"]),
    (E::OrderUpdated, "Order Updated", &["Updated Order"]),
    (E::OrderRefunded, "Order Refunded", &["Refunded Order"]),
    (
        E::OrderCancelled,
        "Order Cancelled",
        &["Cancelled Order", "Order Canceled", "Canceled Order"],
    ),
    (E::CouponEntered, "Coupon Entered", &["Entered Coupon"]),
    (E::CouponApplied, "Coupon Applied", &["Applied Coupon"]),
    (E::CouponDenied, "Coupon Denied", &["Denied Coupon"]),
    (E::CouponRemoved, "Coupon Removed", &["Removed Coupon"]),
    (E::ProductAddedToWishlist, "Product Added to Wishlist", &["Added Product to Wishlist"]),
    (
        E::ProductRemovedFromWishlist,
        "Product Removed from Wishlist",
        &["Removed Product from Wishlist"],
    ),
    (
        E::WishlistProductAddedToCart,
        "Wishlist Product Added to Cart",
        &["Added Wishlist Product to Cart"],
    ),
    (E::ProductShared, "Product Shared", &["Shared Product"]),
    (E::CartShared, "Cart Shared", &["Shared Cart"]),
    (E::ProductReviewed, "Product Reviewed", &["Reviewed Product"]),
];

impl EcommerceEvent {
    /// Every event, in the specification's order.
    pub const ALL: [Self; NAMES.len()] = {
        let mut all = [E::ProductsSearched; NAMES.len()];
        let mut row = 0;
        while row < all.len() {
            all[row] = NAMES[row].0;
            row += 1;
        }
        all
    };

    /// The canonical name: `Order Completed`.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// The event a client's name means, if it is one of e-commerce.
    pub fn of(name: &str) -> Option<Self> {
        let mut buffer = [0; KEY_BYTES_MAX];
        let key = key_of(name, &mut buffer)?;
        let row = KEYS.binary_search_by(|(listed, _)| listed.as_slice().cmp(key)).ok()?;
        Some(KEYS[row].1)
    }
}

/// The canonical name for what a client wrote (`completed_order` is `Order Completed`), or `None`
/// for a name that is not of e-commerce.
pub fn canonical_name(name: &str) -> Option<&'static str> {
    EcommerceEvent::of(name).map(EcommerceEvent::name)
}

/// The longest key has 26 letters: "wishlistproductaddedtocart".
const KEY_BYTES_MAX: usize = 32;

/// Lookup keys, sorted: letters only, small.
static KEYS: LazyLock<Vec<(Vec<u8>, EcommerceEvent)>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    for (event, name, others) in NAMES {
        for spelling in std::iter::once(name).chain(*others) {
            let mut buffer = [0; KEY_BYTES_MAX];
            let key = key_of(spelling, &mut buffer).expect("KEY_BYTES_MAX holds every listed name");
            keys.push((key.to_vec(), *event));
        }
    }
    keys.sort();
    keys
});

/// `name` in small letters without spaces and underscores; `None` when it cannot be a listed one.
fn key_of<'b>(name: &str, buffer: &'b mut [u8; KEY_BYTES_MAX]) -> Option<&'b [u8]> {
    let mut len = 0;
    for byte in name.bytes().filter(|byte| !matches!(byte, b' ' | b'_')) {
        *buffer.get_mut(len)? = byte.to_ascii_lowercase();
        len += 1;
    }
    Some(&buffer[..len])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (row, (event, ..)) in NAMES.iter().enumerate() {
            assert_eq!(*event as usize, row, "{event:?}");
        }
        assert_eq!(E::ProductReviewed as usize + 1, NAMES.len(), "an event has no name");
    }

    #[test]
    fn no_spelling_means_two_events() {
        assert!(KEYS.windows(2).all(|pair| pair[0].0 != pair[1].0));
    }

    #[test]
    fn canonical_names_stay_as_they_are() {
        for event in EcommerceEvent::ALL {
            assert_eq!(canonical_name(event.name()), Some(event.name()));
        }
    }

    #[test]
    fn version_one_and_careless_spelling_become_canonical() {
        for (sent, canonical) in [
            ("Completed Order", "Order Completed"),
            ("completed order", "Order Completed"),
            ("order_completed", "Order Completed"),
            ("OrderCompleted", "Order Completed"),
            ("Viewed Product Category", "Product List Viewed"),
            ("Viewed Product", "Product Viewed"),
            ("Added Product", "Product Added"),
            ("Removed Product", "Product Removed"),
            ("Clicked Product", "Product Clicked"),
            ("Updated Order", "Order Updated"),
            ("Order Canceled", "Order Cancelled"),
            ("PRODUCT ADDED TO WISHLIST", "Product Added to Wishlist"),
        ] {
            assert_eq!(canonical_name(sent), Some(canonical), "{sent}");
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        let long = "order completed ".repeat(1_000);
        for name in ["", " ", "Signed Up", "Order", "Order Completed!", "Örder Completed", &long] {
            assert_eq!(canonical_name(name), None, "{name}");
        }
    }
}
