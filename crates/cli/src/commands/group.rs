//! `tradewind group`: the consumer groups of a server, looked at and moved.
//!
//! Guarantees: what is moved is so durably when the command ends; a name that is misspelt is
//! named. Left out: making groups, which clients do by reading.

use super::remote::Remote;
use super::sql::{Format, print, print_remote};
use crate::groups::Reset;
use serde_json::Value;
use std::process::ExitCode;
use tradewind_analyze::closest;

/// Arguments of `group`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    pub action: Action,
    /// The server, as http://host:port.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// How it is written; json is one object a line.
    #[arg(long, global = true, value_enum, default_value = "table")]
    pub format: Format,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Every group: its state, its members, how far it is behind.
    List,
    /// One group: for each partition how far it has read, and which member reads it.
    Describe {
        /// Its id.
        group: String,
    },
    /// Let a group without members go on elsewhere in a topic.
    Reset {
        /// Its id. A group that is not there is made.
        group: String,
        /// The topic.
        #[arg(long)]
        topic: String,
        /// One partition; may be repeated. Without it all.
        #[arg(long, value_name = "NUMBER")]
        partition: Vec<i32>,
        /// earliest, latest, an offset, or a time as in 2026-01-31T12:00:00Z.
        #[arg(long, value_name = "PLACE")]
        to: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// One line: what the server said.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let server = Remote::new(&arguments.url);
    let format = arguments.format;
    match &arguments.action {
        Action::List => show(
            &server,
            "SELECT group_id, state, max(members) AS members, count(\"partition\") AS partitions, \
             sum(lag) AS lag FROM sys.consumer_groups GROUP BY group_id, state ORDER BY group_id",
            format,
        )?,
        Action::Describe { group } => describe(&server, group, format)?,
        Action::Reset { group, topic, partition, to, dry_run } => {
            let reset = Reset {
                group: group.clone(),
                topic: topic.clone(),
                partitions: partition.clone(),
                to: to.clone(),
                dry_run: *dry_run,
            };
            if format == Format::Csv {
                anyhow::bail!(
                    "what was moved is written as a table or json: --format table or json"
                );
            }
            let moved = server.call("/api/groups/reset", &serde_json::to_value(&reset)?)?;
            print_remote(&moved, format)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(server: &Remote, sql: &str, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Csv => print(&server.ask_csv(sql)?),
        _ => print_remote(&server.ask(sql)?, format).map(drop),
    }
}

fn describe(server: &Remote, group: &str, format: Format) -> anyhow::Result<()> {
    let known = server.ask("SELECT DISTINCT group_id FROM sys.consumer_groups")?;
    let known: Vec<&str> = known.rows.iter().flatten().filter_map(Value::as_str).collect();
    if !known.contains(&group) {
        let hint = match closest(group, known) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "`tradewind group list` names them".to_string(),
        };
        anyhow::bail!("group \"{group}\" does not exist ({hint})");
    }
    let name = group.replace('\'', "''");
    let sql = format!(
        "SELECT topic, \"partition\", committed, log_end, lag, member_id, client_id, client_host, \
         committed_at, state, generation, protocol FROM sys.consumer_groups \
         WHERE group_id = '{name}' ORDER BY topic, \"partition\""
    );
    show(server, &sql, format)
}
