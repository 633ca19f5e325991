//! Other programs read the folder as it lies there: the Python packages `deltalake` and `duckdb`.

use crate::support::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tradewind_disk::OsDisk;
use tradewind_lake::LakeSettings;

/// The Python of the tests' own environment, which `scripts/python.sh` makes when it is not there.
/// Without one the test fails, unless `TRADEWIND_TESTS_SKIP_CLIENTS=1` says that this is known.
fn python() -> Option<PathBuf> {
    let made = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python.sh");
        let output = Command::new(script).output().ok().filter(|o| o.status.success())?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end()))
    };
    let python = std::env::var_os("TRADEWIND_PYTHON").map(PathBuf::from).or_else(made);
    let usable = python.filter(|python| {
        let imports = ["-c", "import deltalake, duckdb, pyarrow"];
        Command::new(python).args(imports).output().is_ok_and(|o| o.status.success())
    });
    if usable.is_none() {
        let skip = std::env::var("TRADEWIND_TESTS_SKIP_CLIENTS").is_ok_and(|value| value == "1");
        let missing =
            "no Python with deltalake, duckdb and pyarrow: see what scripts/python.sh says";
        assert!(skip, "{missing}; or set TRADEWIND_TESTS_SKIP_CLIENTS=1 to go without this test");
        eprintln!("SKIPPED: {missing}");
    }
    usable
}

const SCRIPT: &str = r#"
import datetime, sys, deltalake, duckdb
from decimal import Decimal
path = sys.argv[1]
table = deltalake.DeltaTable(path)
rows = table.to_pyarrow_table()
n = sorted(rows.column("n").to_pylist())
assert n == list(range(3300)), (len(n), n[:3])
assert str(rows.column("event_time").type) == "timestamp[us, tz=UTC]", rows.schema
assert sum(rows.column("amount").to_pylist()) == sum(Decimal(i) + Decimal("0.000001") for i in n)
assert rows.column_names[-2:] == ["_partition", "_offset"], rows.column_names
pruned = table.to_pyarrow_table(filters=[("event_date", "=", datetime.date(2024, 3, 2)), ("store_id", "=", "store 1")])
assert sorted(pruned.column("n").to_pylist()) == list(range(1001, 2000, 2)), pruned.num_rows
assert table.transaction_version("p/1") == 11, table.transaction_version("p/1")
delta = table.to_pyarrow_dataset()
con = duckdb.connect()
got = con.sql("SELECT count(*), sum(n), sum(amount)::VARCHAR, count(DISTINCT store_id), max(_offset) FROM delta").fetchall()[0]
assert got == (3300, sum(n), "5443350.003300", 2, 3299), got
files = table.file_uris()
raw = con.sql("SELECT count(*), min(n), max(n) FROM read_parquet(" + repr([f.replace("file://", "") for f in files]) + ")").fetchall()[0]
assert raw == (3300, 0, 3299), raw
print("read by deltalake", deltalake.__version__, "and duckdb", duckdb.__version__, "files", len(files))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn python_deltalake_and_duckdb_read_the_table() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let settings =
        LakeSettings { compact_files_min: 3, checkpoint_commits: 4, ..LakeSettings::default() };
    let lake = open_on(Arc::new(OsDisk), dir.path(), settings, clock()).await;
    let table = lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    for epoch in 0..11 {
        own.write(vec![order_rows(epoch * 300, epoch * 300 + 300)]).await.unwrap();
        let staged = own.stage(epoch as u64 + 1).await.unwrap();
        own.commit(&staged).await.unwrap();
        if epoch == 6 {
            let done = table.maintain_once().await.unwrap();
            assert!(done.compacted_from > 0 && done.checkpoint, "{done:?}");
        }
    }
    let output =
        Command::new(python).args(["-c", SCRIPT]).arg(dir.path().join("orders")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}
