//! A year of a real shop through the whole program, counted by three other readers.

use std::path::{Path, PathBuf};
use std::process::Command;

/// `TRADEWIND_PYTHON`, or the one the project's script makes.
fn python(root: &Path) -> PathBuf {
    if let Some(python) = std::env::var_os("TRADEWIND_PYTHON") {
        return python.into();
    }
    let output = Command::new(root.join("scripts/python.sh")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// Where the data is not on the machine, the script says that it skips, and why.
#[test]
fn real_orders_come_out_as_duckdb_counts_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(python(&root))
        .arg(root.join("tests/acceptance/online_retail.py"))
        .args(["--binary", env!("CARGO_BIN_EXE_tradewind")])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{stderr}");
    assert!(said.contains("PASSED") || said.contains("SKIPPED"), "{said}\n{stderr}");
}
