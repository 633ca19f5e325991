//! SIGKILL at random moments under a running server, a client that sends again whatever was not
//! acknowledged, and the same judgement as after power cuts, by `POST /api/sql`.
//!
//! `TRADEWIND_KILL_SEED` repeats a run's decisions (its timing is the machine's), and
//! `TRADEWIND_KILLS` sets how many kills there are.
//!
//! Left out: power. A killed process leaves its pages with the kernel; `power_cut` takes them.

use crate::shop::{JOINED_VIEW, Ledger, QUESTIONS, Rows, VIEW_QUESTIONS};
use crate::support::tradewind;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tradewind_types::{Clock, SystemClock};

/// Kills of one test run.
const KILLS: u64 = 50;
/// How long a start, an answer, or the pipelines' catching up may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// More than one run can send; the real window and its real bound hold them all.
const EVENTS_MAX: usize = 100_000;

/// Small enough that segments roll, and epochs are staged and committed and files compacted,
/// between two kills.
const SETTINGS: [(&str, &str); 9] = [
    ("SERVER_POSTGRES_LISTEN", "127.0.0.1:0"),
    ("SERVER_HTTP_LISTEN", "127.0.0.1:0"),
    ("SERVER_KAFKA_LISTEN", "127.0.0.1:0"),
    ("LOG_SEGMENT_BYTES", "64 KiB"),
    ("LOG_BATCH_BYTES_MAX", "1 MiB"),
    ("LAKE_COMMIT_INTERVAL_MS", "150 ms"),
    ("LAKE_MAINTENANCE_INTERVAL_MS", "1 s"),
    ("LAKE_COMPACTION_FILES_MIN", "3"),
    ("LAKE_CHECKPOINT_COMMITS", "4"),
];

/// A server's process. Killed when it is dropped.
struct Server {
    process: Child,
    /// What it prints, line by line.
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Server {
    /// Starts one whose operators may keep so much in memory.
    fn spawn(data_dir: &Path, state_memory: &str) -> Self {
        let mut command = tradewind();
        command.arg("serve").arg("--data-dir").arg(data_dir).stdin(Stdio::null());
        command.env("TRADEWIND_PROCESS_STATE_MEMORY_BYTES", state_memory);
        for (key, value) in SETTINGS {
            command.env(format!("TRADEWIND_{key}"), value);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let (stdout, stderr) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let errors = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)));
        });
        std::thread::spawn(move || {
            BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(errors.send(line)));
        });
        Self { process, lines, said: Vec::new() }
    }

    /// Waits until it says where it serves and that it is ready.
    fn ready(&mut self) -> String {
        let end = Instant::now() + PATIENCE;
        let mut url = None;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the server does not come up: {:#?}", self.said);
            };
            if let Some(("http", address)) = line.split_once(' ') {
                url = Some(format!("http://{}", address.trim()));
            }
            let ready = line == "ready";
            self.said.push(line);
            if ready {
                return url.unwrap_or_else(|| panic!("no address in {:#?}", self.said));
            }
        }
    }

    /// Ends it as the kernel ends a process: with no chance to do anything.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the client and the one who kills share.
#[derive(Default)]
struct Meeting {
    /// Where the server is, while there is one.
    url: Mutex<Option<String>>,
    done: AtomicBool,
}

struct Client {
    agent: ureq::Agent,
    ledger: Ledger,
    rng: StdRng,
}

impl Client {
    fn new(seed: u64) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { agent: config.into(), ledger: Ledger::default(), rng: StdRng::seed_from_u64(seed) }
    }

    /// Sends until it is told to stop. What is not acknowledged is picked again some time.
    fn shop(mut self, meeting: &Meeting) -> Self {
        while !meeting.done.load(Ordering::SeqCst) {
            let url = meeting.url.lock().unwrap().clone();
            let Some(url) = url else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let now_us = SystemClock.now_us();
            let numbers = self.ledger.pick(&mut self.rng, now_us, EVENTS_MAX);
            self.send(&url, &numbers);
            std::thread::sleep(Duration::from_millis(self.rng.random_range(0..10)));
        }
        self
    }

    /// Sends one batch. 503 while a server starts and no answer at all are no news of it.
    fn send(&mut self, url: &str, numbers: &[usize]) -> bool {
        let body = self.ledger.body(numbers);
        // The write key `demo` and no password.
        let request = self
            .agent
            .post(format!("{url}/v1/batch"))
            .header("authorization", "Basic ZGVtbzo=")
            .header("content-type", "application/json");
        let status = request.send(body).map(|answer| answer.status().as_u16());
        match status {
            Ok(200) => self.ledger.acknowledge(numbers),
            Ok(503 | 429) | Err(_) => return false,
            Ok(other) => panic!("a request is answered {other}"),
        }
        true
    }

    /// Sends everything that still waits for an answer.
    fn settle(&mut self, url: &str) {
        for numbers in self.ledger.waiting().chunks(100) {
            assert!(self.send(url, numbers), "a request fails with nobody killing");
        }
    }

    fn ask(&self, url: &str, sql: &str) -> Rows {
        let request =
            self.agent.post(format!("{url}/api/sql")).header("content-type", "text/plain");
        let mut answer = request.send(sql).unwrap();
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rows = body["rows"].as_array().unwrap_or_else(|| panic!("{sql}: {text}"));
        let cell = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        rows.iter().map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()
    }

    /// Waits until every pipeline has read its topic to the end.
    fn drained(&self, url: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let pipelines = self.ask(url, "SELECT name, state, lag, reason FROM sys.pipelines");
            assert!(!pipelines.is_empty(), "there are no pipelines");
            if pipelines.iter().all(|row| row[2] == "0" && row[1] == "running") {
                return;
            }
            assert!(Instant::now() < end, "the pipelines do not catch up: {pipelines:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn judge(&self, url: &str) -> Result<(), String> {
        let logged = self.ask(url, "SELECT value FROM topic('events')");
        let ids = logged.iter().map(|row| {
            let event: serde_json::Value = serde_json::from_str(&row[0]).unwrap();
            event["message_id"].as_str().unwrap().to_owned()
        });
        let ids: Vec<String> = ids.collect();
        let present = self.ledger.check_ids("the log", &ids)?;
        let answers: Vec<Rows> = QUESTIONS.iter().map(|sql| self.ask(url, sql)).collect();
        self.ledger.check(&present, &answers)?;
        let answers: Vec<Rows> = VIEW_QUESTIONS.iter().map(|sql| self.ask(url, sql)).collect();
        self.ledger.check_views(&present, &answers)?;
        let letters = "SELECT COUNT(*), COUNT(DISTINCT _offset) FROM dead_letters";
        let letters = self.ask(url, letters);
        let logged = self.ask(url, "SELECT COUNT(*) FROM topic('dead_letters')");
        if letters[0][0] != logged[0][0] || letters[0][1] != logged[0][0] {
            return Err(format!("dead letters {letters:?}, in the topic {logged:?}"));
        }
        if logged[0][0].parse::<usize>().unwrap() < self.ledger.letters_min() {
            return Err(format!("{logged:?} dead letters for {}", self.ledger.letters_min()));
        }
        Ok(())
    }
}

/// Starts and kills servers. Some die while they start, most in the midst of their work.
fn kill_many(rng: &mut StdRng, kills: u64, data_dir: &Path, meeting: &Meeting) {
    for kill in 0..kills {
        // Every other one has next to nothing: state goes from memory to disk and back.
        let mut server = Server::spawn(data_dir, if kill % 2 == 0 { "4 KiB" } else { "1 GiB" });
        if rng.random_bool(0.25) {
            std::thread::sleep(Duration::from_millis(rng.random_range(0..600)));
        } else {
            let url = server.ready();
            make_view(&url);
            *meeting.url.lock().unwrap() = Some(url);
            std::thread::sleep(Duration::from_millis(rng.random_range(0..2_000)));
        }
        *meeting.url.lock().unwrap() = None;
        server.kill();
    }
}

/// Makes the view with a join, if it is not there; the server may die over it.
fn make_view(url: &str) {
    let body = serde_json::json!({ "sql": JOINED_VIEW, "dialect": "flink" });
    let made = crate::support::agent().post(format!("{url}/api/sql")).send_json(&body);
    if let Ok(mut answer) = made {
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        assert!(answer.status().is_success(), "{text}");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Where the data folder is; kept for a look when the test fails.
fn data_dir() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    (folder, data_dir)
}

#[test]
fn every_acknowledged_event_is_there_once_whenever_the_server_is_killed() {
    let seed = number("TRADEWIND_KILL_SEED").unwrap_or_else(rand::random);
    eprintln!("TRADEWIND_KILL_SEED={seed}");
    let (mut folder, data_dir) = data_dir();
    let meeting = Arc::new(Meeting::default());
    let client = std::thread::spawn({
        let meeting = meeting.clone();
        move || Client::new(seed).shop(&meeting)
    });
    let mut rng = StdRng::seed_from_u64(seed);
    kill_many(&mut rng, number("TRADEWIND_KILLS").unwrap_or(KILLS), &data_dir, &meeting);
    meeting.done.store(true, Ordering::SeqCst);
    let mut client = client.join().unwrap();
    let acknowledged = client.ledger.acknowledged();
    folder.disable_cleanup(true);
    let mut server = Server::spawn(&data_dir, "4 KiB");
    let url = server.ready();
    make_view(&url);
    client.drained(&url);
    let verdict = client.judge(&url).map_err(|error| format!("after the last kill: {error}"));
    let verdict = verdict.and_then(|()| {
        client.settle(&url);
        client.drained(&url);
        client.judge(&url).map_err(|error| format!("after the client's retries: {error}"))
    });
    if let Err(error) = verdict {
        panic!("TRADEWIND_KILL_SEED={seed}, folder {}: {error}", data_dir.display());
    }
    eprintln!("{acknowledged} events were acknowledged, all of them are there once");
    folder.disable_cleanup(false);
}
