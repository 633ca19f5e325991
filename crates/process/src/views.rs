//! The views of a server, and which definition of each one answers.
//!
//! Guarantees: a view that is defined anew, or computed anew, takes the old one's place when it has
//! caught up and not before; readers of the old one are told then. A view that does not answer is
//! replaced at once.
//! Left out: over restarts: an old definition that outlives its own is gone with the process.

use crate::view::View;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every view that is kept, by name.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<BTreeMap<String, Kept>>);

#[derive(Debug)]
struct Kept {
    /// What readers meet.
    answering: Arc<View>,
    /// What takes its place once it has caught up.
    rising: Option<Arc<View>>,
}

impl Views {
    /// The view that readers meet.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<View>> {
        self.0.lock().get(name).map(|kept| kept.answering.clone())
    }

    /// Whether something of that name answers.
    pub(crate) fn answers(&self, name: &str) -> bool {
        self.get(name).is_some_and(|view| view.snapshot().is_some())
    }

    /// The view of one definition, which `make` makes where it is not there yet.
    pub(crate) fn of(
        &self,
        name: &str,
        incarnation: u64,
        make: impl FnOnce() -> View,
    ) -> Arc<View> {
        let mut views = self.0.lock();
        let Some(kept) = views.get_mut(name) else {
            let view = Arc::new(make());
            views.insert(name.to_string(), Kept { answering: view.clone(), rising: None });
            return view;
        };
        let known = std::iter::once(&kept.answering).chain(&kept.rising);
        if let Some(view) = known.into_iter().find(|view| view.incarnation == incarnation) {
            return view.clone();
        }
        let view = Arc::new(make());
        let old = match kept.answering.snapshot() {
            Some(_) => kept.rising.replace(view.clone()),
            None => Some(std::mem::replace(&mut kept.answering, view.clone())),
        };
        if let Some(old) = old {
            old.close();
        }
        view
    }

    /// Whether a view waits for its turn.
    pub(crate) fn is_rising(&self, view: &Arc<View>) -> bool {
        let views = self.0.lock();
        let rising = views.get(&view.name).and_then(|kept| kept.rising.as_ref());
        rising.is_some_and(|rising| Arc::ptr_eq(rising, view))
    }

    /// A view has caught up: from now on it answers. Whether it had not before.
    pub(crate) fn rise(&self, view: &Arc<View>) -> bool {
        let mut views = self.0.lock();
        let Some(kept) = views.get_mut(&view.name) else { return false };
        if !kept.rising.as_ref().is_some_and(|rising| Arc::ptr_eq(rising, view)) {
            return false;
        }
        kept.rising = None;
        std::mem::replace(&mut kept.answering, view.clone()).close();
        true
    }

    /// Forgets a view; its readers are told.
    pub(crate) fn forget(&self, name: &str) {
        if let Some(kept) = self.0.lock().remove(name) {
            kept.answering.close();
            kept.rising.iter().for_each(|rising| rising.close());
        }
    }
}
