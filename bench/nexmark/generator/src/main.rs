//! Nexmark's people, auctions and bids as JSON lines on stdout.
//!
//! Guarantees: the same options give the same bytes, on any day and any machine; events come in the
//! order of their times; of fifty events one is a person, three are auctions and 46 are bids.
//! Left out: disorder, and rates that change.

mod event;

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// When the first event happens, in milliseconds since 1970: 2015-07-15 00:00:00 UTC.
const FIRST_EVENT_MS: u64 = 1_436_918_400_000;
/// Bytes written at once.
const WRITE_BYTES: usize = 1 << 20;

const USAGE: &str = "usage: nexmark-generator --events N [--rate EVENTS_PER_SECOND_OF_EVENT_TIME]";

/// What was asked for.
struct Options {
    events: usize,
    /// Events in a second of their own time.
    rate: usize,
}

fn main() -> ExitCode {
    let options = match Options::from_arguments(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("nexmark-generator: {reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match write_events(&options, &mut BufWriter::with_capacity(WRITE_BYTES, io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nexmark-generator: stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_events(options: &Options, out: &mut impl Write) -> io::Result<()> {
    for event in EventGenerator::new(config(options.rate)).take(options.events) {
        event::write(&event, out)?;
    }
    out.flush()
}

/// Nexmark's own settings, with the names of places as its queries spell them.
fn config(rate: usize) -> NexmarkConfig {
    let names = |text: &str| text.split(',').map(String::from).collect();
    NexmarkConfig {
        base_time: FIRST_EVENT_MS,
        first_rate: rate,
        next_rate: rate,
        us_states: names("AZ,CA,ID,OR,WA,WY"),
        us_cities: names(
            "Phoenix,Los Angeles,San Francisco,Boise,Portland,Bend,Redmond,Seattle,Kent,Cheyenne",
        ),
        ..NexmarkConfig::default()
    }
}

impl Options {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut events, mut rate) = (None, 10_000);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
            let number: usize =
                value.parse().map_err(|_| format!("{name} is a number, not {value}"))?;
            match name.as_str() {
                "--events" => events = Some(number),
                "--rate" if number > 0 => rate = number,
                "--rate" => return Err("--rate is at least 1".to_string()),
                _ => return Err(format!("there is no option {name}")),
            }
        }
        Ok(Self { events: events.ok_or("--events is missing")?, rate })
    }
}
