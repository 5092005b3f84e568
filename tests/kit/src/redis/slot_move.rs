//! A slot on its way from one node of a cluster to another.

use super::ClusterSetup;

/// A move that has begun, from [`ClusterSetup::begin_move`].
///
/// Until it is finished the old node serves the keys that it still has and redirects for the others (`ASK`); afterwards for all (`MOVED`).
#[derive(Debug)]
#[must_use = "a move that is not finished stays half done"]
pub struct SlotMove<'a> {
    cluster: &'a ClusterSetup,
    slot: String,
    from: usize,
    to: usize,
}

impl<'a> SlotMove<'a> {
    #[track_caller]
    pub(super) fn begin(cluster: &'a ClusterSetup, slot: u16, from: usize, to: usize) -> Self {
        let slot = slot.to_string();
        let (source, target) = (cluster.node(from), cluster.node(to));
        target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", cluster.id(from)]);
        source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", cluster.id(to)]);
        Self { cluster, slot, from, to }
    }

    /// Moves the keys that the slot has now.
    #[track_caller]
    pub fn move_keys(&self) {
        let source = self.cluster.node(self.from);
        let port = self.cluster.node(self.to).port().to_string();
        loop {
            let keys: Vec<String> = source.query(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "100"]);
            if keys.is_empty() {
                return;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
            migrate.extend(source.password().into_iter().flat_map(|password| ["AUTH", password]));
            migrate.push("KEYS");
            migrate.extend(keys.iter().map(String::as_str));
            // A key that expires meanwhile is no failure: the server then says NOKEY.
            source.command(&migrate);
        }
    }

    /// Gives the slot to the new node and tells all masters.
    ///
    /// # Panics
    ///
    /// When keys are left on the old node.
    #[track_caller]
    pub fn finish(self) {
        let Self { cluster, slot, from, to } = self;
        let assign = ["CLUSTER", "SETSLOT", &slot, "NODE", cluster.id(to)];
        // The new node first, so that at no time both redirect to each other.
        cluster.node(to).command(&assign);
        cluster.node(from).command(&assign);
        cluster.serving_masters().for_each(|master| drop(master.command(&assign)));
    }
}
