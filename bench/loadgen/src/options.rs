//! The command line.

/// How it is used.
pub const USAGE: &str = "usage: loadgen --address HOST:PORT [--key demo] [--connections 16] \
[--batch 100] [--seconds 10] [--rate EVENTS_PER_SECOND] [--probe-key KEY]

  --rate       without it, as fast as the server answers
  --probe-key  also send markers with this write key, whose store_id must be 'probe', and measure
               how long each takes from its 200 to be seen by SQL";

/// What to do.
#[derive(Debug)]
pub struct Options {
    pub address: String,
    pub key: String,
    pub connections: u64,
    pub batch: u64,
    pub seconds: f64,
    pub rate: Option<f64>,
    pub probe_key: Option<String>,
    /// Makes this run's ids its own.
    pub run: String,
}

impl Options {
    /// Reads `--name value` pairs.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut options = Self {
            address: String::new(),
            key: "demo".to_owned(),
            connections: 16,
            batch: 100,
            seconds: 10.0,
            rate: None,
            probe_key: None,
            run: format!("{:x}", since.map_or(0, |since| since.as_millis())),
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<f64>().map_err(|_| format!("{name}: {value:?}?"));
            match name.as_str() {
                "--address" => options.address = value,
                "--key" => options.key = value,
                "--connections" => options.connections = number()?.max(1.0) as u64,
                "--batch" => options.batch = number()?.clamp(1.0, 1_000.0) as u64,
                "--seconds" => options.seconds = number()?,
                "--rate" => options.rate = Some(number()?),
                "--probe-key" => options.probe_key = Some(value),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        if options.address.is_empty() {
            return Err("--address is missing".to_owned());
        }
        Ok(options)
    }
}
