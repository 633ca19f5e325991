//! The programs in `examples/`, run as their pages say.

use crate::support::tradewind;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn check(name: &str) {
    let folder = folder(name);
    let output = tradewind()
        .args(["sql", "-f", "query.sql", "--format", "csv"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {stderr}");
    let expected = std::fs::read_to_string(folder.join("expected.csv")).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{name}");
}

#[test]
fn the_spark_job_over_a_folder_of_orders() {
    check("spark_total_sales");
}

#[test]
fn the_mapreduce_job_over_lines() {
    check("mapreduce_lines");
}
