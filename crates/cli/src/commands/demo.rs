//! `tradewind demo`: a server, a simulated shop's shoppers, and the live figures by SQL once a
//! second.
//!
//! Guarantees: every figure is a query anybody can run; the shop's own account of what it sent
//! stands beside it.
//! Left out: the dashboard, which is at the address it prints.

use super::serve::Configuration;
use crate::commands;
use crate::server::{Server, ServerOptions, StartError};
use crate::settings::Configured;
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tradewind_analyze::SettingRow;
use tradewind_analyze::{Answer, Platform};
use tradewind_collect::client::{ClientError, ClientSettings};
use tradewind_collect::demo::{DemoSettings, Shop, Traffic, TrafficTotals};
use tradewind_disk::OsDisk;
use tradewind_types::config::Config;
use tradewind_types::{Clock, SystemClock};

/// How often the figures are asked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the last events may take to be seen at the end.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Events a second.
    #[arg(long, default_value_t = 100)]
    pub rate: u64,
    /// Ends by itself after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Keeps the data in this folder; without it a temporary one is used and removed.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What the shop's chance follows from; by default the time.
    #[arg(long)]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub configuration: Configuration,
}

/// Runs the command.
///
/// # Errors
/// One line: why it could not run.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    commands::start_logging("warn");
    let Configured { config, rows } = arguments.configuration.resolve()?;
    let write_key =
        config.collect.write_keys.first().map(|key| key.key.clone()).unwrap_or_default();
    let folder = Folder::new(arguments.data_dir.as_deref())?;
    let runtime = commands::runtime()?;
    let stop = commands::stop_flag(&runtime)?;
    let server = runtime.block_on(start(&folder.path, config, rows))?;
    let now_us = SystemClock.now_us();
    let settings = DemoSettings {
        events_per_second: arguments.rate.max(1),
        ..DemoSettings::new(arguments.seed.unwrap_or(now_us as u64), now_us)
    };
    let address = server.http_addr().ok_or_else(|| anyhow::anyhow!("the server has no port"))?;
    let url = format!("http://{address}");
    let totals: Arc<Mutex<TrafficTotals>> = Arc::default();
    let shop = {
        let (stop, totals) = (Arc::clone(&stop), Arc::clone(&totals));
        let client = ClientSettings::new(&url, write_key);
        std::thread::spawn(move || send(settings, &client, &stop, &totals))
    };
    let watched = runtime.block_on(watch(arguments, &url, server.platform(), &totals, &stop));
    stop.store(true, Ordering::Relaxed);
    let sent = shop.join().map_err(|_| anyhow::anyhow!("the shop's thread panicked"))?;
    let settled = runtime.block_on(settle(server.platform(), &totals));
    runtime.block_on(server.shutdown())?;
    watched?;
    sent?;
    println!("{}", settled?);
    Ok(ExitCode::SUCCESS)
}

/// The demo's folder.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(named: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = named {
            return Ok(Self { path: path.to_path_buf(), temporary: false });
        }
        let name = format!("tradewind-demo-{}", uuid::Uuid::new_v4().simple());
        Ok(Self { path: std::env::temp_dir().join(name), temporary: true })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}

/// Starts the server; ports that are in use are no reason for a demo not to run.
async fn start(
    path: &Path,
    mut config: Config,
    mut rows: Vec<SettingRow>,
) -> Result<Server, StartError> {
    let options = |config: &Config, rows: &[SettingRow]| ServerOptions {
        data_dir: path.to_path_buf(),
        config: config.clone(),
        settings: rows.to_vec(),
        disk: Arc::new(OsDisk),
        clock: Arc::new(SystemClock),
    };
    match Server::start(options(&config, &rows)).await {
        Err(StartError::Port { address, .. }) => {
            eprintln!("{address} is in use: taking free ports");
            let http = ("server.http_listen", &mut config.server.http.listen);
            let kafka = ("server.kafka_listen", &mut config.server.kafka.listen);
            let flight = ("server.flight_listen", &mut config.server.flight.listen);
            for (name, listen) in [http, kafka, flight] {
                let host = listen.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
                *listen = format!("{host}:0");
                if let Some(row) = rows.iter_mut().find(|row| row.name == name) {
                    row.value.clone_from(listen);
                }
            }
            Server::start(options(&config, &rows)).await
        }
        outcome => outcome,
    }
}

fn send(
    settings: DemoSettings,
    client: &ClientSettings,
    stop: &AtomicBool,
    totals: &Mutex<TrafficTotals>,
) -> Result<(), ClientError> {
    let told = |now: &TrafficTotals| {
        *totals.lock().unwrap_or_else(PoisonError::into_inner) = now.clone();
    };
    let outcome = Traffic::new(Shop::new(settings), client)
        .and_then(|traffic| traffic.run(None, stop, &mut |now| told(now)));
    // Without shoppers there is nothing to watch.
    stop.store(true, Ordering::Relaxed);
    told(&outcome?);
    Ok(())
}

/// Shows the figures until told to stop.
async fn watch(
    arguments: &Arguments,
    url: &str,
    platform: &Platform,
    totals: &Mutex<TrafficTotals>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let started = Instant::now();
    let mut before = 0;
    if !terminal {
        println!("{url}");
    }
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.tick().await;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let totals = totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let figures = Figures::ask(platform).await?;
        let rate = figures.events.saturating_sub(before);
        before = figures.events;
        let mut out = std::io::stdout().lock();
        match terminal {
            true => write!(out, "\x1b[H\x1b[2J{}", figures.screen(url, rate, &totals))?,
            false => writeln!(out, "{}", figures.line(rate, &totals))?,
        }
        out.flush()?;
        let over = arguments.duration.is_some_and(|most| started.elapsed().as_secs() >= most);
        if over {
            break;
        }
    }
    Ok(())
}

/// Waits until all that was accepted can be seen, and says whether it adds up.
async fn settle(platform: &Platform, totals: &Mutex<TrafficTotals>) -> anyhow::Result<String> {
    let sent = totals.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let deadline = Instant::now() + SETTLE_MAX;
    loop {
        let figures = Figures::ask(platform).await?;
        if figures.events >= sent.facts.events || Instant::now() > deadline {
            return Ok(format!(
                "the shop sent {} events and {} orders; {} events and {} orders are there",
                sent.facts.events, sent.facts.orders, figures.events, figures.orders
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the queries said.
#[derive(Debug, Default)]
struct Figures {
    events: u64,
    orders: u64,
    dead_letters: u64,
    /// Milliseconds from the newest event's receipt to now.
    age_ms: Option<i64>,
    /// Currency, orders, gross, refunded, net.
    money: Vec<[String; 5]>,
}

const EVENTS: &str = "SELECT count(*), CAST(max(received_at) AS BIGINT) FROM events";
const DEAD_LETTERS: &str = "SELECT count(*) FROM dead_letters";
const MONEY: &str = "
    SELECT o.currency, o.orders, o.gross, coalesce(r.refunded, 0), o.gross - coalesce(r.refunded, 0)
    FROM (SELECT currency, count(*) AS orders, sum(total) AS gross FROM orders GROUP BY currency) AS o
    LEFT JOIN (SELECT currency, sum(total) AS refunded FROM refunds GROUP BY currency) AS r
      ON r.currency = o.currency
    ORDER BY o.currency";

impl Figures {
    async fn ask(platform: &Platform) -> anyhow::Result<Self> {
        let events = ask(platform, EVENTS).await?;
        let newest = first(&events, 1).parse::<i64>().ok();
        let money = ask(platform, MONEY).await?;
        let orders = money.iter().filter_map(|row| row[1].parse::<u64>().ok()).sum();
        Ok(Self {
            events: first(&events, 0).parse().unwrap_or_default(),
            orders,
            dead_letters: first(&ask(platform, DEAD_LETTERS).await?, 0).parse().unwrap_or_default(),
            age_ms: newest.map(|newest| (SystemClock.now_us() - newest) / 1_000),
            money: money
                .into_iter()
                .map(|row| std::array::from_fn(|at| row.get(at).cloned().unwrap_or_default()))
                .collect(),
        })
    }

    fn line(&self, rate: u64, totals: &TrafficTotals) -> String {
        let money =
            self.money.iter().map(|[currency, _, _, _, net]| format!("{currency} {}", amount(net)));
        format!(
            "events {} ({rate}/s)  orders {}  net {}  duplicates refused {}  dead letters {}  newest {} ms ago{}",
            self.events,
            self.orders,
            money.collect::<Vec<_>>().join(", "),
            totals.duplicates_seen,
            self.dead_letters,
            self.age_ms.unwrap_or_default(),
            trouble(totals),
        )
    }

    fn screen(&self, url: &str, rate: u64, totals: &TrafficTotals) -> String {
        let mut text = format!(
            "Tradewind demo shop                                   {url}\n\n\
             events              {:>14}   {rate}/s\n\
             orders              {:>14}\n\
             duplicates refused  {:>14}\n\
             dead letters        {:>14}\n\
             newest event        {:>11} ms ago\n\n",
            self.events,
            self.orders,
            totals.duplicates_seen,
            self.dead_letters,
            self.age_ms.unwrap_or_default(),
        );
        text.push_str("currency     orders            gross         refunded              net\n");
        for [currency, orders, gross, refunded, net] in &self.money {
            text.push_str(&format!(
                "{currency:<8} {orders:>10} {:>16} {:>16} {:>16}\n",
                amount(gross),
                amount(refunded),
                amount(net)
            ));
        }
        text.push_str(&format!(
            "\nask yourself:  tradewind sql --url {url}\nend with ctrl-c{}\n",
            trouble(totals)
        ));
        text
    }
}

fn trouble(totals: &TrafficTotals) -> String {
    totals.trouble.as_ref().map_or_else(String::new, |trouble| format!("  waiting: {trouble}"))
}

/// An amount with the digits that say something, at least two after the point.
fn amount(text: &str) -> String {
    let Some((whole, fraction)) = text.split_once('.') else { return text.to_string() };
    let kept = fraction.trim_end_matches('0');
    format!("{whole}.{kept:0<2}")
}

fn first(rows: &[Vec<String>], column: usize) -> &str {
    rows.first().and_then(|row| row.get(column)).map_or("", String::as_str)
}

async fn ask(platform: &Platform, sql: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let Answer::Rows(rows) = platform.session().execute(sql).await? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for batch in rows.collect().await? {
        texts(&batch, &mut all)?;
    }
    Ok(all)
}

fn texts(batch: &RecordBatch, to: &mut Vec<Vec<String>>) -> anyhow::Result<()> {
    let options = FormatOptions::new();
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        let cells = columns.iter().map(|column| column.value(row).try_to_string());
        to.push(cells.collect::<Result<_, _>>()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts_keep_what_matters() {
        assert_eq!(amount("12.500000"), "12.50");
        assert_eq!(amount("12.345000"), "12.345");
        assert_eq!(amount("-0.000000"), "-0.00");
        assert_eq!(amount("7"), "7");
    }
}
