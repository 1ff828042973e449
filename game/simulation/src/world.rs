//! Time, the network, and who dies when.

use std::{cmp::Reverse, collections::BinaryHeap};

use starvault_rules::{Clock, Color, Game, GameId, PlayerId, Seat, Setup};

use crate::{
    Mutant,
    client::Client,
    node::{Asked, Node, Out, Tell},
    random::Random,
    store::{Reply, Request, Store, Stored},
    verdict::{Tally, judge},
};

const GAMES: usize = 3;
const NODES: usize = 3;
/// Until then things go wrong, all times in milliseconds.
const HEALED_MS: u64 = 6_000;
/// And then everybody has this long to finish.
const END_MS: u64 = HEALED_MS + 60_000;
/// A node waits for the store, and a player for a node, no longer than this.
const STORE_TIMEOUT_MS: u64 = 250;
const ASK_AGAIN_MS: (u64, u64) = (40, 200);
const COMMIT_MS: (u64, u64) = (1, 12);

#[derive(Debug)]
enum Happening {
    /// A player asks, again or anew.
    Act(usize),
    ToNode(usize, Asked),
    ToClient(usize, Tell),
    ToStore {
        from: Address,
        request: Request,
    },
    FromStore {
        to: Address,
        reply: Reply,
    },
    StoreTimeout(Address),
    /// In this life of the store.
    Commit(u64),
    CrashNode,
    NodeUp(usize),
    CrashStore,
    StoreUp,
    CutOff,
}

/// A question of a node in one of its lives.
#[derive(Clone, Copy, Debug)]
struct Address {
    node: usize,
    life: u64,
    game: usize,
    number: u64,
}

#[derive(Debug)]
struct World {
    now_ms: u64,
    random: Random,
    /// By time, then in the order in which they were planned.
    agenda: BinaryHeap<Reverse<(u64, u64, usize)>>,
    happenings: Vec<Option<Happening>>,
    mutant: Option<Mutant>,
    store: Store,
    store_up: bool,
    store_life: u64,
    /// Answers that leave with the next commit.
    held: Vec<(Address, Reply)>,
    commits: bool,
    nodes: Vec<Node>,
    /// Until when a node and the store do not hear each other.
    cut_off_until_ms: [u64; NODES],
    clients: Vec<Client>,
    crashes: u64,
}

/// One run: the same for the same seed.
#[must_use]
pub fn run(seed: u64, mutant: Option<Mutant>) -> Tally {
    let mut world = World::new(seed, mutant);
    while let Some(Reverse((at_ms, _, index))) = world.agenda.pop() {
        if at_ms > END_MS || world.clients.iter().all(|client| client.done) {
            break;
        }
        world.now_ms = at_ms;
        if let Some(happening) = world.happenings[index].take() {
            world.happen(happening);
        }
    }
    // What a node has in hand and the store has not committed was told to nobody.
    judge(world.crashes, &world.store.durable, &world.clients)
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let marks_first = mutant == Some(Mutant::SetnxThenUpdate);
        let nodes: Vec<Node> = (0..NODES).map(|index| Node::new(index, marks_first)).collect();
        let games = (0..GAMES)
            .filter_map(|game| begin(game, &nodes[game % NODES]))
            .collect();
        let clients = (0..2 * GAMES)
            .map(|n| Client::new(n / 2, Color::BOTH[n % 2], (n / 2) % NODES))
            .collect();
        let mut world = Self {
            now_ms: 0,
            random: Random::new(seed),
            agenda: BinaryHeap::new(),
            happenings: Vec::new(),
            mutant,
            store: Store::new(games, mutant),
            store_up: true,
            store_life: 0,
            held: Vec::new(),
            commits: false,
            nodes,
            cut_off_until_ms: [0; NODES],
            clients,
            crashes: 0,
        };
        for client in 0..2 * GAMES {
            world.later((0, 50), Happening::Act(client));
        }
        world.later((100, 500), Happening::CrashNode);
        world.later((200, 900), Happening::CrashStore);
        world.later((100, 700), Happening::CutOff);
        world
    }

    fn at(&mut self, at_ms: u64, happening: Happening) {
        let index = self.happenings.len();
        self.happenings.push(Some(happening));
        self.agenda.push(Reverse((at_ms, index as u64, index)));
    }

    fn later(&mut self, (low, high): (u64, u64), happening: Happening) {
        let at_ms = self.now_ms + self.random.between(low, high);
        self.at(at_ms, happening);
    }

    fn is_healed(&self) -> bool {
        self.now_ms >= HEALED_MS
    }

    /// When something that is sent now arrives; not at all, or more than once, while things go wrong.
    fn arrivals(&mut self) -> Vec<u64> {
        let mut at_ms = Vec::with_capacity(1);
        let (losses, doubles, late) = if self.is_healed() { (0, 1, 0) } else { (4, 5, 5) };
        if !self.random.percent(losses) {
            at_ms.push(self.now_ms + self.random.between(1, 20));
        }
        if self.random.percent(doubles) {
            at_ms.push(self.now_ms + self.random.between(1, 200));
        }
        if self.random.percent(late) {
            at_ms.push(self.now_ms + self.random.between(300, 2_500));
        }
        at_ms
    }

    fn do_all(&mut self, node: usize, game: usize, out: Vec<Out>) {
        for one in out {
            match one {
                Out::Tell(client, tell) => {
                    for at_ms in self.arrivals() {
                        self.at(at_ms, Happening::ToClient(client, tell.clone()));
                    }
                }
                Out::Store(number, request) => {
                    let life = self.nodes[node].life;
                    let from = Address {
                        node,
                        life,
                        game,
                        number,
                    };
                    for at_ms in self.arrivals() {
                        let request = request.clone();
                        self.at(at_ms, Happening::ToStore { from, request });
                    }
                    self.at(self.now_ms + STORE_TIMEOUT_MS, Happening::StoreTimeout(from));
                }
            }
        }
    }

    fn is_alive(&self, address: Address) -> bool {
        let node = &self.nodes[address.node];
        node.up && node.life == address.life
    }

    fn is_cut_off(&self, node: usize) -> bool {
        self.now_ms < self.cut_off_until_ms[node]
    }

    fn now(&self) -> i64 {
        i64::try_from(self.now_ms).unwrap_or(i64::MAX)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Act(client) => self.act(client),
            Happening::ToNode(node, asked) => {
                if self.nodes[node].up {
                    let (game, now) = (asked.game, self.now());
                    let out = self.nodes[node].on_asked(asked, now);
                    self.do_all(node, game, out);
                }
            }
            Happening::ToClient(client, tell) => {
                if self.clients[client].on_tell(tell, &mut self.random) {
                    self.ask(client);
                }
            }
            Happening::ToStore { from, request } => self.on_request(from, request),
            Happening::FromStore { to, reply } => {
                if self.is_alive(to) && !self.is_cut_off(to.node) {
                    let now = self.now();
                    let out = self.nodes[to.node].on_reply(to.game, to.number, reply, now);
                    self.do_all(to.node, to.game, out);
                }
            }
            Happening::StoreTimeout(address) => {
                if self.is_alive(address) {
                    let out = self.nodes[address.node].on_timeout(address.game, address.number);
                    self.do_all(address.node, address.game, out);
                }
            }
            Happening::Commit(life) => {
                if self.store_up && life == self.store_life {
                    self.commits = false;
                    self.store.commit();
                    for (to, reply) in std::mem::take(&mut self.held) {
                        self.reply(to, &reply);
                    }
                }
            }
            Happening::CrashNode if !self.is_healed() => {
                let node = self.random.below(NODES);
                if self.nodes[node].up {
                    self.crashes += 1;
                    self.nodes[node].crash();
                    self.later((20, 400), Happening::NodeUp(node));
                }
                self.later((100, 600), Happening::CrashNode);
            }
            Happening::NodeUp(node) => self.nodes[node].up = true,
            Happening::CrashStore if !self.is_healed() => {
                self.crashes += 1;
                self.store.crash();
                self.store_up = false;
                self.store_life += 1;
                self.commits = false;
                self.held.clear();
                self.later((10, 200), Happening::StoreUp);
                self.later((200, 1_200), Happening::CrashStore);
            }
            Happening::StoreUp => self.store_up = true,
            Happening::CutOff if !self.is_healed() => {
                let node = self.random.below(NODES);
                self.cut_off_until_ms[node] = self.now_ms + self.random.between(50, 900);
                self.later((200, 1_000), Happening::CutOff);
            }
            Happening::CrashNode | Happening::CrashStore | Happening::CutOff => {}
        }
    }

    fn act(&mut self, client: usize) {
        if self.clients[client].done {
            return;
        }
        // Sometimes a player comes back over another node.
        if self.random.percent(15) && !self.is_healed() {
            self.clients[client].node = self.random.below(NODES);
        }
        self.ask(client);
        self.later(ASK_AGAIN_MS, Happening::Act(client));
    }

    fn ask(&mut self, client: usize) {
        let Client {
            game, color, node, ..
        } = self.clients[client];
        let asked = Asked {
            client,
            game,
            color,
            ask: self.clients[client].asks(),
        };
        for at_ms in self.arrivals() {
            self.at(at_ms, Happening::ToNode(node, asked.clone()));
        }
    }

    fn on_request(&mut self, from: Address, request: Request) {
        if !self.store_up || self.is_cut_off(from.node) {
            return;
        }
        let reply = self.store.carry_out(request);
        if self.mutant == Some(Mutant::AckBeforeCommit) {
            self.reply(from, &reply);
        } else {
            self.held.push((from, reply));
        }
        if !self.commits {
            self.commits = true;
            self.later(COMMIT_MS, Happening::Commit(self.store_life));
        }
    }

    fn reply(&mut self, to: Address, reply: &Reply) {
        for at_ms in self.arrivals() {
            let reply = reply.clone();
            self.at(at_ms, Happening::FromStore { to, reply });
        }
    }
}

/// A game between two players that nobody else plays, begun by `node`.
fn begin(game: usize, node: &Node) -> Option<Stored> {
    let game_id = GameId::new(format!("g{game}")).ok()?;
    let seat = |side: &str| {
        Some(Seat {
            player_id: PlayerId::new(format!("{side}{game}")).ok()?,
            name: side.to_owned(),
            rating: 1500,
        })
    };
    let (white, black) = (seat("w")?, seat("b")?);
    let players = [white.player_id.clone(), black.player_id.clone()];
    let setup = Setup {
        game_id: game_id.clone(),
        white,
        black,
        clock: Clock {
            initial_ms: 600_000,
            increment_ms: 0,
        },
        started_at_ms: 0,
    };
    let (_, started) = Game::new(setup).ok()?;
    Some(Stored::new(game_id, players, node.owner(), started))
}
