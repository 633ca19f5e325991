//! Where shoppers come from, and how many of them buy.
//!
//! Left out: what a shop pays for each.
//!
//! Where the figures are from: the shares of visits are Wolfgang Digital's ("Ecommerce KPI
//! Benchmarks": Google organic 32 %, Google CPC 23 %, direct 21 %), the remaining quarter is split by
//! our guess; the shares that buy are those VWO collected ("eCommerce conversion rate": referral
//! 5.44 %, email 5.32 %, direct 2.16 %, organic 2.08 %, ads 1.42 %, social 0.74 to 0.93 %). Together
//! 2.3 % of visits buy.

use rand::Rng;
use rand::rngs::StdRng;

/// A way into the shop.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Channel {
    /// Of all visits.
    share_per_cent: u32,
    /// Of its visits.
    pub(super) orders_per_myriad: u32,
    /// `utm_medium` and `utm_source`, where the link has them.
    pub(super) utm: Option<(&'static str, &'static str)>,
    /// The page before.
    pub(super) referrer: Option<&'static str>,
}

const fn channel(
    share_per_cent: u32,
    orders_per_myriad: u32,
    utm: Option<(&'static str, &'static str)>,
    referrer: Option<&'static str>,
) -> Channel {
    Channel { share_per_cent, orders_per_myriad, utm, referrer }
}

static CHANNELS: [Channel; 8] = [
    channel(32, 208, None, Some("https://www.google.com/")),
    channel(23, 142, Some(("cpc", "google")), Some("https://www.google.com/")),
    channel(21, 216, None, None),
    channel(6, 93, Some(("social", "instagram")), Some("https://www.instagram.com/")),
    channel(4, 74, Some(("social", "tiktok")), Some("https://www.tiktok.com/")),
    channel(6, 532, Some(("email", "newsletter")), None),
    channel(5, 544, Some(("referral", "wirecutter")), Some("https://www.nytimes.com/wirecutter/")),
    channel(3, 544, Some(("referral", "partner-blog")), Some("https://blog.example/gifts")),
];

/// Of ten thousand visits, those that end with an order.
#[cfg(test)]
pub(super) fn orders_per_myriad() -> u32 {
    CHANNELS.iter().map(|one| one.share_per_cent * one.orders_per_myriad).sum::<u32>() / 100
}

/// The channel of one visit.
pub(super) fn any(random: &mut StdRng) -> &'static Channel {
    let mut place = random.random_range(0..100);
    for channel in &CHANNELS {
        if place < channel.share_per_cent {
            return channel;
        }
        place -= channel.share_per_cent;
    }
    &CHANNELS[0]
}

/// The channel of a visit that ends with an order.
pub(super) fn of_order(random: &mut StdRng) -> &'static Channel {
    let weight = |channel: &Channel| channel.share_per_cent * channel.orders_per_myriad;
    let mut place = random.random_range(0..CHANNELS.iter().map(weight).sum());
    for channel in &CHANNELS {
        if place < weight(channel) {
            return channel;
        }
        place -= weight(channel);
    }
    &CHANNELS[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_a_hundred_and_two_in_a_hundred_buy() {
        assert_eq!(CHANNELS.iter().map(|one| one.share_per_cent).sum::<u32>(), 100);
        assert!((220..=240).contains(&orders_per_myriad()), "{}", orders_per_myriad());
    }
}
