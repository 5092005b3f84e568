//! A Redis Cluster.

use std::{ops::Range, time::Duration};

use super::{RedisServer, RedisServerBuilder, options::Kind, slot_move::SlotMove};
use crate::wait;

const SLOTS: usize = 16_384;

/// How long the nodes may take to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster whose slots are spread evenly over its masters; dropping it stops all nodes.
///
/// Nodes are numbered: the masters it was started with come first, then their replicas, in the same order.
#[derive(Debug)]
pub struct ClusterSetup {
    nodes: Vec<RedisServer>,
    ids: Vec<String>,
    masters: usize,
}

impl ClusterSetup {
    /// Starts three masters.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(RedisServer::builder(), 3, 0)
    }

    /// Starts three masters with one replica each, so that one can [`fail_over`](Self::fail_over).
    #[track_caller]
    pub fn start_with_replicas() -> Self {
        Self::start_with(RedisServer::builder(), 3, 1)
    }

    /// Starts `masters` nodes with `replicas` replicas each, all with the same options.
    ///
    /// # Panics
    ///
    /// When the nodes do not come up and agree within half a minute.
    #[track_caller]
    pub fn start_with(options: RedisServerBuilder, masters: usize, replicas: usize) -> Self {
        let options = options
            .of_kind(Kind::ClusterNode)
            .config("cluster-node-timeout", "2000")
            // Without these a master that nobody ever copied from has no replica fit to replace it.
            .config("cluster-replica-validity-factor", "0")
            .config("repl-ping-replica-period", "1");
        let nodes = options.start_many(masters * (1 + replicas));
        let ids = nodes.iter().map(|node| node.command(&["CLUSTER", "MYID"])).collect();
        let cluster = Self { nodes, ids, masters };
        cluster.assign_slots();
        cluster.introduce();
        cluster.attach_replicas();
        cluster.wait_until_agreed();
        cluster
    }

    /// The addresses of all nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The addresses of all nodes over TLS.
    ///
    /// # Panics
    ///
    /// When they were started without it.
    #[track_caller]
    pub fn tls_urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::tls_url).collect()
    }

    /// A node by its number.
    pub fn node(&self, number: usize) -> &RedisServer {
        &self.nodes[number]
    }

    /// A node by its number, to be killed and started again.
    pub fn node_mut(&mut self, number: usize) -> &mut RedisServer {
        &mut self.nodes[number]
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The slot of a key.
    #[track_caller]
    pub fn slot_of(&self, key: &str) -> u16 {
        self.answering().query(&["CLUSTER", "KEYSLOT", key])
    }

    /// The number of the node that serves a slot.
    ///
    /// # Panics
    ///
    /// When no running node serves it.
    #[track_caller]
    pub fn owner_of(&self, slot: u16) -> usize {
        let owner = (0..self.nodes.len()).find(|&number| self.serves(number, slot));
        owner.unwrap_or_else(|| panic!("no node serves slot {slot}"))
    }

    /// Moves a slot and its keys to another node, as a rebalancing does. Clients are redirected meanwhile.
    #[track_caller]
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let slot_move = self.begin_move(slot, from, to);
        slot_move.move_keys();
        slot_move.finish();
    }

    /// Begins to move a slot, and leaves it at that: its keys are still where they were, and what is not there is asked for at the new node.
    ///
    /// # Panics
    ///
    /// When `from` does not serve the slot.
    #[track_caller]
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) -> SlotMove<'_> {
        assert!(self.serves(from, slot), "node {from} does not serve slot {slot}");
        SlotMove::begin(self, slot, from, to)
    }

    /// Kills the master that serves a slot and waits until its replica has replaced it; the number of the killed node.
    ///
    /// # Panics
    ///
    /// When nobody replaces it, as in a cluster without replicas.
    #[track_caller]
    pub fn fail_over(&mut self, slot: u16) -> usize {
        let master = self.owner_of(slot);
        self.nodes[master].kill();
        let what = format!("a replica serves slot {slot}");
        wait::until(&what, PATIENCE, || {
            (0..self.nodes.len()).any(|number| number != master && self.serves(number, slot))
                && self.running().all(is_ok)
        });
        master
    }

    pub(super) fn id(&self, number: usize) -> &str {
        &self.ids[number]
    }

    /// The nodes that answer and are masters at the moment.
    pub(super) fn serving_masters(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.role() == "master")
    }

    fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.try_query::<String>(&["PING"]).is_ok())
    }

    #[track_caller]
    fn answering(&self) -> &RedisServer {
        self.running().next().expect("a node of the cluster is running")
    }

    fn serves(&self, number: usize, slot: u16) -> bool {
        let Ok(nodes) = self.nodes[number].try_query::<String>(&["CLUSTER", "NODES"]) else {
            return false;
        };
        let own = nodes.lines().find(|line| line.contains("myself"));
        own.is_some_and(|line| slot_ranges(line).any(|range| range.contains(&usize::from(slot))))
    }

    #[track_caller]
    fn assign_slots(&self) {
        for (number, node) in self.nodes[..self.masters].iter().enumerate() {
            let Range { start, end } = share(number, self.masters);
            let (start, last) = (start.to_string(), (end - 1).to_string());
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &start, &last]);
            // Different epochs, so that no two nodes have to settle who is right.
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
    }

    #[track_caller]
    fn introduce(&self) {
        for node in &self.nodes[1..] {
            let (port, bus) = (node.peer_port().to_string(), node.bus_port().to_string());
            self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let all = self.nodes.len();
        wait::until("all nodes know each other", PATIENCE, || {
            let knows_all = |node: &RedisServer| {
                let nodes: String = node.try_query(&["CLUSTER", "NODES"]).unwrap_or_default();
                nodes.lines().filter(|line| !line.contains("handshake")).count() == all
            };
            self.nodes.iter().all(knows_all)
        });
    }

    #[track_caller]
    fn attach_replicas(&self) {
        for (number, node) in self.nodes.iter().enumerate().skip(self.masters) {
            node.command(&["CLUSTER", "REPLICATE", self.id(number % self.masters)]);
        }
        wait::until("all replicas are up to date", PATIENCE, || {
            self.nodes[self.masters..].iter().all(|node| {
                let replication = node.info("replication");
                replication.get("master_link_status").is_some_and(|status| status == "up")
            })
        });
    }

    /// Every node must know the owner of every slot, and every replica, or a client that asks it would not.
    #[track_caller]
    fn wait_until_agreed(&self) {
        let replicas = self.nodes.len() - self.masters;
        wait::until("the cluster is ok", PATIENCE, || {
            self.nodes.iter().all(|node| {
                let nodes: String = node.try_query(&["CLUSTER", "NODES"]).unwrap_or_default();
                let slots: usize =
                    nodes.lines().flat_map(slot_ranges).map(|range| range.len()).sum();
                let slaves = nodes.lines().filter(|line| line.contains("slave")).count();
                is_ok(node) && slots == SLOTS && slaves == replicas
            })
        });
    }
}

fn is_ok(node: &RedisServer) -> bool {
    let info: String = node.try_query(&["CLUSTER", "INFO"]).unwrap_or_default();
    info.contains("cluster_state:ok")
}

/// The slots that the master with this number starts with.
fn share(number: usize, masters: usize) -> Range<usize> {
    number * SLOTS / masters..(number + 1) * SLOTS / masters
}

/// The slots in a line of `CLUSTER NODES`, without those that are being moved.
fn slot_ranges(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.split(' ').skip(8).filter(|field| !field.starts_with('[')).filter_map(|field| {
        let (first, last) = field.split_once('-').unwrap_or((field, field));
        Some(first.parse().ok()?..last.parse::<usize>().ok()? + 1)
    })
}
