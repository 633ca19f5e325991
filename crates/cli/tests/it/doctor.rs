//! The doctor finds what is wrong and changes nothing.

use crate::support::{Served, order, run};
use std::path::{Path, PathBuf};

fn doctor(data: &Path) -> (bool, String) {
    let output = run(&["doctor", data.to_str().unwrap(), "--set", "log.disk_reserve_bytes=16 MiB"]);
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
}

/// Every file with its bytes.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push((path.clone(), std::fs::read(&path).unwrap())),
            }
        }
    }
    files.sort();
    files
}

fn some_file(folder: &Path, ending: &str) -> PathBuf {
    let fits = |path: &PathBuf| path.extension().is_some_and(|found| found == ending);
    let mut files: Vec<_> = content(folder).into_iter().filter(|(path, _)| fits(path)).collect();
    files.sort_by_key(|(_, bytes)| bytes.len());
    files.pop().unwrap().0
}

#[test]
fn a_sound_folder_and_three_damages() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Served::start(&data, &[]);
    server.send(&(0..50).map(order).collect::<Vec<_>>());
    server.wait_for("SELECT count(*) FROM orders", &["50"]);
    server.stop();

    let before = content(&data);
    let (sound, text) = doctor(&data);
    assert!(sound, "{text}");
    assert!(text.contains("lake orders: 50 rows"), "{text}");
    assert_eq!(content(&data), before, "the doctor changed something");

    // A byte in the middle of durable records.
    let segment = some_file(&data.join("log/events"), "log");
    let good = std::fs::read(&segment).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0xff;
    std::fs::write(&segment, &bad).unwrap();
    let (sound, text) = doctor(&data);
    assert!(!sound, "{text}");
    assert!(text.contains(segment.file_name().unwrap().to_str().unwrap()), "{text}");
    // Half a batch behind them was never acknowledged.
    std::fs::write(&segment, [good.as_slice(), &good[..good.len().min(30)]].concat()).unwrap();
    let (sound, text) = doctor(&data);
    assert!(sound, "{text}");
    assert!(text.contains("never acknowledged"), "{text}");
    std::fs::write(&segment, &good).unwrap();

    // A file of the lake that is gone.
    let file = some_file(&data.join("lake/orders"), "parquet");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let (sound, text) = doctor(&data);
    assert!(!sound && text.contains("lake orders:"), "{text}");
    std::fs::write(&file, kept).unwrap();

    // A manifest with another byte.
    let manifest = some_file(&data.join("pipelines"), "json");
    let mut bytes = std::fs::read(&manifest).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let (sound, text) = doctor(&data);
    assert!(!sound && text.contains("manifest-"), "{text}");
}
