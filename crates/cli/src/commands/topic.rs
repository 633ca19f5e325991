//! `tradewind topic`: the topics of a server over its Kafka port, looked at, changed, written and
//! read.
//!
//! Guarantees: what is made, changed, removed or written is so durably when the command ends; a
//! name that is misspelt is named. It speaks Kafka's protocol, as any other client.
//! Left out: consumer groups; several brokers.

use super::remote::RemoteAnswer;
use super::runtime;
use super::sql::{Format, print, print_remote};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use tradewind_analyze::closest;
use tradewind_log::client::{Client, ClientError};
use tradewind_types::{LogRecord, Offset, Record, partition_of};

/// Lines that are sent together at most: what is typed is sent at once, what is piped in batches.
const LINES_MAX: usize = 1_000;
/// Bytes of lines that are sent together at most, about.
const LINES_BYTES_MAX: usize = 512 << 10;

/// Arguments of `topic`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    pub action: Action,
    /// The server's Kafka port, as host:port.
    #[arg(long, global = true, default_value = "127.0.0.1:9092")]
    pub kafka: String,
    /// How it is written; json is one object a line.
    #[arg(long, global = true, value_enum, default_value = "table")]
    pub format: Format,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Every topic and how many partitions it has.
    List,
    /// Make one.
    Create {
        /// Its name.
        name: String,
        /// Partitions; the server's default where this is not said.
        #[arg(long)]
        partitions: Option<i32>,
        /// A setting, as name=value; may be repeated.
        #[arg(long = "set", value_parser = setting)]
        settings: Vec<(String, String)>,
        /// Nothing is wrong when it is there already.
        #[arg(long)]
        if_not_exists: bool,
    },
    /// One topic: its partitions and settings.
    Describe {
        /// Its name.
        name: String,
    },
    /// Change settings or give it more partitions. What is changed holds at once.
    Alter {
        /// Its name.
        name: String,
        /// A setting, as name=value; may be repeated.
        #[arg(long = "set", value_parser = setting)]
        settings: Vec<(String, String)>,
        /// A setting to take back to its default; may be repeated.
        #[arg(long)]
        unset: Vec<String>,
        /// Partitions in all; more than there are.
        #[arg(long)]
        partitions: Option<i32>,
    },
    /// Remove one with its records.
    Delete {
        /// Its name.
        name: String,
        /// Nothing is wrong when it is not there.
        #[arg(long)]
        if_exists: bool,
    },
    /// Write the lines of the standard input as records.
    Produce {
        /// The topic.
        name: String,
        /// The partition; by key where this is not said, as Kafka's clients choose it.
        #[arg(long)]
        partition: Option<i32>,
        /// What stands between key and value; without it there are no keys.
        #[arg(short = 'K', long)]
        key_separator: Option<String>,
    },
    /// Read records, a line each, partition by partition.
    Consume {
        /// The topic.
        name: String,
        /// One partition only.
        #[arg(long)]
        partition: Option<i32>,
        /// Where to begin: beginning, end, or an offset.
        #[arg(long, default_value = "beginning", value_parser = start)]
        from: Start,
        /// Records to read at most.
        #[arg(long)]
        count: Option<u64>,
        /// Wait for more at the end.
        #[arg(long)]
        follow: bool,
        /// Write keys too, before a tab.
        #[arg(long)]
        keys: bool,
    },
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Beginning,
    /// Behind the last.
    End,
    /// At this offset.
    At(Offset),
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err(format!("{text:?} is not name=value")),
    }
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "beginning" => Ok(Start::Beginning),
        "end" => Ok(Start::End),
        offset => match offset.parse() {
            Ok(offset) if offset >= 0 => Ok(Start::At(offset)),
            _ => Err(format!("{text:?} is not beginning, end or an offset")),
        },
    }
}

/// Runs the command.
///
/// # Errors
/// One line: the server cannot be reached, or what it said.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(act(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn act(arguments: &Arguments) -> anyhow::Result<()> {
    let mut client = Client::connect(&arguments.kafka).await?;
    let (client, format) = (&mut client, arguments.format);
    match &arguments.action {
        Action::List => list(client, format).await,
        Action::Create { name, partitions, settings, if_not_exists } => {
            if *if_not_exists && client.topics().await?.contains_key(name) {
                return Ok(());
            }
            Ok(client.create_topic(name, *partitions, settings).await?)
        }
        Action::Describe { name } => describe(client, name, format).await,
        Action::Alter { name, settings, unset, partitions } => {
            alter(client, name, settings, unset, *partitions).await
        }
        Action::Delete { name, if_exists } => {
            if known(client, name).await?.is_err() && *if_exists {
                return Ok(());
            }
            known(client, name).await??;
            Ok(client.delete_topic(name).await?)
        }
        Action::Produce { name, partition, key_separator } => {
            produce(client, name, *partition, key_separator.as_deref()).await
        }
        Action::Consume { name, partition, from, count, follow, keys } => {
            let reading = Reading {
                topic: name,
                from: *from,
                left: count.unwrap_or(u64::MAX),
                follow: *follow,
                keys: *keys,
                format,
            };
            reading.run(client, *partition).await
        }
    }
}

/// How many partitions a topic has, or that there is none and which was probably meant.
async fn known(client: &mut Client, name: &str) -> anyhow::Result<anyhow::Result<i32>> {
    let topics = client.topics().await?;
    if let Some(partitions) = topics.get(name) {
        return Ok(Ok(*partitions));
    }
    let hint = match closest(name, topics.keys().map(String::as_str).collect::<Vec<_>>()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "`tradewind topic list` names them".to_string(),
    };
    Ok(Err(anyhow::anyhow!("topic \"{name}\" does not exist ({hint})")))
}

async fn list(client: &mut Client, format: Format) -> anyhow::Result<()> {
    let topics = client.topics().await?;
    let rows = topics.into_iter().map(|(name, partitions)| vec![json!(name), json!(partitions)]);
    show(&[("name", "text"), ("partitions", "integer")], rows.collect(), format)
}

async fn describe(client: &mut Client, name: &str, format: Format) -> anyhow::Result<()> {
    known(client, name).await??;
    let partitions = client.partitions(name).await?;
    let settings = client.settings(name).await?;
    if format == Format::Json {
        let partitions = partitions.iter().map(|one| {
            json!({
                "partition": one.partition, "log_start": one.log_start,
                "high_watermark": one.high_watermark, "bytes": one.bytes,
            })
        });
        let settings = settings.iter().map(|one| {
            json!({
                "name": one.name, "value": one.value, "own": one.own,
                "description": one.description,
            })
        });
        let (partitions, settings): (Vec<Value>, Vec<Value>) =
            (partitions.collect(), settings.collect());
        let all = json!({"topic": name, "partitions": partitions, "settings": settings});
        return print(&format!("{all}\n"));
    }
    let columns = ["partition", "log_start", "high_watermark", "records", "bytes"];
    let rows = partitions.iter().map(|one| {
        let records = one.high_watermark - one.log_start;
        [i64::from(one.partition), one.log_start, one.high_watermark, records, one.bytes]
            .map(Value::from)
            .to_vec()
    });
    show(&columns.map(|column| (column, "bigint")), rows.collect(), format)?;
    let rows = settings.into_iter().map(|one| {
        let source = if one.own { "topic" } else { "default" };
        vec![json!(one.name), json!(one.value), json!(source)]
    });
    show(&["setting", "value", "source"].map(|column| (column, "text")), rows.collect(), format)
}

fn show(columns: &[(&str, &str)], rows: Vec<Vec<Value>>, format: Format) -> anyhow::Result<()> {
    if format != Format::Csv {
        return print_remote(&RemoteAnswer::of(columns, rows), format).map(drop);
    }
    // Names, numbers and settings need no quotes, but for the commas of lists.
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut text = format!("{}\n", names.join(","));
    for row in rows {
        let cells = row.iter().map(|cell| match cell {
            Value::String(cell) if cell.contains(',') => format!("\"{cell}\""),
            Value::String(cell) => cell.clone(),
            other => other.to_string(),
        });
        text.push_str(&format!("{}\n", cells.collect::<Vec<_>>().join(",")));
    }
    print(&text)
}

async fn alter(
    client: &mut Client,
    name: &str,
    settings: &[(String, String)],
    unset: &[String],
    partitions: Option<i32>,
) -> anyhow::Result<()> {
    known(client, name).await??;
    let set = settings.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
    let changes: Vec<_> = set.chain(unset.iter().map(|name| (name.clone(), None))).collect();
    if changes.is_empty() && partitions.is_none() {
        anyhow::bail!("nothing to change: say --set, --unset or --partitions");
    }
    if !changes.is_empty() {
        client.alter_topic(name, &changes).await?;
    }
    if let Some(partitions) = partitions {
        client.add_partitions(name, partitions).await?;
    }
    Ok(())
}

async fn produce(
    client: &mut Client,
    name: &str,
    partition: Option<i32>,
    separator: Option<&str>,
) -> anyhow::Result<()> {
    let partitions = known(client, name).await??;
    let mut lines = BufReader::new(std::io::stdin());
    let mut waiting = BTreeMap::<i32, Vec<Record>>::new();
    let (mut count, mut bytes, mut turn) = (0, 0, 0);
    loop {
        let mut line = Vec::new();
        let read = lines.read_until(b'\n', &mut line)?;
        if read > 0 {
            let record = record(&line, separator)?;
            let to = partition.unwrap_or_else(|| match &record.key {
                Some(key) => partition_of(key, partitions),
                None => turn % partitions,
            });
            waiting.entry(to).or_default().push(record);
            (count, bytes) = (count + 1, bytes + read);
        }
        let full = count >= LINES_MAX || bytes >= LINES_BYTES_MAX;
        if read == 0 || full || lines.buffer().is_empty() {
            for (to, records) in std::mem::take(&mut waiting) {
                client.produce(name, to, &records).await?;
            }
            (count, bytes, turn) = (0, 0, turn + 1);
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn record(line: &[u8], separator: Option<&str>) -> anyhow::Result<Record> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let timestamp_ms = i64::try_from(now.as_millis())?;
    let whole = |value: &[u8]| Record {
        timestamp_ms,
        value: Some(value.to_vec().into()),
        ..Record::default()
    };
    let Some(separator) = separator.map(str::as_bytes).filter(|separator| !separator.is_empty())
    else {
        return Ok(whole(line));
    };
    let at = line.windows(separator.len()).position(|window| window == separator);
    let at = at.ok_or_else(|| {
        let line = String::from_utf8_lossy(line);
        anyhow::anyhow!("no {:?} in {line:?}", String::from_utf8_lossy(separator))
    })?;
    let value = whole(&line[at + separator.len()..]);
    Ok(Record { key: Some(line[..at].to_vec().into()), ..value })
}

/// What is read, and how it is written.
struct Reading<'a> {
    topic: &'a str,
    from: Start,
    left: u64,
    follow: bool,
    keys: bool,
    format: Format,
}

impl Reading<'_> {
    async fn run(mut self, client: &mut Client, only: Option<i32>) -> anyhow::Result<()> {
        known(client, self.topic).await??;
        let mut places: Vec<(i32, Offset, Offset)> = client
            .partitions(self.topic)
            .await?
            .into_iter()
            .filter(|one| only.is_none_or(|only| one.partition == only))
            .map(|one| {
                let from = match self.from {
                    Start::Beginning => one.log_start,
                    Start::End => one.high_watermark,
                    Start::At(offset) => offset.clamp(one.log_start, one.high_watermark),
                };
                (one.partition, from, one.high_watermark)
            })
            .collect();
        if let (true, Some(only)) = (places.is_empty(), only) {
            anyhow::bail!("topic \"{}\" has no partition {only}", self.topic);
        }
        loop {
            for (partition, from, end) in &mut places {
                while (*from < *end || self.follow) && self.left > 0 {
                    let (records, next) = self.fetch(client, *partition, *from).await?;
                    let none = next == *from;
                    *from = next;
                    self.write(*partition, records)?;
                    if none {
                        break;
                    }
                }
            }
            if !self.follow || self.left == 0 {
                return Ok(());
            }
        }
    }

    async fn fetch(
        &self,
        client: &mut Client,
        partition: i32,
        from: Offset,
    ) -> Result<(Vec<LogRecord>, Offset), ClientError> {
        client.fetch(self.topic, partition, from).await
    }

    fn write(&mut self, partition: i32, records: Vec<LogRecord>) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for LogRecord { offset, record } in records {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            if self.format == Format::Json {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let line = json!({
                    "partition": partition, "offset": offset, "timestamp": record.timestamp_ms,
                    "key": record.key.as_deref().map(text),
                    "value": record.value.as_deref().map(text),
                });
                writeln!(out, "{line}")?;
                continue;
            }
            if self.keys {
                out.write_all(record.key.as_deref().unwrap_or_default())?;
                out.write_all(b"\t")?;
            }
            out.write_all(record.value.as_deref().unwrap_or_default())?;
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_cut_where_the_key_ends() {
        let keyed = record(b"a:b:c\n", Some(":")).unwrap();
        assert_eq!(
            (keyed.key.as_deref(), keyed.value.as_deref()),
            (Some(&b"a"[..]), Some(&b"b:c"[..]))
        );
        let plain = record(b"a:b", None).unwrap();
        assert_eq!((plain.key, plain.value.as_deref()), (None, Some(&b"a:b"[..])));
        assert!(record(b"none", Some(":")).is_err());
        assert_eq!(start("17").unwrap(), Start::At(17));
        assert!(start("soon").is_err() && setting("x").is_err());
    }
}
