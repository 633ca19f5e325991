//! The object store over a disk.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use std::path::PathBuf;
use std::sync::Arc;
use tradewind_disk::{Create, Disk, OsDisk, SimDisk};
use tradewind_lake::DiskStore;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

async fn read(store: &DiskStore, at: &str) -> Bytes {
    store.get(&path(at)).await.unwrap().bytes().await.unwrap()
}

async fn names(store: &DiskStore, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(path);
    let listed: Vec<_> = store.list(prefix.as_ref()).try_collect().await.unwrap();
    listed.into_iter().map(|object| object.location.to_string()).collect()
}

async fn behaves(store: DiskStore) {
    for name in ["b/2", "b/10", "a", "b-c/x", "b/2/deep"] {
        let put = store.put(&path(name), PutPayload::from(name.as_bytes().to_vec())).await;
        // A file cannot also be a folder.
        assert_eq!(put.is_err(), name == "b/2/deep", "{name}");
    }
    assert_eq!(names(&store, None).await, ["a", "b-c/x", "b/10", "b/2"]);
    assert_eq!(names(&store, Some("b")).await, ["b/10", "b/2"]);
    assert_eq!(names(&store, Some("nothing")).await, [""; 0]);
    let offset: Vec<_> = store
        .list_with_offset(Some(&path("b")), &path("b/10"))
        .map_ok(|object| object.location)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(offset, [path("b/2")]);
    let folder = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(folder.common_prefixes, [path("b"), path("b-c")]);
    assert_eq!(folder.objects.len(), 1);

    let create = || PutOptions::from(PutMode::Create);
    let again = store.put_opts(&path("a"), "other".into(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(read(&store, "a").await, "a");
    store.put_opts(&path("new"), "new".into(), create()).await.unwrap();
    store.put(&path("a"), "over".into()).await.unwrap();
    assert_eq!(read(&store, "a").await, "over");

    assert_eq!(store.get_range(&path("b/10"), 1..3).await.unwrap(), "/1");
    let suffix = GetOptions { range: Some(GetRange::Suffix(2)), ..GetOptions::default() };
    let suffix = store.get_opts(&path("b/10"), suffix).await.unwrap().bytes().await.unwrap();
    assert_eq!(suffix, "10");
    assert_eq!(store.head(&path("b/10")).await.unwrap().size, 4);
    for missing in ["nothing", "b"] {
        let found = store.get(&path(missing)).await;
        assert!(matches!(found, Err(Error::NotFound { .. })), "{missing}");
    }

    store.copy(&path("a"), &path("c/copy")).await.unwrap();
    let taken = store.copy_if_not_exists(&path("new"), &path("c/copy")).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })));
    let taken = store.rename_if_not_exists(&path("new"), &path("c/copy")).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })));
    assert_eq!(read(&store, "c/copy").await, "over");
    assert_eq!(read(&store, "new").await, "new", "a rename that is refused leaves its source");
    store.rename(&path("new"), &path("c/copy")).await.unwrap();
    assert_eq!(read(&store, "c/copy").await, "new");
    store.delete(&path("c/copy")).await.unwrap();
    assert!(store.delete(&path("c/copy")).await.is_err());

    let mut upload = store.put_multipart(&path("big")).await.unwrap();
    let parts = [vec![1u8; 5 << 20], vec![2u8; 3 << 20], vec![3u8; 7]];
    let written: Vec<_> = parts.iter().map(|part| upload.put_part(part.clone().into())).collect();
    // The parts may be written in any order.
    for part in written.into_iter().rev() {
        part.await.unwrap();
    }
    assert!(store.get(&path("big")).await.is_err(), "not before it is complete");
    upload.complete().await.unwrap();
    assert_eq!(read(&store, "big").await, parts.concat());
    let mut upload = store.put_multipart(&path("never")).await.unwrap();
    upload.put_part(vec![1u8; 10].into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(names(&store, None).await, ["a", "b-c/x", "b/10", "b/2", "big"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_an_object_store_on_the_operating_systems_files() {
    let dir = tempfile::tempdir().unwrap();
    behaves(DiskStore::open(Arc::new(OsDisk), dir.path().join("deep/root")).unwrap()).await;
}

#[tokio::test]
async fn it_is_an_object_store_on_one_thread_and_a_simulated_disk() {
    behaves(DiskStore::open(SimDisk::new(1), PathBuf::from("/lake")).unwrap()).await;
}

#[tokio::test]
async fn what_was_put_survives_a_power_cut_and_what_was_not_leaves_nothing() {
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let root = PathBuf::from("/data/lake");
        let store = DiskStore::open(disk.clone(), root.clone()).unwrap();
        disk.cut_power_after(1 + seed % 40);
        let mut done = 0;
        while done < 20 {
            let name = path(&format!("t/p={}/f{done}", done % 3));
            let body = PutPayload::from(vec![done as u8; 100]);
            let mode = if done % 2 == 0 { PutMode::Create } else { PutMode::Overwrite };
            if store.put_opts(&name, body, mode.into()).await.is_err() {
                break;
            }
            done += 1;
        }
        disk.power_on();
        let store = DiskStore::open(disk.clone(), root.clone()).unwrap();
        let found = names(&store, None).await;
        for number in 0..done {
            let name = format!("t/p={}/f{number}", number % 3);
            assert_eq!(read(&store, &name).await, vec![number as u8; 100], "seed {seed}: {name}");
        }
        assert!(found.len() <= done + 1, "seed {seed}: {found:?}");
        for name in &found {
            assert_eq!(read(&store, name).await.len(), 100, "seed {seed}: {name} is torn");
        }
    }
}

#[tokio::test]
async fn half_written_files_are_never_listed_and_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join("t/f.parquet.7.tw-tmp");
    OsDisk.create_dir_all(left.parent().unwrap()).unwrap();
    let store = DiskStore::open(Arc::new(OsDisk), dir.path().to_path_buf()).unwrap();
    OsDisk.open(&left, Create::New).unwrap();
    assert_eq!(names(&store, None).await, [""; 0]);
    DiskStore::open(Arc::new(OsDisk), dir.path().to_path_buf()).unwrap();
    assert!(!left.exists());
}
