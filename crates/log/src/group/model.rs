//! Groups under random members: they join, leave, die, sleep, come back, commit; the log stores
//! late, or fails. Each run comes from a seed that is printed when a promise is broken.
//!
//! The promises: a partition has one owner in a generation; generations rise; a commit counts only
//! from a member of the present generation; when the members settle down, all of them work, in one
//! generation, and share out everything; bytes and timers are counted rightly.
#![allow(clippy::unwrap_used)]

use super::error::GroupError;
use super::machine::{GroupState, Store};
use super::member::{Identity, Join, JoinAnswer, Joined, MemberId, Protocol, Sync, SyncAnswer};
use super::registry::{Now, Registry};
use super::settings::GroupSettings;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

const RUNS: u64 = 600;
const STEPS: usize = 250;
const PARTITIONS: u8 = 7;
const CLIENTS_MAX: usize = 6;
const SESSION_MS: u64 = 10_000;
const REBALANCE_MS: u64 = 30_000;

/// What a client is doing.
enum Doing {
    /// It has no part in the group, or has to join again.
    Nothing,
    Joining(oneshot::Receiver<JoinAnswer>),
    Joined(Joined),
    Syncing(Joined, u64, oneshot::Receiver<SyncAnswer>),
    Working {
        generation: i32,
        partitions: Vec<u8>,
    },
}

struct Client {
    /// Its name in the promises: a static member keeps it over its lives.
    name: String,
    id: MemberId,
    instance: Option<Arc<str>>,
    generation: i32,
    doing: Doing,
    /// It sends nothing until then.
    asleep_until: u64,
}

#[derive(Default)]
struct Tally {
    generations: u64,
    commits: u64,
    refused_commits: u64,
    fenced: u64,
    failed_stores: u64,
    expired: u64,
}

struct Run {
    random: StdRng,
    registry: Registry,
    group: Arc<str>,
    now_ms: u64,
    clients: Vec<Client>,
    to_store: VecDeque<Store>,
    born: usize,
    /// A group that was never stored is forgotten with its last member, and begins anew.
    incarnation: u64,
    /// Who owns what, by incarnation and generation.
    owners: BTreeMap<(u64, i32, u8), String>,
    generation: i32,
    tally: Tally,
    calm: bool,
}

#[test]
fn whatever_members_do_each_generation_shares_out_the_work_and_nobody_is_stuck() {
    let only = std::env::var("TRADEWIND_SEED").map(|seed| seed.parse::<u64>().unwrap());
    let seeds = only.map_or(0..RUNS, |seed| seed..seed + 1);
    let one = seeds.clone().count() == 1;
    let mut all = Tally::default();
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| Run::new(seed).whole());
        let tally = outcome.unwrap_or_else(|_| panic!("TRADEWIND_SEED={seed}"));
        all.generations += tally.generations;
        all.commits += tally.commits;
        all.refused_commits += tally.refused_commits;
        all.fenced += tally.fenced;
        all.failed_stores += tally.failed_stores;
        all.expired += tally.expired;
    }
    // The simulation is worth its name.
    assert!(one || all.generations > 5 * RUNS, "{}", all.generations);
    assert!(one || all.commits > RUNS && all.refused_commits > RUNS / 2);
    assert!(one || all.fenced > RUNS / 20 && all.failed_stores > RUNS / 20);
    assert!(one || all.expired > RUNS / 2);
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            registry: Registry::new(GroupSettings::default()),
            group: "g".into(),
            now_ms: 1,
            clients: Vec::new(),
            to_store: VecDeque::new(),
            born: 0,
            incarnation: 0,
            owners: BTreeMap::new(),
            generation: 0,
            tally: Tally::default(),
            calm: false,
        }
    }

    fn whole(mut self) -> Tally {
        for _ in 0..STEPS {
            self.step();
        }
        self.settle();
        self.tally
    }

    fn now(&self) -> Now {
        Now { steady_ms: self.now_ms, wall_ms: self.now_ms as i64 }
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..8 => self.be_born(),
            8..12 => self.die(),
            12..15 => self.leave(),
            15..18 => self.restart_static(),
            18..22 => self.fall_asleep(),
            22..35 => self.commit(),
            35..55 => self.pass(),
            55..70 => self.store_one(),
            _ => self.act(),
        }
        self.check();
    }

    fn be_born(&mut self) {
        if self.clients.len() >= CLIENTS_MAX {
            return;
        }
        self.born += 1;
        let name = format!("c{}", self.born);
        let instance = self.random.random_bool(0.3).then(|| Arc::from(format!("i{}", self.born)));
        self.clients.push(Client::new(name, instance));
    }

    fn any(&mut self) -> Option<usize> {
        let count = self.clients.len();
        (count > 0).then(|| self.random.random_range(0..count))
    }

    /// Goes without a word: its channels are dropped.
    fn die(&mut self) {
        if let Some(at) = self.any() {
            self.clients.remove(at);
        }
    }

    fn leave(&mut self) {
        let Some(at) = self.any() else { return };
        let client = self.clients.remove(at);
        let who = client.identity();
        let (group, now) = (Arc::clone(&self.group), self.now());
        let left = self.registry.step(&group, now, |it, context| it.leave(&[who], context));
        self.to_store.extend(left.map(|(_, stores)| stores).unwrap_or_default());
    }

    /// A static member's process starts anew, without its id; sometimes the old one lives on.
    fn restart_static(&mut self) {
        let Some(at) = self.any() else { return };
        let Some(instance) = self.clients[at].instance.clone() else { return };
        let name = self.clients[at].name.clone();
        if self.random.random_bool(0.7) {
            self.clients.remove(at);
        }
        self.clients.push(Client::new(name, Some(instance)));
    }

    fn fall_asleep(&mut self) {
        let until = self.now_ms + self.random.random_range(0..3 * SESSION_MS);
        if let Some(at) = self.any() {
            self.clients[at].asleep_until = until;
        }
    }

    /// A commit counts exactly when it comes from a member of the present generation.
    fn commit(&mut self) {
        let Some(at) = self.any() else { return };
        let who = self.clients[at].identity();
        if who.generation < 0 {
            return;
        }
        let now = self.now();
        let group = Arc::clone(&self.group);
        let result = self.registry.step(&group, now, |it, _| {
            let result = it.check_commit(&who, false);
            let present = it.members.contains_key(&who.member_id)
                && it.generation == who.generation
                && it.state != GroupState::CompletingRebalance;
            assert_eq!(result.is_ok(), present, "{result:?}");
            result
        });
        match result {
            Some((Ok(()), _)) => self.tally.commits += 1,
            _ => self.tally.refused_commits += 1,
        }
    }

    fn pass(&mut self) {
        let most = if self.random.random_bool(0.1) { REBALANCE_MS } else { 2_000 };
        self.now_ms += self.random.random_range(0..most);
        self.tick();
    }

    fn tick(&mut self) {
        let members = |registry: &Registry| registry.get("g").map_or(0, |g| g.members.len());
        let before = members(&self.registry);
        let stores = self.registry.tick(self.now());
        self.tally.expired += before.saturating_sub(members(&self.registry)) as u64;
        self.to_store.extend(stores.into_iter().map(|(_, store)| store));
    }

    /// The log stores the oldest record, or fails to.
    fn store_one(&mut self) {
        let Some(Store { then, .. }) = self.to_store.pop_front() else { return };
        let fails = !self.calm && self.random.random_bool(0.05);
        self.tally.failed_stores += u64::from(fails);
        let result = if fails { Err(GroupError::NotAvailable) } else { Ok(()) };
        let (group, now) = (Arc::clone(&self.group), self.now());
        let stored =
            self.registry.step(&group, now, |it, context| it.after_store(then, result, context));
        self.to_store.extend(stored.map(|(_, stores)| stores).unwrap_or_default());
    }

    /// A client does what a client does.
    fn act(&mut self) {
        let Some(at) = self.any() else { return };
        if self.clients[at].asleep_until > self.now_ms {
            return;
        }
        match std::mem::replace(&mut self.clients[at].doing, Doing::Nothing) {
            Doing::Nothing => self.join(at),
            Doing::Joining(answer) => self.hear_join(at, answer),
            Doing::Joined(joined) => self.sync(at, joined),
            Doing::Syncing(joined, incarnation, answer) => {
                self.hear_sync(at, joined, incarnation, answer);
            }
            Doing::Working { generation, partitions } => {
                self.clients[at].doing = Doing::Working { generation, partitions };
                self.heartbeat(at);
            }
        }
    }

    fn join(&mut self, at: usize) {
        self.born += 1;
        let client = &self.clients[at];
        let join = Join {
            member_id: Arc::clone(&client.id),
            fresh_id: format!("{}-{}", client.name, self.born).into(),
            instance: client.instance.clone(),
            client_id: "c".into(),
            client_host: "/h".into(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: "consumer".into(),
            protocols: vec![Protocol { name: "p".into(), metadata: Bytes::new() }],
            asks_for_id: self.born.is_multiple_of(2),
            may_skip_assignment: self.born.is_multiple_of(3),
        };
        let (waiter, answer) = oneshot::channel();
        let (group, now) = (Arc::clone(&self.group), self.now());
        let stepped = if join.member_id.is_empty() {
            let made = self.registry.step_or_make(&group, now, |it, context| {
                it.join(&join, waiter, context);
            });
            made.unwrap().1
        } else {
            match self.registry.step(&group, now, |it, c| it.join(&join, waiter, c)) {
                Some(((), stores)) => stores,
                None => {
                    self.clients[at].id = "".into();
                    return;
                }
            }
        };
        self.to_store.extend(stepped);
        self.clients[at].doing = Doing::Joining(answer);
    }

    fn hear_join(&mut self, at: usize, mut answer: oneshot::Receiver<JoinAnswer>) {
        let client = &mut self.clients[at];
        match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => client.doing = Doing::Joining(answer),
            Err(oneshot::error::TryRecvError::Closed) => {}
            Ok(Ok(joined)) => {
                client.id = Arc::clone(&joined.member_id);
                client.generation = joined.generation;
                client.doing = Doing::Joined(joined);
            }
            Ok(Err((GroupError::MemberIdRequired, id))) => client.id = id,
            Ok(Err((error, _))) => self.refused(at, error),
        }
    }

    fn refused(&mut self, at: usize, error: GroupError) {
        match error {
            GroupError::UnknownMember => {
                self.clients[at].id = "".into();
                self.clients[at].generation = -1;
            }
            GroupError::FencedInstance => {
                self.tally.fenced += 1;
                self.clients.remove(at);
            }
            // What remains is answered by joining again.
            _ => {}
        }
    }

    fn sync(&mut self, at: usize, joined: Joined) {
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let count = joined.members.len();
        let assignments = joined.members.iter().enumerate().filter(|_| leads).map(|(n, member)| {
            let mine = (0..PARTITIONS).filter(|partition| *partition as usize % count == n);
            (Arc::clone(&member.member_id), Bytes::from(mine.collect::<Vec<u8>>()))
        });
        let sync = Sync {
            who: self.clients[at].identity(),
            protocol_type: Some("consumer".into()),
            protocol: Some("p".into()),
            assignments: assignments.collect(),
        };
        let (waiter, answer) = oneshot::channel();
        let (group, now) = (Arc::clone(&self.group), self.now());
        let stepped = self.registry.step(&group, now, |it, context| it.sync(sync, waiter, context));
        match stepped {
            Some(((), stores)) => {
                self.to_store.extend(stores);
                self.clients[at].doing = Doing::Syncing(joined, self.incarnation, answer);
            }
            None => self.refused(at, GroupError::UnknownMember),
        }
    }

    fn hear_sync(
        &mut self,
        at: usize,
        joined: Joined,
        incarnation: u64,
        mut answer: oneshot::Receiver<SyncAnswer>,
    ) {
        match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => {
                self.clients[at].doing = Doing::Syncing(joined, incarnation, answer);
            }
            Err(oneshot::error::TryRecvError::Closed) => {}
            Ok(Err(error)) => self.refused(at, error),
            Ok(Ok(synced)) => {
                let partitions = synced.assignment.to_vec();
                let name = self.clients[at].name.clone();
                for partition in &partitions {
                    let place = (incarnation, joined.generation, *partition);
                    let owner = self.owners.entry(place).or_insert_with(|| name.clone());
                    assert_eq!(*owner, name, "partition {partition} has two owners");
                }
                let generation = joined.generation;
                self.clients[at].doing = Doing::Working { generation, partitions };
            }
        }
    }

    fn heartbeat(&mut self, at: usize) {
        let who = self.clients[at].identity();
        let (group, now) = (Arc::clone(&self.group), self.now());
        let beat = self.registry.step(&group, now, |it, context| it.heartbeat(&who, context));
        let beat = beat.map_or(Err(GroupError::UnknownMember), |(beat, _)| beat);
        if let Err(error) = beat {
            self.clients[at].doing = Doing::Nothing;
            self.refused(at, error);
        }
    }

    /// What holds after every step.
    fn check(&mut self) {
        self.registry.check();
        let Some(group) = self.registry.get("g") else {
            self.incarnation += 1;
            self.generation = 0;
            return;
        };
        assert!(group.generation >= self.generation, "generations rise");
        self.tally.generations += u64::from(group.generation > self.generation);
        self.generation = group.generation;
        let ids: BTreeSet<_> = group.static_members.values().collect();
        assert_eq!(ids.len(), group.static_members.len());
        assert!(ids.iter().all(|id| group.members.contains_key(*id)));
        assert!(group.leader.as_ref().is_none_or(|leader| group.members.contains_key(leader)));
        assert!(group.members.values().all(|member| {
            // Whoever does not wait for us is waited for.
            member.deadline_ms.is_some() || member.joining.is_some() || member.syncing.is_some()
        }));
    }

    /// Nobody comes or goes any more: everybody must get to work.
    fn settle(&mut self) {
        self.calm = true;
        for client in &mut self.clients {
            client.asleep_until = 0;
        }
        // Of two processes under one name the newer one stays.
        let mut seen = BTreeSet::new();
        let mut kept: Vec<Client> = std::mem::take(&mut self.clients);
        kept.reverse();
        kept.retain(|client| seen.insert(client.name.clone()));
        self.clients = kept;
        for _ in 0..300 {
            for _ in 0..=4 * self.clients.len() {
                self.act();
                self.store_one();
            }
            self.now_ms += 500;
            self.tick();
            self.check();
        }
        let mut owned = BTreeMap::new();
        let group = self.registry.get("g");
        for client in &self.clients {
            let Doing::Working { generation, partitions } = &client.doing else {
                panic!("{} does not work, group is {:?}", client.name, group);
            };
            assert_eq!(*generation, group.unwrap().generation, "all in one generation");
            owned.extend(partitions.iter().map(|partition| (*partition, &client.name)));
        }
        if let Some(group) = group {
            assert_eq!(group.members.len(), self.clients.len(), "the dead are gone");
            let all = if self.clients.is_empty() { 0 } else { PARTITIONS as usize };
            assert_eq!(owned.len(), all, "all is shared out: {owned:?}");
        }
    }
}

impl Client {
    fn new(name: String, instance: Option<Arc<str>>) -> Self {
        let doing = Doing::Nothing;
        Self { name, id: "".into(), instance, generation: -1, doing, asleep_until: 0 }
    }

    fn identity(&self) -> Identity {
        Identity {
            member_id: Arc::clone(&self.id),
            instance: self.instance.clone(),
            generation: self.generation,
        }
    }
}
