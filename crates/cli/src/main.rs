//! The program `tradewind`: arguments to commands, errors to one line on stderr and exit code 1.
//!
//! Guarantees: what a command prints for machines goes to stdout, everything else to stderr.
//! Left out: the work, which is the library's.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tradewind_cli::commands::{demo, doctor, group, pipeline, replay, run, serve, sql, topic};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The data platform of an online store in one binary.
#[derive(Debug, Parser)]
#[command(name = "tradewind", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server on a data folder.
    Serve(serve::Arguments),
    /// Ask in SQL: a statement, a script or a prompt; of a server, a data folder or files.
    Sql(sql::Arguments),
    /// The pipelines of a server: list, look at, pause, resume or drop them.
    Pipeline(pipeline::Arguments),
    /// The consumer groups of a server: list them, look at one, move one.
    Group(group::Arguments),
    /// The topics of a server: make, look at, change, write, read or remove them.
    Topic(topic::Arguments),
    /// Run a streaming script to the end of its sources, or until it is stopped.
    Run(run::Arguments),
    /// Send a file's rows to a server as live traffic.
    Replay(replay::Arguments),
    /// A simulated shop against a server of its own, with live figures.
    Demo(demo::Arguments),
    /// Say what is wrong with a data folder. Changes nothing.
    Doctor(doctor::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Sql(arguments) => sql::run(&arguments),
        Command::Pipeline(arguments) => pipeline::run(&arguments),
        Command::Group(arguments) => group::run(&arguments),
        Command::Topic(arguments) => topic::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
