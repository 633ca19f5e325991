//! Random work, cut at a random moment: what was synced with its name is there, to the byte, and
//! what was removed and synced is not.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tradewind_disk::{Create, Disk, SimDisk};

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Write { name: u8, position: u8, bytes: Vec<u8> },
    SetLen { name: u8, len: u8 },
    Sync { name: u8 },
    SyncDir,
    Rename { from: u8, to: u8 },
    Link { from: u8, to: u8 },
    Remove { name: u8 },
    Truncate { name: u8 },
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let name = || 0_u8..4;
    let bytes = proptest::collection::vec(any::<u8>(), 0..20);
    let op = prop_oneof![
        4 => (name(), 0_u8..30, bytes)
            .prop_map(|(name, position, bytes)| Op::Write { name, position, bytes }),
        1 => (name(), 0_u8..40).prop_map(|(name, len)| Op::SetLen { name, len }),
        3 => name().prop_map(|name| Op::Sync { name }),
        3 => Just(Op::SyncDir),
        2 => (name(), name()).prop_map(|(from, to)| Op::Rename { from, to }),
        1 => (name(), name()).prop_map(|(from, to)| Op::Link { from, to }),
        1 => name().prop_map(|name| Op::Remove { name }),
        1 => name().prop_map(|name| Op::Truncate { name }),
    ];
    proptest::collection::vec(op, 1..60)
}

pub(crate) fn path(dir: &Path, name: u8) -> PathBuf {
    dir.join(format!("f{name}"))
}

/// Does one operation; files are made as they are written to.
pub(crate) fn perform(disk: &dyn Disk, dir: &Path, op: &Op) -> std::io::Result<()> {
    let path = |name: &u8| path(dir, *name);
    match op {
        Op::Write { name, position, bytes } => {
            disk.open(&path(name), Create::IfMissing)?.write_all_at(bytes, u64::from(*position))
        }
        Op::SetLen { name, len } => disk.open(&path(name), Create::No)?.set_len(u64::from(*len)),
        Op::Sync { name } => disk.open(&path(name), Create::No)?.sync(),
        Op::SyncDir => disk.sync_dir(dir),
        Op::Rename { from, to } => disk.rename(&path(from), &path(to)),
        Op::Link { from, to } => disk.hard_link(&path(from), &path(to)),
        Op::Remove { name } => disk.remove_file(&path(name)),
        Op::Truncate { name } => disk.open(&path(name), Create::Truncate).map(drop),
    }
}

/// What must survive, kept apart from how the simulation does it.
#[derive(Debug, Default)]
struct Model {
    /// File numbers by name.
    names: BTreeMap<u8, usize>,
    /// Names changed since the folder was synced.
    unsynced_names: BTreeSet<u8>,
    /// Files changed since they were synced.
    unsynced_files: BTreeSet<usize>,
    files: usize,
}

impl Model {
    fn did(&mut self, op: &Op) {
        match op {
            Op::Write { name, .. } | Op::Truncate { name } | Op::SetLen { name, .. } => {
                let file = *self.names.entry(*name).or_insert_with(|| {
                    self.unsynced_names.insert(*name);
                    self.files += 1;
                    self.files
                });
                self.unsynced_files.insert(file);
            }
            Op::Sync { name } => drop(self.unsynced_files.remove(&self.names[name])),
            Op::SyncDir => self.unsynced_names.clear(),
            Op::Rename { from, to } => {
                let file = self.names[from];
                if self.names.get(to) != Some(&file) {
                    self.names.remove(from);
                    self.names.insert(*to, file);
                    self.unsynced_names.extend([*from, *to]);
                }
            }
            Op::Link { from, to } => {
                self.names.insert(*to, self.names[from]);
                self.unsynced_names.insert(*to);
            }
            Op::Remove { name } => {
                self.names.remove(name);
                self.unsynced_names.insert(*name);
            }
        }
    }
}

fn contents(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = disk.list(Path::new("d")).unwrap().into_iter();
    files.map(|entry| (entry.path.clone(), disk.read(&entry.path).unwrap())).collect()
}

/// Works until the power fails; returns the model and the contents as of before the failing
/// operation, and what that operation was.
fn run(disk: &SimDisk, ops: &[Op]) -> (Model, BTreeMap<PathBuf, Vec<u8>>, Option<Op>) {
    let dir = Path::new("d");
    disk.create_dir_all(dir).unwrap();
    let mut model = Model::default();
    for op in ops {
        let before = contents(disk);
        let done = perform(disk, dir, op);
        if !disk.powered() {
            return (model, before, Some(op.clone()));
        }
        if done.is_ok() {
            model.did(op);
        }
    }
    (model, contents(disk), None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_was_synced_survives(ops in ops(), seed in any::<u64>(), cut in 3_u64..80) {
        let disk = SimDisk::new(seed);
        disk.cut_power_after(cut);
        let (mut model, before, failing) = run(&disk, &ops);
        if let Some(op) = failing {
            // It may have happened; what it touches is unsynced either way. A sync that failed
            // promises nothing and harms nothing.
            if !matches!(op, Op::Sync { .. } | Op::SyncDir) {
                let untouched: Vec<_> = model.unsynced_names.iter().copied().collect();
                let names = model.names.clone();
                model.did(&op);
                model.names = names;
                model.unsynced_names.extend(untouched);
            }
        }
        disk.power_on();
        let after = contents(&disk);
        for name in (0..4).filter(|name| !model.unsynced_names.contains(name)) {
            let path = path(Path::new("d"), name);
            match model.names.get(&name) {
                None => prop_assert!(!after.contains_key(&path), "{path:?} came back"),
                Some(file) => {
                    prop_assert!(after.contains_key(&path), "{path:?} is lost");
                    if !model.unsynced_files.contains(file) {
                        prop_assert_eq!(&after[&path], &before[&path], "{:?} changed", path);
                    }
                }
            }
        }
    }

    #[test]
    fn a_seed_is_a_whole_run(ops in ops(), seed in any::<u64>(), cut in 3_u64..80) {
        let once = || {
            let disk = SimDisk::new(seed);
            disk.cut_power_after(cut);
            run(&disk, &ops);
            disk.power_on();
            (disk.operations(), contents(&disk))
        };
        prop_assert_eq!(once(), once());
    }
}
