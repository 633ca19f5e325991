//! The examples of `docs/`, run in the order in which a reader meets them.
//!
//! A fenced block is an example that runs: `sh` in a shell, `sql` as statements for the page's
//! server (`sql flink` in that dialect). A block `answer` after one is what it answers, from its
//! first line to its last; what takes its time is asked for again until it says so. Indented blocks
//! and those of other languages are not run. Every page has a server of its own, at the addresses
//! that the pages name.

use crate::support::{PATIENCE, Served};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What the pages call a server of this machine.
const HTTP: &str = "127.0.0.1:8080";
const KAFKA: &str = "127.0.0.1:9092";

#[derive(Debug, PartialEq)]
struct Block {
    line: usize,
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let (language, text) = (language.trim().to_string(), String::new());
                open = Some(Block { line: index + 1, language, text });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed: {open:?}");
    blocks
}

struct Page {
    name: String,
    server: Served,
    folder: tempfile::TempDir,
}

impl Page {
    fn run(&self, block: &Block) -> Output {
        let text = block.text.replace(HTTP, &self.server.http).replace(KAFKA, &self.server.kafka);
        let mut command = Command::new("bash");
        match block.language.as_str() {
            "sh" => command.args(["-euo", "pipefail", "-c", &text]),
            language => {
                let dialect = if language == "sql flink" { "flink" } else { "postgres" };
                let ask = "tradewind sql --url \"$1\" --dialect \"$2\" --format csv -c \"$3\"";
                command.args(["-c", ask, "sql", &self.server.url(), dialect, &text])
            }
        };
        let program = Path::new(env!("CARGO_BIN_EXE_tradewind")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        command.env("PATH", path).env("TRADEWIND_SOURCE", root).env_remove("TRADEWIND_LOG");
        command.current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap()
    }

    fn example(&self, block: &Block, expected: Option<&str>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let output = self.run(block);
            let said = String::from_utf8_lossy(&output.stdout);
            let right = expected.is_none_or(|expected| said.trim() == expected.trim());
            if output.status.success() && right {
                return;
            }
            // A statement that changes something is not tried again.
            let asked_again = expected.is_some() && Instant::now() < until;
            assert!(
                asked_again,
                "docs/{}:{}: {}\n{said}\n{}\nexpected {expected:?}",
                self.name,
                block.line,
                block.text,
                String::from_utf8_lossy(&output.stderr)
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn check(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let text = std::fs::read_to_string(root.join(name)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&folder.path().join("data"), &[]);
    let page = Page { name: name.to_string(), server, folder };
    let blocks = blocks(&text);
    let mut run = 0;
    for (index, block) in blocks.iter().enumerate() {
        if matches!(block.language.as_str(), "sh" | "sql" | "sql flink") {
            let answer = blocks.get(index + 1).filter(|next| next.language == "answer");
            page.example(block, answer.map(|answer| answer.text.as_str()));
            run += 1;
        }
    }
    assert!(run > 0, "docs/{name} has no example");
    page.server.stop();
}

#[test]
fn quick_start() {
    check("quick-start.md");
}

#[test]
fn concepts() {
    check("concepts.md");
}

#[test]
fn sources() {
    check("sources.md");
}

#[test]
fn operations() {
    check("operations.md");
}

#[test]
fn tracking() {
    check("tracking.md");
}

#[test]
fn sql() {
    check("sql.md");
}

#[test]
fn a_page_is_taken_apart_into_its_blocks() {
    let page = "text\n\n```sql flink\nSELECT 1;\n```\n\n```answer\n1\n```\n    indented\n";
    let block = |line, language: &str, text: &str| Block {
        line,
        language: language.into(),
        text: text.into(),
    };
    assert_eq!(blocks(page), [block(3, "sql flink", "SELECT 1;\n"), block(7, "answer", "1\n")]);
}
