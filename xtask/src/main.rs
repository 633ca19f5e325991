//! What the repository checks and makes about itself: `cargo xtask tidy`, `cargo xtask docs`.
//!
//! Guarantees: `tidy` and `docs --check` change nothing and exit with 1 when something is wrong,
//! one line per finding with file and line.
//! Left out: building, formatting and testing, which cargo does (see the Makefile).

mod docs;
mod tidy;

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask tidy            check the house rules
       cargo xtask tidy --shrink   lower the entries of xtask/tidy.toml that have shrunk
       cargo xtask docs            write the generated pages under docs/
       cargo xtask docs --check    check that they are up to date";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    let root = root()?;
    match arguments {
        ["tidy"] => tidy::check(&root),
        ["tidy", "--shrink"] => tidy::shrink(&root),
        ["docs"] => docs::write(&root),
        ["docs", "--check"] => docs::check(&root),
        _ => bail!("{USAGE}"),
    }
}

/// The workspace's folder.
fn root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    let root = PathBuf::from(here).parent().context("xtask lies in the workspace")?.to_path_buf();
    Ok(root)
}
