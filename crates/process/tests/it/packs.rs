//! The packs that come with the server parse, apply and plan.

use crate::support::start_time_us;
use std::path::Path;
use std::sync::Arc;
use tradewind_process::stream::plan::{explain, plan_statement};
use tradewind_sql::{Catalogue, PackFile};
use tradewind_types::ManualClock;

fn files() -> Vec<PackFile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ecommerce");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    let file = |path: std::path::PathBuf| PackFile {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(file).collect()
}

#[test]
fn the_ecommerce_pack_plans() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue =
        Catalogue::open(dir.path(), Arc::new(ManualClock::at(start_time_us()))).unwrap();
    let report = catalogue.apply_pack("ecommerce", &files()).unwrap();
    assert!(report.refused.is_empty() && report.changed.is_empty(), "{report:?}");
    let again = catalogue.apply_pack("ecommerce", &files()).unwrap();
    assert_eq!(again.unchanged.len(), report.created.len());
    assert_eq!((again.created.len(), again.changed.len()), (0, 0));
    let mut names = Vec::new();
    for pipeline in catalogue.pipelines() {
        let plan = plan_statement(&pipeline.statement, pipeline.dialect, &catalogue)
            .unwrap_or_else(|error| panic!("{}: {error}", pipeline.name));
        println!("{}\n{}\n", pipeline.name, explain(&plan));
        names.push(pipeline.name.clone());
    }
    for name in ["dead_letters", "events", "order_lines", "orders", "refunds"] {
        assert!(names.contains(&name.to_string()), "{names:?}");
    }
}

#[test]
fn the_orders_pipeline_reads_only_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue =
        Catalogue::open(dir.path(), Arc::new(ManualClock::at(start_time_us()))).unwrap();
    catalogue.apply_pack("ecommerce", &files()).unwrap();
    let orders = catalogue.pipeline("orders").unwrap();
    let plan = plan_statement(&orders.statement, orders.dialect, &catalogue).unwrap();
    assert_eq!(plan.sources[0].read.prefilters.len(), 1);
    assert_eq!(plan.sources[0].read.prefilters[0].values, ["Order Completed"]);
    let properties =
        plan.sources[0].read.columns.iter().find(|column| column.field.name() == "properties");
    let properties = format!("{}", properties.unwrap().field.data_type());
    assert!(properties.contains("order_id") && !properties.contains("products"), "{properties}");
}
