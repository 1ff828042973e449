//! What the leader does, and what everybody does when the leader changes.

use std::sync::{Arc, PoisonError};

use starvault_nodes::{Body, Here, Instance, Leader, Rematched, Returning, Seated, Take, Waiting};
use starvault_rules::GameId;
use starvault_store::{Acquired, Created, Journal as _, Owner};
use tokio::{sync::mpsc, task::JoinSet, time::MissedTickBehavior};

use super::{BEGIN_WITHIN, Beginning, LOOK_EVERY, Nodes, route};
use crate::{app::App, lobby::FromRoom};

/// Players that one message names.
const NAMED_MAX: usize = 200;
/// Games that are taken over in one look, and of them at the same time.
const TAKEN_MAX: usize = 256;
const TAKING_MAX: usize = 16;

/// Follows who leads: makes the lobby here lead or step down, and tells each leader who waits here.
pub(super) async fn follow(app: Arc<App>, nodes: Arc<Nodes>) {
    let mut view = nodes.membership.view();
    let mut current: Option<Leader> = None;
    let mut announced = true;
    loop {
        let leader = view.borrow_and_update().leader.clone();
        if leader != current {
            tracing::info!(leader = ?leader.as_ref().map(|leader| &*leader.instance), "the lobby is led by");
            nodes.leader.send_replace(None);
            if current.as_ref().is_some_and(|former| former.instance == nodes.me) {
                step_down(&app, &nodes).await;
            }
            if leader.as_ref().is_some_and(|leader| leader.instance == nodes.me) {
                lead(&app, &nodes).await;
            }
            nodes
                .leader
                .send_replace(leader.as_ref().map(|leader| leader.instance.clone()));
            announced = leader.is_none();
            current = leader;
        }
        if let (false, Some(leader)) = (announced, &current)
            && nodes.bus.is_heard(&leader.instance)
        {
            announced = true;
            announce(&app, &nodes, &leader.instance).await;
        }
        let again = async {
            if announced {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            () = nodes.announce.notified() => announced = false,
            () = again => {}
        }
    }
}

async fn lead(app: &App, nodes: &Nodes) {
    let tickets = match nodes.tickets.take_over().await {
        Ok(tickets) => tickets,
        Err(error) => {
            tracing::warn!(%error, "the former leader's tickets cannot be read; nodes announce who waits");
            Vec::new()
        }
    };
    tracing::info!(tickets = tickets.len(), "this node leads the lobby");
    app.lobby.lead(tickets).await;
}

async fn step_down(app: &App, nodes: &Nodes) {
    tracing::info!("this node leads the lobby no more");
    let still_waiting = app.lobby.step_down().await;
    // After the last that this lobby has to say about them.
    nodes.tickets.hand_over();
    for waiting in still_waiting {
        if let Some(local) = nodes.locals.get(waiting.session.id.0) {
            local.waits(Some((waiting.region.to_string(), waiting.since_ms)));
        }
    }
}

/// Tells the leader who waits here, and who is here: some may have a ticket from before.
async fn announce(app: &Arc<App>, nodes: &Arc<Nodes>, leader: &Instance) {
    let (waiting, here) = nodes.locals.waiting_and_here();
    if *leader == nodes.me {
        for wait in waiting {
            if let Some(local) = nodes.locals.get(wait.who.session_id) {
                local.waits(None);
                route::rejoin(app, local.session.clone(), wait.region, wait.since_ms).await;
            }
        }
        for who in app.lobby.knows(&here).await {
            if let Some(local) = nodes.locals.get(who.session_id) {
                app.lobby.connected(local.session.clone()).await;
            }
        }
        return;
    }
    for waits in waiting.chunks(NAMED_MAX) {
        let waits = waits.to_vec();
        let _ = nodes.bus.send(leader, Body::Waiting(Waiting { waits }));
    }
    for who in here.chunks(NAMED_MAX) {
        let (who, game_id) = (who.to_vec(), String::new());
        let _ = nodes.bus.send(leader, Body::Here(Here { who, game_id }));
    }
}

/// What games here tell the lobby goes to whoever leads.
pub(super) async fn forward(
    nodes: Arc<Nodes>,
    mut told: mpsc::Receiver<FromRoom>,
    to_lobby: mpsc::Sender<FromRoom>,
) {
    while let Some(told) = told.recv().await {
        if let FromRoom::Rematched(rematched) = &told {
            // Not to be announced to the next leader.
            let here = rematched
                .players
                .iter()
                .filter(|session| session.edge().is_none());
            for local in here.filter_map(|session| nodes.locals.get(session.id.0)) {
                local.waits(None);
            }
        }
        match nodes.leader() {
            Some(leader) if leader != nodes.me => {
                let _ = nodes.bus.send(&leader, nodes.as_message(&told));
            }
            _ => drop(to_lobby.send(told).await),
        }
    }
}

impl Nodes {
    fn as_message(&self, told: &FromRoom) -> Body {
        match told {
            FromRoom::Returning(returning) => {
                let (edge, who) = self.address(&returning.candidate.session);
                Body::Returning(Box::new(Returning {
                    seated: Seated {
                        edge: edge.to_string(),
                        who,
                        region: returning.region.to_string(),
                        enqueued_at_ms: returning.enqueued_at_ms,
                    },
                    display_name: returning.candidate.display_name.clone(),
                    rating: returning.candidate.rating,
                }))
            }
            FromRoom::Rematched(rematched) => {
                let (edges, players) = rematched
                    .players
                    .iter()
                    .map(|session| {
                        let (edge, who) = self.address(session);
                        (edge.to_string(), who)
                    })
                    .unzip();
                Body::Rematched(Box::new(Rematched {
                    edges,
                    players,
                    began_at_ms: rematched.began_at_ms,
                }))
            }
        }
    }
}

/// Looks again and again after games whose node is gone, as long as this node leads.
pub(super) async fn take_over(app: Arc<App>, nodes: Arc<Nodes>) {
    let mut tick = tokio::time::interval(nodes.timing.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        begin_instead_of(&app, &nodes, |beginning| beginning.since.elapsed() > BEGIN_WITHIN);
        let view = nodes.view();
        forget_who_left(&nodes, &view.alive);
        if view.settled && nodes.may_lead() {
            for dead in &view.dead {
                take_over_from(&app, &nodes, dead).await;
            }
        }
    }
}

/// Who said that it goes down and is not alive any more need not be remembered.
fn forget_who_left(nodes: &Nodes, alive: &[Instance]) {
    let mut leaving = nodes.leaving.lock().unwrap_or_else(PoisonError::into_inner);
    if nodes.view().settled {
        leaving.retain(|instance| alive.contains(instance));
    }
}

async fn take_over_from(app: &Arc<App>, nodes: &Nodes, dead: &Instance) {
    let owner = Owner {
        release: nodes.release.clone(),
        instance: dead.to_string(),
    };
    let games = match app.journal.running_games_of(&owner).await {
        Ok(games) => games,
        Err(error) => {
            tracing::error!(%error, "cannot look for the games of a node that is gone");
            return;
        }
    };
    if games.is_empty() {
        nodes.membership.forget(dead);
        return;
    }
    tracing::info!(node = %dead, games = games.len(), "the games of a node that is gone go on elsewhere");
    let takers = nodes.takers();
    let mut taking = JoinSet::new();
    for game_id in games.into_iter().take(TAKEN_MAX) {
        match starvault_nodes::place(game_id.as_str(), &takers) {
            Some(taker) if *taker != nodes.me => {
                let take = Take {
                    game_id: game_id.to_string(),
                    from: dead.to_string(),
                };
                // Looked for again, if it is lost.
                let _ = nodes.bus.send(taker, Body::Take(take));
            }
            _ => {
                if taking.len() >= TAKING_MAX {
                    taking.join_next().await;
                }
                taking.spawn(take(app.clone(), game_id, dead.clone()));
            }
        }
    }
    while taking.join_next().await.is_some() {}
}

/// The game goes on here, if it is still that of `from`: its clocks run again, whether or not anybody
/// comes.
pub(super) async fn take(app: Arc<App>, game_id: GameId, from: Instance) {
    match app.journal.owner_of(&game_id).await {
        Ok(Some(ownership)) if *ownership.owner.instance == *from => {}
        _ => return,
    }
    if let Err(error) = app.rooms.take(game_id.clone()).await {
        tracing::warn!(game = %game_id, %error, "a game of a node that is gone cannot be opened yet");
    }
}

/// Opens games here that other nodes were to open and will not.
pub(super) fn begin_instead_of(app: &Arc<App>, nodes: &Arc<Nodes>, which: impl Fn(&Beginning) -> bool) {
    let mut begins = nodes.begins();
    let late: Vec<GameId> = begins
        .iter()
        .filter(|(_, beginning)| which(beginning))
        .map(|(game_id, _)| game_id.clone())
        .collect();
    for game_id in late {
        if let Some(beginning) = begins.remove(&game_id) {
            tokio::spawn(begin_here(app.clone(), game_id, beginning));
        }
    }
}

async fn begin_here(app: Arc<App>, game_id: GameId, beginning: Beginning) {
    let Some(nodes) = &app.nodes else { return };
    let owner = Owner {
        release: nodes.release.clone(),
        instance: nodes.me.to_string(),
    };
    // It may have opened the game all the same, without our hearing of it.
    match app.journal.events_after(&game_id, 1).await {
        Ok(events) if events.is_empty() => {}
        _ => return,
    }
    match app.journal.acquire(&game_id, owner).await {
        Ok(Some(Acquired {
            epoch, events, game, ..
        })) => {
            let Ok([started]) = <[_; 1]>::try_from(events) else {
                return;
            };
            tracing::info!(game = %game_id, node = %beginning.host, "a game that its node did not open begins here");
            let created = Box::new(Created { epoch, game, started });
            app.rooms.begin(created, beginning.white, beginning.black).await;
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(game = %game_id, %error, "a game cannot be begun in place of another node");
        }
    }
}
