//! `tradewind pipeline`: the pipelines of a server, looked at and changed.
//!
//! Guarantees: everything here can be said in SQL too, and is; what is paused or dropped is so
//! durably when the command ends; a name that is misspelt is named.
//! Left out: making pipelines, which is `INSERT INTO` and `CREATE MATERIALIZED VIEW`.

use super::remote::{Remote, RemoteAnswer};
use super::sql::{Format, plain_cell, print, print_remote, remote_table};
use serde_json::Value;
use std::process::ExitCode;
use tradewind_analyze::closest;

/// Arguments of `pipeline`.
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
    /// Every pipeline: what it is, its state, how far it is behind.
    List,
    /// One pipeline: figures, statement, sources, operators, plan, last error.
    Show {
        /// Its name; of a materialized view the view's.
        name: String,
    },
    /// Checkpoint one and let it stand still, over restarts too. A view answers as it was then.
    Pause {
        /// Its name; of a materialized view the view's.
        name: String,
    },
    /// Let one that is paused or has failed go on from where it stood.
    Resume {
        /// Its name; of a materialized view the view's.
        name: String,
    },
    /// Stop and forget one. A table keeps the rows it wrote; a view goes with its rows.
    Drop {
        /// Its name; of a materialized view the view's.
        name: String,
        /// Nothing is wrong when it is not there.
        #[arg(long)]
        if_exists: bool,
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
        Action::List => list(&server, "SHOW PIPELINES", format)?,
        Action::Show { name } => show(&server, name, format)?,
        Action::Pause { name } => alter(&server, name, "PAUSE", format)?,
        Action::Resume { name } => alter(&server, name, "RESUME", format)?,
        Action::Drop { name, if_exists } => drop_one(&server, name, *if_exists)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(server: &Remote, sql: &str, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Csv => print(&server.ask_csv(sql)?),
        _ => print_remote(&server.ask(sql)?, format).map(drop),
    }
}

fn alter(server: &Remote, name: &str, what: &str, format: Format) -> anyhow::Result<()> {
    server.ask(&format!("ALTER PIPELINE {} {what}", identifier(name)))?;
    let name = literal(name);
    let now = format!("SELECT name, state, reason, epoch FROM sys.pipelines WHERE name = {name}");
    list(server, &now, format)
}

fn drop_one(server: &Remote, name: &str, if_exists: bool) -> anyhow::Result<()> {
    let kind = format!("SELECT kind FROM sys.pipelines WHERE name = {}", literal(name));
    let kind = server.ask(&kind)?.rows.into_iter().flatten().next();
    if kind.is_none() && !if_exists {
        return Err(missing(server, name)?);
    }
    let what = match kind.as_ref().and_then(Value::as_str) {
        Some("materialized view") => "MATERIALIZED VIEW",
        _ => "PIPELINE",
    };
    let if_exists = if if_exists { "IF EXISTS " } else { "" };
    server.ask(&format!("DROP {what} {if_exists}{}", identifier(name)))?;
    Ok(())
}

fn show(server: &Remote, name: &str, format: Format) -> anyhow::Result<()> {
    if format == Format::Csv {
        anyhow::bail!("one pipeline is no table: --format table or json");
    }
    let name_is = |column: &str| format!("{column} = {}", literal(name));
    let pipeline = server.ask(&format!("SELECT * FROM sys.pipelines WHERE {}", name_is("name")))?;
    if pipeline.rows.is_empty() {
        return Err(missing(server, name)?);
    }
    let sources = server.ask(&format!(
        "SELECT topic, \"partition\", \"position\", committed, log_end, lag, lag_seconds \
         FROM sys.pipeline_sources WHERE {}",
        name_is("pipeline")
    ))?;
    let operators = server
        .ask(&format!("SELECT * FROM sys.operators WHERE {}", name_is("pipeline")))
        .map(|answer| without(answer, "pipeline"))?;
    let text = match format {
        Format::Json => {
            let pipeline = objects(&pipeline).remove(0);
            let (sources, operators) = (objects(&sources), objects(&operators));
            let all = serde_json::json!({
                "pipeline": pipeline, "sources": sources, "operators": operators,
            });
            format!("{all}\n")
        }
        _ => page(&pipeline, &sources, &operators),
    };
    print(&text)
}

/// Everything about a pipeline for a person.
fn page(pipeline: &RemoteAnswer, sources: &RemoteAnswer, operators: &RemoteAnswer) -> String {
    const ELSEWHERE: [&str; 3] = ["sql", "positions", "committed"];
    let names = pipeline.columns.iter().map(|column| column.name.as_str());
    let facts: Vec<(&str, String)> = names
        .zip(&pipeline.rows[0])
        .filter(|(name, value)| !value.is_null() && !ELSEWHERE.contains(name))
        .map(|(name, value)| (name, plain_cell(value)))
        .collect();
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in facts {
        text.push_str(&format!("{name:width$}  {value}\n"));
    }
    let statement = objects(pipeline).remove(0)["sql"].as_str().unwrap_or_default().to_string();
    text.push_str(&format!("\nstatement\n{statement}\n"));
    text.push_str(&format!("\nsources\n{}", remote_table(sources)));
    text.push_str("\nplan\n");
    for operator in objects(operators) {
        let part = |name: &str| operator[name].as_str().unwrap_or_default().to_string();
        let from = match part("inputs") {
            inputs if inputs.is_empty() => String::new(),
            inputs => format!(" <- {inputs}"),
        };
        text.push_str(&format!("{}{from}: {}\n", part("operator"), part("description")));
    }
    let figures = ["kind", "inputs", "description"].into_iter().fold(operators.clone(), without);
    text.push_str(&format!("\noperators\n{}", remote_table(&figures)));
    text
}

/// An answer's rows as objects.
fn objects(answer: &RemoteAnswer) -> Vec<Value> {
    let object = |row: &Vec<Value>| {
        let names = answer.columns.iter().map(|column| column.name.clone());
        Value::Object(names.zip(row.iter().cloned()).collect())
    };
    answer.rows.iter().map(object).collect()
}

fn without(mut answer: RemoteAnswer, name: &str) -> RemoteAnswer {
    if let Some(at) = answer.columns.iter().position(|column| column.name == name) {
        answer.columns.remove(at);
        answer.rows.iter_mut().for_each(|row| drop(row.remove(at)));
    }
    answer
}

/// That there is no such pipeline, and which was probably meant.
fn missing(server: &Remote, name: &str) -> anyhow::Result<anyhow::Error> {
    let known = server.ask("SELECT name FROM sys.pipelines")?;
    let known: Vec<&str> = known.rows.iter().flatten().filter_map(Value::as_str).collect();
    let hint = match closest(name, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "`tradewind pipeline list` names them".to_string(),
    };
    Ok(anyhow::anyhow!("pipeline \"{name}\" does not exist ({hint})"))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
