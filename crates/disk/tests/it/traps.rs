//! What programs forget to sync, and what then becomes of their files.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::{Create, Disk, SimDisk};

/// Enough for chance to show every outcome of a single cut.
const SEEDS: u64 = 200;

fn put(disk: &SimDisk, path: &str, bytes: &[u8], sync: bool) {
    let file = disk.open(Path::new(path), Create::IfMissing).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    if sync {
        file.sync().unwrap();
    }
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    match disk.read(Path::new(path)) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

/// What `path` holds after `work`, a power cut and power, over all seeds.
fn outcomes(path: &str, work: impl Fn(&SimDisk)) -> BTreeSet<Option<Vec<u8>>> {
    let after = |seed| {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("d")).unwrap();
        work(&disk);
        disk.cut_power_after(0);
        disk.power_on();
        content(&disk, path)
    };
    (0..SEEDS).map(after).collect()
}

fn sync_dir(disk: &SimDisk) {
    disk.sync_dir(Path::new("d")).unwrap();
}

#[test]
fn what_was_synced_with_its_name_survives() {
    let seen = outcomes("d/f", |disk| {
        put(disk, "d/f", b"kept", true);
        sync_dir(disk);
    });
    assert_eq!(seen, BTreeSet::from([Some(b"kept".to_vec())]));
}

#[test]
fn an_unsynced_write_is_kept_lost_or_torn() {
    let seen = outcomes("d/f", |disk| {
        put(disk, "d/f", b"", true);
        sync_dir(disk);
        put(disk, "d/f", b"1234", false);
    });
    for expected in [&b""[..], b"1234", b"12"] {
        assert!(seen.contains(&Some(expected.to_vec())), "{expected:?} never seen");
    }
    assert!(seen.iter().all(|got| b"1234".starts_with(got.as_deref().unwrap())));
}

#[test]
fn later_writes_may_survive_without_earlier_ones() {
    let seen = outcomes("d/f", |disk| {
        put(disk, "d/f", b"", true);
        sync_dir(disk);
        let file = disk.open(Path::new("d/f"), Create::No).unwrap();
        file.write_all_at(b"ab", 0).unwrap();
        file.write_all_at(b"cd", 2).unwrap();
    });
    assert!(seen.contains(&Some(b"\0\0cd".to_vec())), "{seen:?}");
}

#[test]
fn a_file_whose_folder_was_not_synced_may_vanish() {
    let seen = outcomes("d/f", |disk| put(disk, "d/f", b"kept", true));
    assert_eq!(seen, BTreeSet::from([None, Some(b"kept".to_vec())]));
}

#[test]
fn renaming_an_unsynced_file_over_another_may_leave_it_empty() {
    let seen = outcomes("d/f", |disk| {
        put(disk, "d/f", b"old", true);
        put(disk, "d/f.tmp", b"new", false);
        disk.rename(Path::new("d/f.tmp"), Path::new("d/f")).unwrap();
        sync_dir(disk);
    });
    assert!(seen.contains(&Some(Vec::new())), "{seen:?}");
    assert!(seen.contains(&Some(b"new".to_vec())), "{seen:?}");
}

#[test]
fn a_rename_may_be_undone_until_its_folder_is_synced() {
    let seen = outcomes("d/f", |disk| {
        put(disk, "d/f", b"old", true);
        sync_dir(disk);
        put(disk, "d/f.tmp", b"new", true);
        disk.rename(Path::new("d/f.tmp"), Path::new("d/f")).unwrap();
    });
    assert_eq!(seen, BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
}

#[test]
fn a_rename_never_loses_both_names() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("d")).unwrap();
        put(&disk, "d/a", b"x", true);
        sync_dir(&disk);
        disk.rename(Path::new("d/a"), Path::new("d/b")).unwrap();
        disk.power_on();
        let left = disk.list(Path::new("d")).unwrap();
        assert_eq!(left.len(), 1, "seed {seed}: {left:?}");
    }
}

#[test]
fn a_removed_file_may_come_back_until_its_folder_is_synced() {
    let forgotten = outcomes("d/f", |disk| {
        put(disk, "d/f", b"x", true);
        sync_dir(disk);
        disk.remove_file(Path::new("d/f")).unwrap();
    });
    assert_eq!(forgotten, BTreeSet::from([None, Some(b"x".to_vec())]));
    let synced = outcomes("d/f", |disk| {
        put(disk, "d/f", b"x", true);
        sync_dir(disk);
        disk.remove_file(Path::new("d/f")).unwrap();
        sync_dir(disk);
    });
    assert_eq!(synced, BTreeSet::from([None]));
}

#[test]
fn write_atomic_leaves_the_old_or_the_new_wherever_it_is_cut() {
    let mut kept_old = 0;
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("d")).unwrap();
        disk.write_atomic(Path::new("d/f"), b"old").unwrap();
        disk.cut_power_after(1 + seed % 5);
        let done = disk.write_atomic(Path::new("d/f"), b"newer").is_ok();
        disk.power_on();
        let got = content(&disk, "d/f").unwrap();
        assert!(got == b"newer" || (got == b"old" && !done), "seed {seed}: {got:?}");
        kept_old += u64::from(got == b"old");
    }
    assert!(kept_old > 0 && kept_old < SEEDS, "the cut must come before and after the rename");
}

#[test]
fn hard_link_makes_a_name_only_once() {
    let disk = SimDisk::new(1);
    put(&disk, "a", b"a", true);
    put(&disk, "b", b"b", true);
    disk.hard_link(Path::new("a"), Path::new("name")).unwrap();
    let error = disk.hard_link(Path::new("b"), Path::new("name")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(content(&disk, "name").unwrap(), b"a");
    put(&disk, "a", b"z", true);
    assert_eq!(content(&disk, "name").unwrap(), b"z", "one file, two names");
    disk.remove_file(Path::new("a")).unwrap();
    assert_eq!(content(&disk, "name").unwrap(), b"z");
}

#[test]
fn two_names_of_one_file_survive_with_the_same_bytes() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("d")).unwrap();
        put(&disk, "d/a", b"", true);
        disk.hard_link(Path::new("d/a"), Path::new("d/b")).unwrap();
        sync_dir(&disk);
        put(&disk, "d/a", b"unsynced", false);
        disk.power_on();
        assert_eq!(content(&disk, "d/a"), content(&disk, "d/b"), "seed {seed}");
    }
}

#[test]
fn after_a_failed_sync_the_next_one_only_pretends() {
    let seen = outcomes("d/f", |disk| {
        put(disk, "d/f", b"", true);
        sync_dir(disk);
        let file = disk.open(Path::new("d/f"), Create::No).unwrap();
        file.write_all_at(b"gone", 0).unwrap();
        disk.fail_next_sync("d/f");
        file.sync().unwrap_err();
        file.sync().unwrap();
    });
    assert!(seen.contains(&Some(Vec::new())), "{seen:?}");
    let seen = outcomes("d/f", |disk| {
        put(disk, "d/f", b"", true);
        sync_dir(disk);
        let file = disk.open(Path::new("d/f"), Create::No).unwrap();
        file.write_all_at(b"ab", 0).unwrap();
        disk.fail_next_sync("d/f");
        file.sync().unwrap_err();
        file.write_all_at(b"cd", 2).unwrap();
        file.sync().unwrap();
    });
    assert!(seen.iter().all(|got| got.as_deref().unwrap().ends_with(b"cd")), "{seen:?}");
    assert!(seen.contains(&Some(b"\0\0cd".to_vec())), "{seen:?}");
}

#[test]
fn a_lying_disk_loses_what_it_called_synced() {
    let seen = outcomes("d/f", |disk| {
        disk.ignore_syncs(true);
        put(disk, "d/f", b"acknowledged", true);
        sync_dir(disk);
    });
    assert!(seen.contains(&None), "{seen:?}");
}

#[test]
fn the_operation_that_meets_the_cut_may_be_half_done() {
    let mut lengths = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = disk.open(Path::new("f"), Create::New).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.cut_power_after(1);
        file.write_all_at(&[7; 100], 0).unwrap_err();
        assert_eq!(file.len().unwrap_err().to_string(), "power is off");
        disk.power_on();
        lengths.insert(content(&disk, "f").unwrap().len());
    }
    assert!(lengths.contains(&0) && lengths.len() > 10, "{lengths:?}");
}

#[test]
fn everything_fails_without_power_and_old_handles_stay_dead() {
    let disk = SimDisk::new(1);
    let file = disk.open(Path::new("f"), Create::New).unwrap();
    file.try_lock().unwrap();
    disk.cut_power_after(0);
    assert!(!disk.powered());
    assert!(disk.open(Path::new("g"), Create::New).is_err());
    assert!(disk.list(Path::new("")).is_err());
    assert!(file.sync().is_err());
    disk.power_on();
    assert!(file.write_all_at(b"ghost", 0).is_err(), "a dead process writes nothing");
    let again = disk.open(Path::new("f"), Create::IfMissing).unwrap();
    again.try_lock().unwrap();
}

#[test]
fn a_killed_process_leaves_everything_and_a_later_power_cut_may_take_it() {
    let left = |power_fails: bool| {
        outcomes("d/f", |disk| {
            let file = disk.open(Path::new("d/f"), Create::New).unwrap();
            file.try_lock().unwrap();
            file.write_all_at(b"new", 0).unwrap();
            disk.cut_power_after(0);
            disk.restart();
            assert!(file.len().is_err(), "the handle of a killed process works");
            assert_eq!(content(disk, "d/f").unwrap(), b"new");
            let again = disk.open(Path::new("d/f"), Create::No).unwrap();
            again.try_lock().unwrap();
            if !power_fails {
                again.sync().unwrap();
                sync_dir(disk);
            }
        })
    };
    assert!(left(true).contains(&None));
    assert_eq!(left(false), BTreeSet::from([Some(b"new".to_vec())]));
}

#[test]
fn a_full_disk_stores_what_fits_and_says_so() {
    let disk = SimDisk::new(1);
    disk.set_available_bytes(10);
    let file = disk.open(Path::new("f"), Create::New).unwrap();
    file.write_all_at(b"12345678", 0).unwrap();
    assert_eq!(disk.available_bytes(Path::new("")).unwrap(), 2);
    let error = file.write_all_at(b"abcd", 8).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(content(&disk, "f").unwrap(), b"12345678ab");
    file.write_all_at(b"overwriting needs no room", 0).unwrap_err();
    file.write_all_at(b"87654321", 0).unwrap();
    assert_eq!(file.set_len(11).unwrap_err().kind(), ErrorKind::StorageFull);
    file.set_len(4).unwrap();
    assert_eq!(disk.available_bytes(Path::new("")).unwrap(), 6);
    disk.remove_file(Path::new("f")).unwrap();
    assert_eq!(disk.available_bytes(Path::new("")).unwrap(), 10);
}

#[test]
fn bytes_lost_in_a_power_cut_make_room_again() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.set_available_bytes(100);
        put(&disk, "f", &[1; 60], false);
        disk.power_on();
        let left = content(&disk, "f").map_or(0, |bytes| bytes.len() as u64);
        assert_eq!(disk.available_bytes(Path::new("")).unwrap(), 100 - left, "seed {seed}");
    }
}

#[test]
fn a_lock_is_one_handles_alone() {
    let disk = SimDisk::new(1);
    let one = disk.open(Path::new("LOCK"), Create::IfMissing).unwrap();
    let two = disk.open(Path::new("LOCK"), Create::IfMissing).unwrap();
    one.try_lock().unwrap();
    assert_eq!(two.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(one);
    two.try_lock().unwrap();
}

#[test]
fn a_folder_made_with_its_parents_is_there_at_once_and_for_good() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("/a/b")).unwrap();
        disk.remove_dir_all(Path::new("/a/b")).unwrap();
        disk.create_dir_all(Path::new("/a/b/c")).unwrap();
        disk.power_on();
        assert!(disk.metadata(Path::new("/a/b/c")).unwrap().dir, "seed {seed}");
    }
}

#[test]
fn a_folder_whose_parent_was_not_synced_may_vanish_with_all_that_is_in_it() {
    let seen = outcomes("d/sub/f", |disk| {
        disk.create_dir(Path::new("d/sub")).unwrap();
        put(disk, "d/sub/f", b"kept", true);
        disk.sync_dir(Path::new("d/sub")).unwrap();
    });
    assert_eq!(seen, BTreeSet::from([None, Some(b"kept".to_vec())]));
}

#[test]
fn a_folder_that_a_killed_process_made_and_did_not_sync_is_durable_once_it_is_asked_for_again() {
    let mut found = 0;
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        // Killed between making `d` and syncing the root, or making `d/sub` and syncing `d`.
        disk.cut_power_after(2 + 2 * (seed % 2));
        disk.create_dir_all(Path::new("/d/sub")).unwrap_err();
        disk.restart();
        found += u64::from(disk.metadata(Path::new("/d")).is_ok());
        disk.create_dir_all(Path::new("/d/sub")).unwrap();
        put(&disk, "/d/sub/f", b"kept", true);
        disk.sync_dir(Path::new("/d/sub")).unwrap();
        disk.power_on();
        assert_eq!(content(&disk, "/d/sub/f").as_deref(), Some(&b"kept"[..]), "seed {seed}");
    }
    assert_eq!(found, SEEDS, "the kill must come between a folder and its sync");
}

#[test]
fn a_folder_whose_sync_failed_is_made_anew() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.fail_next_sync("");
        disk.create_dir_all(Path::new("/d")).unwrap_err();
        disk.create_dir_all(Path::new("/d")).unwrap();
        disk.power_on();
        assert!(disk.metadata(Path::new("/d")).is_ok(), "seed {seed}");
    }
}

#[test]
fn a_disk_is_shared_like_any_other() {
    let disk: Arc<dyn Disk> = SimDisk::new(1);
    disk.write_atomic(Path::new("f"), b"x").unwrap();
    assert_eq!(disk.read(Path::new("f")).unwrap(), b"x");
}
