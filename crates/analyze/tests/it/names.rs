//! Names, numbers and refusals.

use crate::support::{ask, columns, error, files_only, write};

#[tokio::test(flavor = "multi_thread")]
async fn identifiers_fold_then_match_without_regard_to_case() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        folder.path(),
        "t.json",
        "{\"InvoiceNo\":7,\"total\":1,\"Total\":2,\"Id\":3,\"ID\":4}\n",
    );
    let mut session = files_only();
    for (expression, expected) in [
        ("invoiceno", "7"),
        ("INVOICENO", "7"),
        ("\"InvoiceNo\"", "7"),
        ("t.InvoiceNo + 1", "8"),
        // An exact match of the folded name is no ambiguity.
        ("TOTAL", "1"),
        ("\"Total\"", "2"),
    ] {
        let sql = format!("SELECT {expression} FROM '{path}' AS T ORDER BY 1");
        assert_eq!(ask(&mut session, &sql).await.unwrap(), expected, "{expression}");
    }
    let message = error(&mut session, &format!("SELECT id FROM '{path}'")).await;
    assert!(message.contains("ambiguous"), "{message}");
    let message = error(&mut session, &format!("SELECT invoice_no FROM '{path}'")).await;
    assert!(message.contains("column \"invoice_no\" does not exist"), "{message}");
    assert!(message.contains("did you mean \"InvoiceNo\"?"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_and_common_tables_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        folder.path(),
        "t.json",
        "{\"Country\":\"DE\",\"v\":1}\n{\"Country\":\"FR\",\"v\":2}\n",
    );
    let sql = format!(
        "WITH Sums AS (SELECT country AS Land, sum(v) AS Total FROM '{path}' GROUP BY Country) \
         SELECT land, TOTAL FROM sums ORDER BY total DESC"
    );
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), "FR|2\nDE|1");
    let sql = format!("SELECT Country AS Land FROM '{path}'");
    assert_eq!(columns(&mut files_only(), &sql).await, ["land"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_integers_do_not_wrap_and_decimals_are_exact() {
    let mut session = files_only();
    let sql = "SELECT sum(x) FROM (VALUES (9223372036854775807), (9223372036854775807)) AS t(x)";
    assert_eq!(ask(&mut session, sql).await.unwrap(), "18446744073709551614");
    let sql = "SELECT sum(x) OVER (ORDER BY x) FROM (VALUES (9223372036854775807), (1)) AS t(x)";
    assert_eq!(ask(&mut session, sql).await.unwrap(), "1\n9223372036854775808");
    assert_eq!(ask(&mut session, "SELECT 0.1 + 0.2 = 0.3").await.unwrap(), "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_one_line_with_a_hint() {
    let mut session = files_only();
    for (sql, expected) in [
        ("SELECT 1 +", "column"),
        ("SELECT summ(1)", "function summ() does not exist"),
        ("SELECT * FROM orders", "table \"orders\" does not exist"),
        ("SELECT * FROM sys.tabels", "did you mean \"tables\"?"),
        ("SELECT 1/0", "division by zero"),
        ("SELECT * FROM topic('events')", "--data-dir"),
        ("CREATE VIEW v AS SELECT 1", "--data-dir"),
        ("SET 'dialct' = 'flink'", "did you mean \"dialect\"?"),
        ("", "there is no statement"),
        ("SELECT * FROM (VALUES (1)) AS t TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
    ] {
        let message = error(&mut session, sql).await;
        assert!(message.contains(expected), "{sql}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_answers_with_its_last_statement() {
    let mut session = files_only();
    let answer = ask(&mut session, "SELECT 1; SET timezone = 'Europe/Berlin'; SELECT 2").await;
    assert_eq!(answer.unwrap(), "2");
    let stopped = error(&mut session, "SELECT nope; SELECT 2").await;
    assert!(stopped.contains("nope"), "{stopped}");
}
