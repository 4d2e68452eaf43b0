//! A cluster: each command goes to the node that serves its name, and after it when that has moved.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout_at;

use super::batch::{Batch, Verb, Word};
use super::connection::Settings;
use super::link::{Link, Target};
use super::reply::Reply;
use super::{fault, first, slots};
use crate::{Deadline, Error, Server};

/// The nodes of a cluster, as far as we know them.
pub(super) struct Cluster {
    seeds: Vec<Server>,
    settings: Arc<Settings>,
    map: Mutex<Map>,
    /// Held while nodes are asked for the map.
    asking: tokio::sync::Mutex<()>,
    turn: AtomicUsize,
}

struct Map {
    nodes: HashMap<String, Arc<Node>>,
    slots: Vec<Option<Arc<Node>>>,
    learned: Option<Instant>,
}

struct Node {
    server: Server,
    link: Arc<Link>,
}

/// How often one command follows the cluster's changes.
const ROUNDS: usize = 6;

/// A map of this age is not asked for again.
const FRESH: Duration = Duration::from_millis(100);

/// A command that has no answer yet.
struct Errand {
    index: usize,
    slot: usize,
    /// Where the name is moving to, and the command must go this time.
    asks: Option<Arc<Node>>,
    /// It was told to come back once.
    came_back: bool,
}

/// What to do after an answer.
enum Verdict {
    Final,
    /// Go where the map or the errand says now.
    Follow,
    /// The map may be old; go when it says something else.
    Elsewhere(Option<Arc<Node>>),
    /// Come back once.
    ComeBack,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Server>, settings: Arc<Settings>) -> Self {
        let map = Map {
            nodes: HashMap::new(),
            slots: vec![None; slots::COUNT],
            learned: None,
        };
        Self {
            seeds,
            settings,
            map: Mutex::new(map),
            asking: tokio::sync::Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// A reply to each command. Ends by the deadline.
    pub(super) async fn run(
        &self,
        commands: &Batch,
        deadline: Deadline,
    ) -> Vec<Result<Reply, Error>> {
        let mut replies = vec![Err(Error::Timeout); commands.len()];
        if !self.is_known() {
            if let Err(error) = self.learn(deadline).await {
                return vec![Err(error); commands.len()];
            }
        }
        let errand = |index| Errand::new(index, commands);
        let mut errands: Vec<Errand> = (0..commands.len()).map(errand).collect();
        for _ in 0..ROUNDS {
            let answers = self.round(commands, errands, deadline).await;
            errands = self.follow(answers, &mut replies, deadline).await;
            if errands.is_empty() || deadline.is_over() {
                break;
            }
        }
        replies
    }

    /// Sends all errands to their nodes, side by side.
    async fn round(
        &self,
        commands: &Batch,
        errands: Vec<Errand>,
        deadline: Deadline,
    ) -> Vec<Answered> {
        let mut groups: Vec<(Option<Arc<Node>>, Vec<Errand>)> = Vec::new();
        for errand in errands {
            let node = errand.asks.clone().or_else(|| self.node_of(errand.slot));
            match groups.iter_mut().find(|(other, _)| is_same(other, &node)) {
                Some((_, group)) => group.push(errand),
                None => groups.push((node, vec![errand])),
            }
        }
        let answers = groups
            .into_iter()
            .map(|(node, group)| visit(node, commands, group, deadline));
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Keeps the replies, and answers with the errands that have none yet.
    async fn follow(
        &self,
        answers: Vec<Answered>,
        replies: &mut [Result<Reply, Error>],
        deadline: Deadline,
    ) -> Vec<Errand> {
        let mut next = Vec::new();
        let mut map_is_old = false;
        for mut answer in answers {
            let verdict = self.judge(&mut answer);
            map_is_old |= !matches!(verdict, Verdict::Final) && answer.errand.asks.is_none();
            replies[answer.errand.index] = answer.reply;
            next.push((answer.errand, verdict));
        }
        if map_is_old {
            // When nobody can tell, the replies we have are the answer.
            let _ = self.learn(deadline).await;
        }
        let goes_on = |(errand, verdict): (Errand, Verdict)| match verdict {
            Verdict::Final => None,
            Verdict::Follow | Verdict::ComeBack => Some(errand),
            Verdict::Elsewhere(node) => {
                (!is_same(&node, &self.node_of(errand.slot))).then_some(errand)
            }
        };
        next.into_iter().filter_map(goes_on).collect()
    }

    fn judge(&self, answer: &mut Answered) -> Verdict {
        answer.errand.asks = None;
        let error = match &answer.reply {
            Ok(Reply::Error(error)) => error,
            Ok(_) => return Verdict::Final,
            Err(_) => return Verdict::Elsewhere(answer.node.clone()),
        };
        let target = || {
            let asked = &answer.node.as_ref()?.server;
            slots::redirection(error.details()?, asked)
        };
        match error.code() {
            "MOVED" => match target() {
                Some(server) => self.has_moved(answer.errand.slot, &server),
                None => return Verdict::Elsewhere(answer.node.clone()),
            },
            "ASK" => match target() {
                Some(server) => answer.errand.asks = Some(self.node(&server)),
                None => return Verdict::Final,
            },
            "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" if !answer.errand.came_back => {
                answer.errand.came_back = true;
                return Verdict::ComeBack;
            }
            _ => return Verdict::Final,
        }
        Verdict::Follow
    }

    /// Asks the nodes who serves what, those first to whom there is a connection, each time another one of them: one may have
    /// an old map.
    async fn learn(&self, deadline: Deadline) -> Result<(), Error> {
        let Ok(_alone) = timeout_at(deadline.instant().into(), self.asking.lock()).await else {
            return Err(Error::Timeout);
        };
        let learned = self.lock().learned;
        if learned.is_some_and(|learned| learned.elapsed() < FRESH) {
            return Ok(());
        }
        let nodes = self.nodes();
        let mut result = Err(Error::Unavailable("no node can be reached".to_owned()));
        for (nth, node) in nodes.iter().enumerate() {
            let others = u32::try_from(nodes.len() - nth).unwrap_or(u32::MAX);
            let share = Deadline::after(deadline.left() / others);
            match node.slots(share).await {
                Ok(ranges) => {
                    self.install(ranges);
                    return Ok(());
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn install(&self, ranges: Vec<slots::Range>) {
        let mut map = self.lock();
        let mut old = std::mem::take(&mut map.nodes);
        map.slots.fill(None);
        for range in ranges {
            let name = range.master.to_string();
            let kept = map.nodes.get(&name).cloned().or_else(|| old.remove(&name));
            let node = kept.unwrap_or_else(|| self.new_node(&range.master));
            map.nodes.insert(name, node.clone());
            map.slots[range.first..=range.last].fill(Some(node));
        }
        for seed in &self.seeds {
            let name = seed.to_string();
            if let Some(node) = old.remove(&name) {
                map.nodes.entry(name).or_insert(node);
            }
        }
        map.learned = Some(Instant::now());
    }

    fn is_known(&self) -> bool {
        self.lock().learned.is_some()
    }

    fn node_of(&self, slot: usize) -> Option<Arc<Node>> {
        self.lock().slots.get(slot).cloned().flatten()
    }

    fn has_moved(&self, slot: usize, server: &Server) {
        let node = self.node(server);
        if let Some(entry) = self.lock().slots.get_mut(slot) {
            *entry = Some(node);
        }
    }

    fn node(&self, server: &Server) -> Arc<Node> {
        let mut map = self.lock();
        let node = map.nodes.entry(server.to_string());
        node.or_insert_with(|| self.new_node(server)).clone()
    }

    fn new_node(&self, server: &Server) -> Arc<Node> {
        let target = Target::Server(server.clone());
        Arc::new(Node {
            server: server.clone(),
            link: Arc::new(Link::new(target, self.settings.clone())),
        })
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        for seed in &self.seeds {
            self.node(seed);
        }
        let mut nodes: Vec<_> = self.lock().nodes.values().cloned().collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        nodes.rotate_left(turn);
        nodes.sort_by_key(|node| !node.link.is_open());
        nodes
    }

    /// What a panic left behind is still a map.
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Errand {
    fn new(index: usize, commands: &Batch) -> Self {
        Self {
            index,
            slot: slots::slot_of(commands.name(index)),
            asks: None,
            came_back: false,
        }
    }
}

struct Answered {
    errand: Errand,
    node: Option<Arc<Node>>,
    reply: Result<Reply, Error>,
}

fn is_same(one: &Option<Arc<Node>>, other: &Option<Arc<Node>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// Takes errands to a node.
async fn visit(
    node: Option<Arc<Node>>,
    commands: &Batch,
    errands: Vec<Errand>,
    deadline: Deadline,
) -> Vec<Answered> {
    let replies = match &node {
        None => Err(Error::Unavailable(
            "no node of the cluster serves the record".to_owned(),
        )),
        Some(node) => node.run(commands, &errands, deadline).await,
    };
    let mut replies = match replies {
        Ok(replies) => replies.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); errands.len()],
    }
    .into_iter();
    let answered = errands.into_iter().map(|errand| Answered {
        errand,
        node: node.clone(),
        reply: replies.next().unwrap_or(Err(Error::Timeout)),
    });
    answered.collect()
}

impl Node {
    /// A reply to each errand. One that comes while its name is moving says so by `ASKING`.
    async fn run(
        &self,
        commands: &Batch,
        errands: &[Errand],
        deadline: Deadline,
    ) -> Result<Vec<Reply>, Error> {
        let is_asking = |errand: &Errand| errand.asks.is_some();
        let mut all = Batch::default();
        for errand in errands {
            if is_asking(errand) {
                all.push(Verb::Asking, &[]);
            }
            all.push_of(commands, errand.index);
        }
        let mut replies = self.link.run(&all, deadline).await?.into_iter();
        let own = errands.iter().map(|errand| {
            let skipped = usize::from(is_asking(errand));
            replies.nth(skipped).unwrap_or(Reply::Nil)
        });
        Ok(own.collect())
    }

    async fn slots(&self, deadline: Deadline) -> Result<Vec<slots::Range>, Error> {
        let command = Batch::of(Verb::Cluster, &[Word::Text("SLOTS")]);
        let reply = self.link.run(&command, deadline).await?;
        let unknown = "it does not tell which node serves what: it must be a node of a cluster";
        match fault::answer(first(reply)?) {
            Ok(reply) => slots::ranges(&reply, &self.server)
                .filter(|ranges| !ranges.is_empty())
                .ok_or_else(|| Error::Unavailable(unknown.to_owned())),
            Err(Error::BadReply(_)) => Err(Error::Unavailable(unknown.to_owned())),
            Err(error) => Err(error),
        }
    }
}
