//! Java's patterns of dates and times: `yyyy-MM-dd HH:mm:ss.SSS`.
//!
//! Guarantees: letters mean what they mean in `java.time.format.DateTimeFormatter` in English, with
//! weeks from Sunday; a letter that means nothing here is an error.
//! Left out: zones and offsets, optional parts.

use crate::text::{civil, days};
use std::fmt::Write;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
const DAY: i64 = 86_400 * SECOND;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A pattern, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(char, usize),
}

impl Pattern {
    /// # Errors
    /// A letter that means nothing, or a quote that does not end.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(next) = chars.next() {
            if next == '\'' {
                pieces.push(Piece::Text(quoted(&mut chars).ok_or_else(|| {
                    format!("the pattern {text:?} has a quote that does not end")
                })?));
            } else if "yuYMLdDHhkKmsSnNAaEecwQqG".contains(next) {
                let mut count = 1;
                while chars.next_if_eq(&next).is_some() {
                    count += 1;
                }
                pieces.push(Piece::Field(next, count));
            } else if next.is_ascii_alphabetic() || "{}[]#".contains(next) {
                return Err(format!("{next:?} in the pattern {text:?} is not supported"));
            } else {
                pieces.push(Piece::Text(next.to_string()));
            }
        }
        Ok(Self(pieces))
    }

    /// Appends local microseconds.
    pub(super) fn write(&self, micros: i64, out: &mut String) {
        let (day, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
        let (year, month, of_month) = civil(day);
        let time = Time { day, of_day, year, month, of_month };
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(letter, count) => time.write(*letter, *count, out),
            }
        }
    }

    /// Reads local microseconds. Numbers may have fewer digits than letters where no other number
    /// follows; a day past the end of its month is the last.
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        let mut rest = text;
        let mut fields = Fields::default();
        for (index, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Text(expected) => rest = rest.strip_prefix(expected.as_str())?,
                Piece::Field(letter, count) => {
                    let glued = matches!(self.0.get(index + 1), Some(Piece::Field(next, n)) if is_number(*next, *n));
                    rest = fields.read(*letter, *count, glued, rest)?;
                }
            }
        }
        if rest.is_empty() { fields.micros() } else { None }
    }
}

/// The rest of a quoted text; two quotes are one.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            '\'' if text.is_empty() => return Some("'".into()),
            '\'' => return Some(text),
            other => text.push(other),
        }
    }
}

fn is_number(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' | 'Q' | 'q' => count < 3,
        'a' | 'E' | 'G' => false,
        _ => true,
    }
}

struct Time {
    day: i64,
    of_day: i64,
    year: i64,
    month: i64,
    of_month: i64,
}

impl Time {
    fn write(&self, letter: char, count: usize, out: &mut String) {
        let hour = self.of_day / (3600 * SECOND);
        let fraction = self.of_day % SECOND;
        let name = |names: &[&'static str], index: i64, out: &mut String| {
            let name = names[usize::try_from(index).unwrap_or(0)];
            out.push_str(if count == 4 { name } else { &name[..3] });
        };
        let number = match letter {
            'y' | 'u' if count == 2 => self.year.rem_euclid(100),
            'y' | 'u' => self.year,
            'Y' => return padded(out, self.week().0, if count == 2 { 2 } else { count }),
            'w' => self.week().1,
            'M' | 'L' if count >= 3 => return name(&MONTHS, self.month - 1, out),
            'M' | 'L' => self.month,
            'd' => self.of_month,
            'D' => self.day - days(self.year, 1, 1) + 1,
            'E' => return name(&WEEKDAYS, weekday(self.day), out),
            'e' | 'c' => weekday(self.day) + 1,
            'H' => hour,
            'k' => {
                if hour == 0 {
                    24
                } else {
                    hour
                }
            }
            'K' => hour % 12,
            'h' => {
                if hour % 12 == 0 {
                    12
                } else {
                    hour % 12
                }
            }
            'm' => self.of_day / (60 * SECOND) % 60,
            's' => self.of_day / SECOND % 60,
            'n' => fraction * 1000,
            'N' => self.of_day * 1000,
            'A' => self.of_day / 1000,
            'a' => return out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'G' => return out.push_str(if self.year > 0 { "AD" } else { "BC" }),
            'Q' | 'q' => {
                if count >= 3 {
                    out.push('Q');
                }
                (self.month + 2) / 3
            }
            _ => {
                let digits = format!("{:09}", fraction * 1000);
                return out.extend(digits.chars().chain(std::iter::repeat('0')).take(count));
            }
        };
        padded(out, number, if "Qq".contains(letter) && count > 2 { 1 } else { count });
    }

    /// Week-based year and week, of weeks that start on Sunday; the first holds January 1st.
    fn week(&self) -> (i64, i64) {
        let first = |year: i64| days(year, 1, 1) - weekday(days(year, 1, 1));
        let year = if self.day >= first(self.year + 1) { self.year + 1 } else { self.year };
        (year, (self.day - first(year)) / 7 + 1)
    }
}

fn padded(out: &mut String, number: i64, width: usize) {
    // Writing to a String does not fail.
    let _ = write!(out, "{number:0width$}");
}

/// From 0, which is Sunday.
pub(super) fn weekday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}

/// What has been read so far.
#[derive(Debug)]
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            year: 1970,
            month: 1,
            day: 1,
            day_of_year: None,
            hour: 0,
            minute: 0,
            second: 0,
            micros: 0,
            afternoon: None,
        }
    }
}

impl Fields {
    /// Takes one field off the front of `text`.
    fn read<'a>(
        &mut self,
        letter: char,
        count: usize,
        glued: bool,
        text: &'a str,
    ) -> Option<&'a str> {
        if !is_number(letter, count) {
            return self.read_name(letter, text);
        }
        let most = match letter {
            'y' | 'u' if count != 2 => {
                if glued {
                    count
                } else {
                    9
                }
            }
            'S' | 'n' | 'N' | 'A' => count.max(9),
            _ => count.max(2),
        };
        let most = if glued { count } else { most };
        let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if end == 0 || (glued && end < count) {
            return None;
        }
        let value: i64 = text[..end].parse().ok()?;
        match letter {
            'y' | 'u' if count == 2 => self.year = 2000 + value,
            'y' | 'u' => self.year = value,
            'M' | 'L' => self.month = value,
            'd' => self.day = value,
            'D' => self.day_of_year = Some(value),
            'H' => self.hour = (0..=23).contains(&value).then_some(value)?,
            'k' => self.hour = (1..=24).contains(&value).then_some(value % 24)?,
            'h' => self.hour = (1..=12).contains(&value).then_some(value % 12)?,
            'K' => self.hour = (0..=11).contains(&value).then_some(value)?,
            'm' => self.minute = (0..=59).contains(&value).then_some(value)?,
            's' => self.second = (0..=59).contains(&value).then_some(value)?,
            'S' => {
                let digits = u32::try_from(end).ok()?;
                self.micros = if digits <= 6 {
                    value * 10_i64.pow(6 - digits)
                } else {
                    value / 10_i64.pow(digits - 6)
                };
            }
            // The others say nothing that the date does not.
            _ => {}
        }
        Some(&text[end..])
    }

    fn read_name<'a>(&mut self, letter: char, text: &'a str) -> Option<&'a str> {
        let starts = |name: &str| {
            text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        match letter {
            'a' => {
                self.afternoon = Some(starts("PM"));
                (starts("AM") || starts("PM")).then(|| &text[2..])
            }
            'G' => starts("AD").then(|| &text[2..]),
            _ => {
                let names: &[&str] = if letter == 'E' { &WEEKDAYS } else { &MONTHS };
                let index = names.iter().position(|name| starts(&name[..3]))?;
                if letter != 'E' {
                    self.month = index as i64 + 1;
                }
                let length = if starts(names[index]) { names[index].len() } else { 3 };
                Some(&text[length..])
            }
        }
    }

    fn micros(&self) -> Option<i64> {
        if !(1..=12).contains(&self.month) || !(1..=31).contains(&self.day) {
            return None;
        }
        let day = match self.day_of_year {
            Some(day) => days(self.year, 1, 1) + day - 1,
            None => {
                let (next_year, next) = if self.month == 12 { (1, 1) } else { (0, self.month + 1) };
                let last = days(self.year + next_year, next, 1) - days(self.year, self.month, 1);
                days(self.year, self.month, self.day.min(last))
            }
        };
        let hour = self.hour + if self.afternoon == Some(true) { 12 } else { 0 };
        let second = hour * 3600 + self.minute * 60 + self.second;
        day.checked_mul(DAY)?.checked_add(second * SECOND + self.micros)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// 2024-02-29 10:20:30.123
    const TIME: i64 = 1_709_202_030_123_000;

    // Each text is what Flink 2.3 gave.
    #[test]
    fn times_are_written_by_their_pattern() {
        let cases = [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-02-29 10:20:30.123"),
            ("yy/M/d H:m:s", "24/2/29 10:20:30"),
            ("EEE, dd MMM yyyy", "Thu, 29 Feb 2024"),
            ("EEEE MMMM", "Thursday February"),
            ("hh:mm a", "10:20 AM"),
            ("D w e u YYYY", "60 9 5 2024 2024"),
            ("yyyy'Q'q", "2024Q1"),
            ("Q QQQ", "1 Q1"),
            ("yyyy-MM-dd'T'HH:mm:ss'Z'", "2024-02-29T10:20:30Z"),
            ("S", "1"),
            ("SSSSSSSSS", "123000000"),
            ("n N A", "123000000 37230123000000 37230123"),
        ];
        for (pattern, expected) in cases {
            let mut out = String::new();
            Pattern::new(pattern).unwrap().write(TIME, &mut out);
            assert_eq!(out, expected, "{pattern}");
        }
        assert!(Pattern::new("X").is_err());
        assert!(Pattern::new("'open").is_err());
    }

    #[test]
    fn times_are_read_by_their_pattern() {
        let cases = [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-02-29 10:20:30.123", Some(TIME)),
            ("yyyy-MM-dd HH:mm:ss", "2024-2-29 10:20:30", Some(TIME - 123_000)),
            ("yyyyMMddHHmmss", "20240229102030", Some(TIME - 123_000)),
            ("yyyy-MM-dd HH:mm:ss", "2024-02-30 10:20:30", Some(TIME - 123_000)),
            ("MM/dd/yy h:mm a", "12/29/10 1:02 PM", Some(1_293_627_720_000_000)),
            ("dd MMM yyyy", "10 Feb 2024", Some(1_707_523_200_000_000)),
            ("yyyy", "2024", Some(1_704_067_200_000_000)),
            ("yyyy-MM-dd", "2024-13-01", None),
            ("yyyy-MM-dd", "2024-01-01x", None),
            ("HH", "24", None),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Pattern::new(pattern).unwrap().read(text), expected, "{pattern} {text}");
        }
    }
}
