//! Every type, from a sink through the tail and the files and back.

use crate::support::*;
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit};
use std::sync::Arc;
use tradewind_lake::TableSpec;

fn spec() -> TableSpec {
    let address = Fields::from(vec![
        Field::new("city", DataType::Utf8, true),
        Field::new("zip", DataType::Int32, true),
    ]);
    let fields = vec![
        Field::new("yes", DataType::Boolean, true),
        Field::new("tiny", DataType::Int8, true),
        Field::new("small", DataType::Int16, true),
        Field::new("int", DataType::Int32, true),
        Field::new("big", DataType::Int64, true),
        Field::new("real", DataType::Float32, true),
        Field::new("double", DataType::Float64, true),
        Field::new("price", DataType::Decimal128(18, 6), true),
        Field::new("name", DataType::Utf8, true),
        Field::new("raw", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("wall", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new(
            "tags",
            DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
            true,
        ),
        Field::new("address", DataType::Struct(address), true),
    ];
    TableSpec {
        name: "types".to_owned(),
        schema: Arc::new(Schema::new(fields)),
        partition_columns: Vec::new(),
    }
}

/// Extremes, ordinary values and a null in every column.
fn rows() -> RecordBatch {
    let spec = spec();
    let DataType::Struct(address) = spec.schema.field(14).data_type().clone() else {
        unreachable!()
    };
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), None, Some("")]);
    tags.append_value(Vec::<Option<&str>>::new());
    tags.append_null();
    let city: ArrayRef = Arc::new(StringArray::from(vec![Some("Ålesund"), None, None]));
    let zip: ArrayRef = Arc::new(Int32Array::from(vec![Some(6002), Some(-1), None]));
    let nulls = arrow::buffer::NullBuffer::from(vec![true, true, false]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None])),
        Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None])),
        Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
        Arc::new(Float32Array::from(vec![Some(f32::NEG_INFINITY), Some(1.5), None])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-0.0), None])),
        Arc::new(
            Decimal128Array::from(vec![
                Some(999_999_999_999_999_999),
                Some(-999_999_999_999_999_999),
                None,
            ])
            .with_precision_and_scale(18, 6)
            .unwrap(),
        ),
        Arc::new(StringArray::from(vec![Some("a \"quoted\" → text"), Some(""), None])),
        Arc::new(BinaryArray::from(vec![Some(&[0u8, 255, 10][..]), Some(&[][..]), None])),
        Arc::new(Date32Array::from(vec![Some(-1), Some(19_783), None])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(-1), Some(NOW_US + 123_457), None])
                .with_timezone("UTC"),
        ),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1), Some(NOW_US + 1), None])),
        Arc::new(tags.finish()),
        Arc::new(StructArray::new(address, vec![city, zip], Some(nulls))),
        Arc::new(Int32Array::from(vec![0, 1, 2])),
        Arc::new(Int64Array::from(vec![10, 11, 12])),
    ];
    with_hidden(&spec, columns)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_the_same_in_the_tail_in_the_files_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let lake = open(dir.path()).await;
    lake.create_table(&spec()).await.unwrap();
    let mut sink = lake.sink("types", "p/1").unwrap();
    sink.recover(None).await.unwrap();
    sink.write(vec![rows()]).await.unwrap();
    let all = "SELECT * FROM types ORDER BY _offset";
    let in_tail = query(&lake, all).await;
    let seen = text(&lake, all).await;
    assert!(seen.contains("999999999999.999999"), "{seen}");
    assert!(seen.contains("2024-03-01T00:00:00.123457Z"), "{seen}");

    let staged = sink.stage(1).await.unwrap();
    sink.commit(&staged).await.unwrap();
    assert_eq!(query(&lake, all).await, in_tail);

    let lake = open(dir.path()).await;
    assert_eq!(query(&lake, all).await, in_tail);
    let table = lake.table("types").unwrap();
    assert_eq!(table.schema().fields().last().unwrap().name(), "_offset");
    // Made again with the same columns it is the same table.
    lake.create_table(&spec()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_partition_values_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let lake = open(dir.path()).await;
    let spec = TableSpec {
        name: "odd".to_owned(),
        schema: Arc::new(Schema::new(vec![
            Field::new("store_id", DataType::Utf8, true),
            Field::new("shard", DataType::Int32, true),
            Field::new("n", DataType::Int64, true),
        ])),
        partition_columns: vec!["store_id".to_owned(), "shard".to_owned()],
    };
    lake.create_table(&spec).await.unwrap();
    let names = [
        Some("a/b"),
        Some("a b"),
        Some("100%"),
        Some("é→\u{1F6D2}"),
        Some("a=b"),
        Some(".."),
        Some("x\"y'z"),
        Some("+"),
        Some("%2F"),
        Some("__HIVE_DEFAULT_PARTITION__"),
        None,
    ];
    let shards = [Some(-1), Some(0), None];
    let store: StringArray = names.iter().flat_map(|name| [*name; 3]).collect();
    let shard: Int32Array = names.iter().flat_map(|_| shards).collect();
    let rows = store.len() as i64;
    let batch = with_hidden(
        &spec,
        vec![
            Arc::new(store),
            Arc::new(shard),
            Arc::new(Int64Array::from_iter_values(0..rows)),
            Arc::new(Int32Array::from(vec![0; rows as usize])),
            Arc::new(Int64Array::from_iter_values(0..rows)),
        ],
    );
    let mut sink = lake.sink("odd", "p/1").unwrap();
    sink.recover(None).await.unwrap();
    sink.write(vec![batch]).await.unwrap();
    let all = "SELECT * FROM odd ORDER BY n";
    let in_tail = query(&lake, all).await;
    let staged = sink.stage(1).await.unwrap();
    sink.commit(&staged).await.unwrap();
    let lake = open(dir.path()).await;
    assert_eq!(query(&lake, all).await, in_tail);
    for name in names.into_iter().flatten() {
        let sql =
            format!("SELECT count(*) FROM odd WHERE store_id = '{}'", name.replace('\'', "''"));
        assert_eq!(number(&lake, &sql).await, 3, "{name}");
    }
    assert_eq!(number(&lake, "SELECT count(*) FROM odd WHERE store_id IS NULL").await, 3);
    let shards = query(&lake, "SELECT n FROM odd WHERE shard = -1").await;
    assert_eq!(shards.iter().map(RecordBatch::num_rows).sum::<usize>(), names.len());
    let partition = query(&lake, "SELECT _partition FROM odd LIMIT 1").await;
    assert_eq!(partition[0].column(0).as_primitive::<Int32Type>().value(0), 0);
}
