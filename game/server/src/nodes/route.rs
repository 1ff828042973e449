//! Which node a player's command is for.

use std::sync::Arc;

use starvault_nodes::{Body, Here, Instance, NotHere, Standing};
use starvault_rules::GameId;
use starvault_store::Journal as _;
use starvault_wire::v1::{LeftLobby, Resume, client_frame::Command, error::Code, server_frame::Event as Say};
use tokio::time::Instant;

use super::{Host, Local, Nodes};
use crate::{
    app::App,
    commands::Player,
    lobby::Candidate,
    room::{RoomHandle, RoomMessage},
    session::SessionHandle,
};

/// The game that a command is about.
fn game_of(command: &Command) -> Option<&str> {
    match command {
        Command::JoinLobby(_) | Command::LeaveLobby(_) | Command::Ping(_) => None,
        Command::Resume(Resume { game_id, .. }) => Some(game_id),
        Command::PlayMove(play) => Some(&play.game_id),
        Command::Resign(resign) => Some(&resign.game_id),
        Command::OfferDraw(offer) => Some(&offer.game_id),
        Command::AnswerDraw(answer) => Some(&answer.game_id),
        Command::OfferRematch(offer) => Some(&offer.game_id),
        Command::AnswerRematch(answer) => Some(&answer.game_id),
        Command::SendEmote(send) => Some(&send.game_id),
    }
}

const NO_LEADER: &str = "no node leads the lobby at the moment; try again in a few seconds";
const NOT_HEARD: &str = "the node with this game is not heard at the moment; try again in a few seconds";

impl Player {
    /// Passes on at once what belongs to the game of the last command, if that is at another node. Gives
    /// back anything else.
    pub fn pass_on_at_once(&mut self, request_id: u32, command: Command, now: Instant) -> Option<Command> {
        let far = match (&self.registered, game_of(&command)) {
            (Some(registered), Some(game_id)) if !matches!(command, Command::Resume(_)) => {
                registered.local.far(game_id)
            }
            _ => None,
        };
        match far {
            Some(node) => {
                self.pass_on_to(&node, request_id, command, now);
                None
            }
            None => Some(command),
        }
    }

    fn pass_on_to(&mut self, node: &Instance, request_id: u32, command: Command, now: Instant) {
        // What one player may say is bounded where the player is.
        if let Command::SendEmote(send) = &command
            && self.allowed_emote(request_id, send, now).is_none()
        {
            return;
        }
        if let Some(registered) = &self.registered {
            registered
                .local
                .to_game(&registered.nodes, node, request_id, command);
        }
    }

    /// Passes a command on to the node that it is for. Gives back what is for this one.
    pub async fn pass_on(&mut self, request_id: u32, command: Command) -> Option<Command> {
        let Some(registered) = &self.registered else {
            return Some(command);
        };
        let (nodes, local) = (registered.nodes.clone(), registered.local.clone());
        if matches!(command, Command::JoinLobby(_) | Command::LeaveLobby(_)) {
            match nodes.leader_in_time().await {
                Some(leader) if leader == nodes.me => return Some(command),
                Some(leader) => local.to_lobby(&nodes, &leader, request_id, command),
                None => self.session.refuse(request_id, Code::Unavailable, NO_LEADER),
            }
            return None;
        }
        let Some(game_id) = game_of(&command).and_then(|text| GameId::new(text).ok()) else {
            return Some(command);
        };
        let resumes = matches!(command, Command::Resume(_));
        if self.knows(game_id.as_str()) || self.app.rooms.find(game_id.clone()).await.is_some() {
            local.set_far(None);
            return Some(command);
        }
        match nodes
            .host_of(&self.app, &game_id, &self.session.player_id, resumes)
            .await
        {
            Host::Here => {
                local.set_far(None);
                Some(command)
            }
            Host::At(node) => {
                local.set_far(Some((game_id, node.clone())));
                self.pass_on_to(&node, request_id, command, Instant::now());
                None
            }
            Host::Unknown => {
                self.session.refuse(request_id, Code::Unavailable, NOT_HEARD);
                None
            }
        }
    }

    /// Tells the lobby, wherever it is, that this player has a new connection.
    pub async fn enter(&self) {
        let Some(registered) = &self.registered else {
            self.app.lobby.connected(self.session.clone()).await;
            return;
        };
        let nodes = &registered.nodes;
        match nodes.leader() {
            Some(leader) if leader == nodes.me => self.app.lobby.connected(self.session.clone()).await,
            Some(leader) => {
                let who = vec![registered.local.who()];
                let game_id = String::new();
                let _ = nodes.bus.send(&leader, Body::Here(Here { who, game_id }));
            }
            // Whoever leads next is told of all who are here.
            None => {}
        }
    }

    /// A game that is not here may wait for this player.
    pub async fn tell_host(&self, game_id: &GameId) {
        let Some(registered) = &self.registered else {
            return;
        };
        let nodes = &registered.nodes;
        let Ok(Some(ownership)) = self.app.journal.owner_of(game_id).await else {
            return;
        };
        let host = Instance::from(ownership.owner.instance);
        if ownership.owner.release == nodes.release
            && host != nodes.me
            && nodes.standing(&host) == Standing::Alive
        {
            let (who, game_id) = (vec![registered.local.who()], game_id.to_string());
            let _ = nodes.bus.send(&host, Body::Here(Here { who, game_id }));
        }
    }

    /// For a guest: whether a game is to be resumed here. If not, the edge looks it up anew.
    pub async fn is_host(&self, game_id: &GameId) -> bool {
        let Some(nodes) = &self.app.nodes else { return true };
        if self.session.edge().is_none() || self.app.rooms.find(game_id.clone()).await.is_some() {
            return true;
        }
        let Ok(Some(ownership)) = self.app.journal.owner_of(game_id).await else {
            return true;
        };
        let owner = Instance::from(ownership.owner.instance);
        ownership.owner.release != nodes.release
            || owner == nodes.me
            || nodes.standing(&owner) == Standing::Dead
    }
}

/// The player waits already, as a former leader has said.
pub async fn rejoin(app: &App, session: SessionHandle, region: String, since_ms: u64) {
    let refused = match app.own_recent_profile(&session.player_id).await {
        Ok(profile) if profile.active_game_id.is_some() => {
            (Code::AlreadyPlaying, "you are in a running game; resume it")
        }
        Ok(profile) => {
            let candidate = Candidate {
                session,
                display_name: profile.display_name,
                rating: profile.progress.rating,
            };
            app.lobby.rejoin(candidate, region, since_ms).await;
            return;
        }
        Err(error) => {
            tracing::error!(%error, "cannot read the profile of a player who waits");
            (Code::Unavailable, "the lobby has moved; join again")
        }
    };
    session.send(0, Say::LeftLobby(LeftLobby {}));
    session.refuse(0, refused.0, refused.1);
}

/// A host says that it does not have the game: looked up once more.
pub async fn resume_again(
    app: Arc<App>,
    nodes: Arc<Nodes>,
    local: Arc<Local>,
    from: Instance,
    asked: NotHere,
) {
    let session = &local.session;
    let NotHere {
        request_id,
        game_id,
        last_sequence,
        ..
    } = asked;
    let Ok(game_id) = GameId::new(&game_id) else {
        return;
    };
    local.set_far(None);
    match nodes.host_of(&app, &game_id, &session.player_id, true).await {
        Host::At(node) if node != from => {
            let resume = Resume {
                game_id: game_id.to_string(),
                last_sequence,
            };
            local.to_game(&nodes, &node, request_id, Command::Resume(resume));
        }
        Host::At(_) | Host::Unknown => session.refuse(request_id, Code::Unavailable, NOT_HEARD),
        Host::Here => {
            let opened = app.rooms.open(game_id, &session.player_id).await;
            let resume = RoomMessage::Resume {
                session: session.clone(),
                request_id,
                last_sequence,
            };
            if !opened.is_ok_and(|room: RoomHandle| room.tell(resume).is_ok()) {
                session.refuse(request_id, Code::Unavailable, "the game is busy; try again");
            }
        }
    }
}
