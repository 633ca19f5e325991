//! A folder's names, and what is not synced of them.
//!
//! Guarantees: making, linking, renaming and removing are visible at once and durable only after
//! the folder was synced; a rename within a folder survives whole or not at all, as on every
//! journalling file system; one between folders may survive in either.
//! Left out: permissions and symbolic links.

use super::file::FileNode;
use super::journal::{Change, Journal};
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Node {
    File(Arc<Mutex<FileNode>>),
    Folder(Arc<Mutex<FolderNode>>),
}

/// Names and what they stand for. Sorted, so that a run depends on nothing but its seed.
pub(super) type Names = BTreeMap<OsString, Node>;

/// A folder without a name.
#[derive(Debug, Default)]
pub(super) struct FolderNode {
    /// The names as the running system sees them.
    pub(super) names: Names,
    /// Changes to `names`.
    pub(super) journal: Journal<NameChange>,
}

/// Names that change together: what each stood for and stands for now.
#[derive(Debug, Clone)]
pub(super) struct NameChange(Vec<(OsString, Option<Node>, Option<Node>)>);

impl FolderNode {
    /// Lets each name stand for something else (`None`: nothing), all at once.
    pub(super) fn change(&mut self, changes: Vec<(OsString, Option<Node>)>) {
        let mut made = Vec::with_capacity(changes.len());
        for (name, after) in changes {
            let before = self.names.get(&name).cloned();
            made.push((name, before, after));
        }
        let change = NameChange(made);
        change.apply(&mut self.names);
        self.journal.push(change);
    }

    /// Leaves what survived the power cut, here and in everything below.
    pub(super) fn settle(&mut self, generation: u64, rng: &mut StdRng) {
        self.journal.settle(&mut self.names, rng);
        for node in self.names.values() {
            match node {
                Node::File(file) => file.lock().settle(generation, rng),
                Node::Folder(folder) => folder.lock().settle(generation, rng),
            }
        }
    }

    /// Bytes of all files in here and below, a file with several names counted once.
    pub(super) fn used_bytes(&self) -> u64 {
        let mut sizes = BTreeMap::new();
        self.each_file(&mut |file| {
            sizes.insert(Arc::as_ptr(file), file.lock().bytes.len() as u64);
        });
        sizes.values().sum()
    }

    /// Calls `look` with every file in here and below, once for each of its names.
    pub(super) fn each_file(&self, look: &mut impl FnMut(&Arc<Mutex<FileNode>>)) {
        for node in self.names.values() {
            match node {
                Node::File(file) => look(file),
                Node::Folder(folder) => folder.lock().each_file(look),
            }
        }
    }
}

impl Change for NameChange {
    type Of = Names;

    fn apply(&self, to: &mut Names) {
        for (name, _, after) in &self.0 {
            put(to, name, after);
        }
    }

    fn undo(&self, to: &mut Names) {
        for (name, before, _) in self.0.iter().rev() {
            put(to, name, before);
        }
    }

    fn torn(&self, rng: &mut StdRng) -> Option<Self> {
        // A change of names is never seen in part.
        rng.random::<bool>().then(|| self.clone())
    }
}

fn put(names: &mut Names, name: &OsString, node: &Option<Node>) {
    match node {
        Some(node) => names.insert(name.clone(), node.clone()),
        None => names.remove(name),
    };
}
