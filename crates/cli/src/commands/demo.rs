//! `tradewind demo`: a server, the sample shop, simulated shoppers with their history, and the live
//! figures by SQL once a second.
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
use tradewind_collect::demo::{DemoSettings, History, Shop, Traffic, TrafficTotals};
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
    /// Events a second on average over a year: half as many again by day in Europe and America.
    #[arg(long, default_value_t = 15)]
    pub rate: u64,
    /// Days of orders and refunds from before the demo, to compare with.
    #[arg(long, value_name = "DAYS", default_value_t = 15)]
    pub history_days: u32,
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
    let Configured { mut config, mut rows } = arguments.configuration.resolve()?;
    config.demo.shop = true;
    if let Some(row) = rows.iter_mut().find(|row| row.name == "demo.shop") {
        "true".clone_into(&mut row.value);
    }
    let write_key =
        config.collect.write_keys.first().map(|key| key.key.clone()).unwrap_or_default();
    let folder = Folder::new(arguments.data_dir.as_deref())?;
    let runtime = commands::runtime()?;
    let stop = commands::stop_flag(&runtime)?;
    let server = runtime.block_on(start(&folder.path, config, rows))?;
    let now_us = SystemClock.now_us();
    let settings = DemoSettings {
        events_per_second: arguments.rate.max(1),
        history_days: arguments.history_days,
        ..DemoSettings::new(arguments.seed.unwrap_or(now_us as u64), now_us)
    };
    let address = server.http_addr().ok_or_else(|| anyhow::anyhow!("the server has no port"))?;
    let url = format!("http://{address}");
    let client = ClientSettings::new(&url, write_key);
    let watched = Watched { url, settings: settings.clone(), ..Watched::default() };
    let past = {
        let (stop, totals) = (Arc::clone(&stop), Arc::clone(&watched.past));
        // One connection: a history has no hurry that the shop's own events would not feel.
        let client = ClientSettings { connections: 1, ..client.clone() };
        let settings = settings.clone();
        std::thread::spawn(move || send(Source::Past, settings, &client, &stop, &totals))
    };
    let shop = {
        let (stop, totals) = (Arc::clone(&stop), Arc::clone(&watched.now));
        std::thread::spawn(move || send(Source::Now, settings, &client, &stop, &totals))
    };
    let shown = runtime.block_on(watch(arguments, server.platform(), &watched, &stop));
    stop.store(true, Ordering::Relaxed);
    let panicked = |_| anyhow::anyhow!("the shop's thread panicked");
    let (past, sent) = (past.join().map_err(panicked)?, shop.join().map_err(panicked)?);
    let settled = runtime.block_on(settle(server.platform(), &watched));
    runtime.block_on(server.shutdown())?;
    shown?;
    past?;
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
            let postgres = ("server.postgres_listen", &mut config.server.postgres.listen);
            let flight = ("server.flight_listen", &mut config.server.flight.listen);
            for (name, listen) in [http, kafka, postgres, flight] {
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

/// Which of the shop's requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Those of the days before.
    Past,
    /// Those of the shoppers who are there now.
    Now,
}

/// What is watched: where it is, and what was sent.
#[derive(Default)]
struct Watched {
    url: String,
    settings: DemoSettings,
    past: Arc<Mutex<TrafficTotals>>,
    now: Arc<Mutex<TrafficTotals>>,
}

impl Watched {
    /// What has come of both.
    fn totals(&self) -> TrafficTotals {
        let of = |totals: &Mutex<TrafficTotals>| {
            totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        let (past, mut all) = (of(&self.past), of(&self.now));
        all.facts.add(&past.facts);
        all.duplicates_seen += past.duplicates_seen;
        all.trouble = all.trouble.or(past.trouble);
        all
    }

    /// How much of the history is there, in hundredths; `None` when all of it is.
    fn history_per_cent(&self) -> Option<i64> {
        let reached = self.past.lock().unwrap_or_else(PoisonError::into_inner).reached_us;
        let (start, days) = (self.settings.start_us, i64::from(self.settings.history_days));
        let left = start.saturating_sub(reached);
        // The last request ends with the last order before the start, not at it.
        if days == 0 || left < HISTORY_END_US {
            return None;
        }
        Some((100 - left / (days * DAY_US / 100)).clamp(0, 99))
    }
}

const DAY_US: i64 = 86_400_000_000;
/// What may be between the history's last order and the start.
const HISTORY_END_US: i64 = 120_000_000;

fn send(
    source: Source,
    settings: DemoSettings,
    client: &ClientSettings,
    stop: &AtomicBool,
    totals: &Mutex<TrafficTotals>,
) -> Result<(), ClientError> {
    let told = |now: &TrafficTotals| {
        *totals.lock().unwrap_or_else(PoisonError::into_inner) = now.clone();
    };
    let start_us = settings.start_us;
    let traffic = match source {
        Source::Past => Traffic::before(History::new(settings), start_us, client),
        Source::Now => Traffic::new(Shop::new(settings), client),
    };
    let outcome = traffic.and_then(|traffic| traffic.run(None, stop, &mut |now| told(now)));
    // Without shoppers there is nothing to watch.
    if source == Source::Now || outcome.is_err() {
        stop.store(true, Ordering::Relaxed);
    }
    let mut last = outcome?;
    if source == Source::Past && !stop.load(Ordering::Relaxed) {
        last.reached_us = start_us;
    }
    told(&last);
    Ok(())
}

/// Shows the figures until told to stop.
async fn watch(
    arguments: &Arguments,
    platform: &Platform,
    watched: &Watched,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let url = watched.url.as_str();
    let terminal = std::io::stdout().is_terminal();
    let started = Instant::now();
    let mut before = 0;
    if !terminal {
        println!("{url}\n{url}/shop");
    }
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.tick().await;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let (totals, history) = (watched.totals(), watched.history_per_cent());
        let figures = Figures::ask(platform).await?;
        let rate = figures.events.saturating_sub(before);
        before = figures.events;
        let mut out = std::io::stdout().lock();
        match terminal {
            true => write!(out, "\x1b[H\x1b[2J{}", figures.screen(url, rate, &totals, history))?,
            false => writeln!(out, "{}", figures.line(rate, &totals, history))?,
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
async fn settle(platform: &Platform, watched: &Watched) -> anyhow::Result<String> {
    let sent = watched.totals();
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

    fn line(&self, rate: u64, totals: &TrafficTotals, history: Option<i64>) -> String {
        let money =
            self.money.iter().map(|[currency, _, _, _, net]| format!("{currency} {}", amount(net)));
        format!(
            "events {} ({rate}/s)  orders {}  net {}  duplicates refused {}  dead letters {}  newest {} ms ago{}{}",
            self.events,
            self.orders,
            money.collect::<Vec<_>>().join(", "),
            totals.duplicates_seen,
            self.dead_letters,
            self.age_ms.unwrap_or_default(),
            history.map_or_else(String::new, |done| format!("  history {done} %")),
            trouble(totals),
        )
    }

    fn screen(&self, url: &str, rate: u64, totals: &TrafficTotals, history: Option<i64>) -> String {
        let history = history.map_or_else(|| "complete".to_owned(), bar);
        let mut text = format!(
            "Tradewind demo\n\n\
             dashboard           {url}\n\
             shop                {url}/shop\n\
             history             {history}\n\n\
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

/// Hundredths as a bar.
fn bar(done: i64) -> String {
    let full = usize::try_from(done / 5).unwrap_or_default();
    format!("[{}{}] {done} %", "#".repeat(full), ".".repeat(20_usize.saturating_sub(full)))
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
