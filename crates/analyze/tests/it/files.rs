//! `FROM 'path'`.

use crate::support::{ask, columns, error, files_only, gzip, with_threads, write};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_json_orders_adds_up_to_the_cent() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "orders/1.json", "{\"id\":1,\"amount\":0.1}\n{\"id\":2,\"amount\":0.2}\n");
    write(
        folder.path(),
        "orders/2.json",
        "[{\"id\":3,\"amount\":10},\n {\"id\":4, \"amount\": 5.25}]",
    );
    write(folder.path(), "orders/3.json", "{\n  \"id\": 5,\n  \"amount\": -0.3\n}\n");
    write(folder.path(), "orders/_SUCCESS", "");
    let mut session = files_only();
    for path in ["orders/*.json", "orders", "orders/"] {
        let sql = format!(
            "SELECT sum(amount) AS total_sales, count(*) FROM '{}/{path}'",
            folder.path().display()
        );
        assert_eq!(ask(&mut session, &sql).await.unwrap(), "15.25|5", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_large_file_is_read_in_parts_that_lose_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let mut cents = 0i64;
    for row in 0..200_000i64 {
        let amount = row * 7 % 10_007;
        cents += amount;
        let note = "x".repeat((row % 60) as usize);
        text.push_str(&format!(
            "{{\"note\":\"{note}\",\"amount\":{}.{:02}}}\n",
            amount / 100,
            amount % 100
        ));
    }
    let path = write(folder.path(), "big.json", &text);
    let expected = format!("{}.{:02}|200000", cents / 100, cents % 100);
    for threads in [1, 2, 5] {
        let sql = format!("SELECT sum(amount), count(*) FROM '{path}'");
        let answer = ask(&mut with_threads(threads), &sql).await.unwrap();
        assert_eq!(answer, expected, "{threads} threads");
    }
    let packed = write(folder.path(), "big.json.gz", gzip(text.as_bytes()));
    let sql = format!("SELECT sum(amount), count(note) FROM '{packed}'");
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_names_its_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    // The sample of a file this long leaves out most of its middle.
    let mut text = "{\"amount\":1.25}\n".repeat(300_000);
    let odd = text.len() / 16 / 3 * 16;
    text.replace_range(odd..odd + 16, "{\"amount\":1.256}\n");
    let path = write(folder.path(), "orders.json", &text);
    let message = error(&mut files_only(), &format!("SELECT sum(amount) FROM '{path}'")).await;
    let line = odd / 16 + 1;
    assert!(message.contains(&format!("orders.json, line {line}: ")), "{message}");
    assert!(message.contains("1.256"), "{message}");
    // Nobody asked for the amount: nothing is wrong.
    let sql = format!("SELECT count(*) FROM '{path}'");
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), "300000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_is_an_error_even_where_nothing_of_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    for (name, line) in
        [("cut.json", "{\"a\":"), ("two.json", "{\"a\":1}{\"a\":2}"), ("bare.json", "7")]
    {
        let path = write(folder.path(), name, format!("{{\"a\":1}}\n{{\"a\":2}}\n{line}\n"));
        let message = error(&mut files_only(), &format!("SELECT count(*) FROM '{path}'")).await;
        assert!(message.contains(&format!("{name}, line 3: ")), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_keeps_article_numbers_text_and_money_exact() {
    let folder = tempfile::tempdir().unwrap();
    let text = "sku,price,quantity,note\n0042,1.10,3,\"a, \"\"b\"\"\nc\"\n85123A,2.2,-1,\n";
    let path = write(folder.path(), "lines.csv", text);
    let sql = format!("SELECT sku, price * quantity FROM '{path}' ORDER BY sku");
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), "0042|3.30\n85123A|-2.20");
    let sql = format!("SELECT count(note), sum(quantity) FROM '{path}'");
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), "1|2");
    let packed = write(folder.path(), "lines.csv.gz", gzip(text.as_bytes()));
    let sql = format!("SELECT sum(price) FROM '{packed}'");
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), "3.30");
    let uneven = write(folder.path(), "uneven.csv", "a,b\n1,2\n3\n");
    let message = error(&mut files_only(), &format!("SELECT * FROM '{uneven}'")).await;
    assert!(
        message.contains("uneven.csv, line 3: 1 fields where the first row has 2"),
        "{message}"
    );
    let bare = write(folder.path(), "bare.tsv", "1\tx\n2\ty\n");
    assert_eq!(
        columns(&mut files_only(), &format!("SELECT * FROM '{bare}'")).await,
        ["column1", "column2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn text_files_are_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "words.txt", "alpha\nbeta\r\n\ngamma b\nxyz");
    let sql = format!(
        "SELECT count(*) FILTER (WHERE line LIKE '%a%'), count(*) FILTER (WHERE line LIKE '%b%'), count(*) FROM '{path}'"
    );
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), "3|2|5");
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_is_read_by_pattern() {
    use datafusion::parquet::arrow::ArrowWriter;
    let folder = tempfile::tempdir().unwrap();
    for part in 0..3i64 {
        let column = Arc::new(Int64Array::from_iter_values(part * 10..part * 10 + 10)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("id", column)]).unwrap();
        let file =
            std::fs::File::create(folder.path().join(format!("part [{part}].parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let sql = format!("SELECT count(*), sum(id) FROM '{}/*.parquet'", folder.path().display());
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), "30|435");
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_values_can_be_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        folder.path(),
        "events.jsonl",
        r#"{"properties":{"products":[{"sku":"a","price":1.50},{"sku":"b","price":2}]}}"#,
    );
    let sql = format!(
        "SELECT sum(line.price) FROM (SELECT unnest(properties['products']) AS line FROM '{path}') AS t"
    );
    assert_eq!(ask(&mut files_only(), &sql).await.unwrap(), "3.50");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_mean_nothing_say_so() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "orders.json", "{\"a\":1}\n");
    write(folder.path(), "mixed/a.json", "{\"a\":1}\n");
    write(folder.path(), "mixed/b.csv", "a\n1\n");
    write(folder.path(), "picture.png", "x");
    let root = folder.path().display().to_string();
    let mut session = files_only();
    for (path, expected) in [
        ("order.json", "did you mean \"orders.json\"?"),
        ("none/*.json", "no file is at"),
        ("mixed", "files of different kinds"),
        ("picture.png", "ending does not say"),
    ] {
        let message = error(&mut session, &format!("SELECT * FROM '{root}/{path}'")).await;
        assert!(message.contains(expected), "{path}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
