//! The keys that tables declare, for drivers that ask.
//!
//! Guarantees: the columns are in the key's order.
//! Left out: whether rows keep to them, which nobody checks.

use crate::session::Session;

impl Session {
    /// The columns of a relation's primary key; none where it has none, or is not there.
    pub fn primary_key(&self, name: &str) -> Vec<String> {
        let catalogue = self.platform().parts().catalogue.as_ref();
        let relation = catalogue.and_then(|catalogue| catalogue.resolve(name, self.dialect()).ok());
        let relation = relation.flatten();
        let table = relation.as_ref().and_then(|relation| relation.table());
        table.map(|table| table.primary_key.clone()).unwrap_or_default()
    }
}
