//! PostgreSQL's own client before the whole program: tables that it fills and reads.

use crate::support::Served;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs psql on a script; it must be installed (Debian: postgresql-client).
fn psql(server: &Served, script: &str) -> Output {
    let port = server.postgres.rsplit_once(':').unwrap().1.to_string();
    let mut child = Command::new("timeout")
        .args(["120", "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"])
        .args(["-p", &port, "-U", "ann", "-d", "tradewind"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(server: &Served, script: &str) -> (String, String) {
    let output = psql(server, script);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}: {complaint}");
    (String::from_utf8(output.stdout).unwrap(), complaint)
}

#[test]
fn a_table_is_filled_read_and_seen_as_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&folder.path().join("data"), &[]);
    let file = folder.path().join("paid.csv");
    let rows: String =
        (1..=20_000).map(|id| format!("{id},\"say \"\"{id}\"\"\",{id}.25\n")).collect();
    std::fs::write(&file, format!("id,note,total\n{rows}")).unwrap();
    let script = format!(
        "CREATE TABLE paid (id BIGINT, note VARCHAR, total DECIMAL(18, 2));
         \\copy paid FROM '{}' CSV HEADER
         SELECT count(*), sum(total) FROM paid;
         SELECT note FROM paid WHERE id = 7;",
        file.display()
    );
    let (answer, _) = said(&server, &script);
    assert_eq!(answer, "CREATE TABLE\nCOPY 20000\n20000|200015000.00\nsay \"7\"\n");
    // A mistake in the last line leaves nothing behind.
    std::fs::write(&file, "1,a,2.50\nx,b,1\n").unwrap();
    let output = psql(&server, &format!("\\copy paid FROM '{}' CSV", file.display()));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("COPY, line 2, column id"), "{complaint}");
    let script = "
        BEGIN;
        SELECT count(*) FROM paid;
        INSERT INTO paid VALUES (20001, 'here', 1.00);
        SELECT count(*) FROM paid;
        ROLLBACK;
        SELECT count(*) FROM paid;
        PREPARE more (bigint, varchar, numeric) AS INSERT INTO paid VALUES ($1, $2, $3);
        EXECUTE more (20002, 'there', 2.00);
        SELECT count(*) FROM paid;";
    let (answer, complaint) = said(&server, script);
    let counts: Vec<&str> = answer.lines().filter(|line| line.parse::<u64>().is_ok()).collect();
    assert_eq!(counts, ["20000", "20001", "20001", "20002"], "{answer}");
    assert!(complaint.contains("NOTICE:  INSERT 0 1 has taken effect at once"), "{complaint}");
    server.stop();
}
