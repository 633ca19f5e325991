//! An event as a line of JSON.
//!
//! Guarantees: names of fields as Flink's Nexmark has them; times are `yyyy-MM-dd HH:mm:ss.SSS`.
//! Left out: nulls. An event holds the object of its own kind and no other.

use nexmark::event::{Auction, Bid, Event, Person};
use std::fmt;
use std::io::{self, Write};

const DAY_MS: u64 = 86_400_000;

/// Writes one event.
///
/// # Errors
/// The output cannot be written.
pub fn write(event: &Event, out: &mut impl Write) -> io::Result<()> {
    match event {
        Event::Person(person) => write_person(person, out),
        Event::Auction(auction) => write_auction(auction, out),
        Event::Bid(bid) => write_bid(bid, out),
    }
}

fn write_person(person: &Person, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{{\"event_type\":0,\"person\":{{\"id\":{},\"name\":{},\"emailAddress\":{},\
         \"creditCard\":{},\"city\":{},\"state\":{},\"dateTime\":{},\"extra\":{}}}}}",
        person.id,
        Text(&person.name),
        Text(&person.email_address),
        Text(&person.credit_card),
        Text(&person.city),
        Text(&person.state),
        Time(person.date_time),
        Text(&person.extra),
    )
}

fn write_auction(auction: &Auction, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{{\"event_type\":1,\"auction\":{{\"id\":{},\"itemName\":{},\"description\":{},\
         \"initialBid\":{},\"reserve\":{},\"dateTime\":{},\"expires\":{},\"seller\":{},\
         \"category\":{},\"extra\":{}}}}}",
        auction.id,
        Text(&auction.item_name),
        Text(&auction.description),
        auction.initial_bid,
        auction.reserve,
        Time(auction.date_time),
        Time(auction.expires),
        auction.seller,
        auction.category,
        Text(&auction.extra),
    )
}

fn write_bid(bid: &Bid, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{{\"event_type\":2,\"bid\":{{\"auction\":{},\"bidder\":{},\"price\":{},\"channel\":{},\
         \"url\":{},\"dateTime\":{},\"extra\":{}}}}}",
        bid.auction,
        bid.bidder,
        bid.price,
        Text(&bid.channel),
        Text(&bid.url),
        Time(bid.date_time),
        Text(&bid.extra),
    )
}

/// Text as JSON has it.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                control if control < ' ' => write!(f, "\\u{:04x}", u32::from(control))?,
                other => fmt::Write::write_char(f, other)?,
            }
        }
        f.write_str("\"")
    }
}

/// Milliseconds since 1970, written as a time in UTC.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_day(self.0 / DAY_MS);
        let ms = self.0 % DAY_MS;
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, fraction) = (ms / 1_000 % 60, ms % 1_000);
        write!(
            f,
            "\"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction:03}\""
        )
    }
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil_day(days: u64) -> (u64, u64, u64) {
    let mut left = days;
    let mut year = 1970;
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        let cases = [
            (0, "\"1970-01-01 00:00:00.000\""),
            (951_782_400_000, "\"2000-02-29 00:00:00.000\""),
            (1_436_918_400_000, "\"2015-07-15 00:00:00.000\""),
            (1_483_228_799_999, "\"2016-12-31 23:59:59.999\""),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(Time(milliseconds).to_string(), expected);
        }
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(Text("a\"b\\c\nd").to_string(), "\"a\\\"b\\\\c\\u000ad\"");
    }
}
