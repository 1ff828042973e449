//! What a player makes of what the server says.

use starvault_wire::v1::{self, server_frame::Event};
use tokio::time::Instant;

use super::player::{End, Player, error_code};
use super::seat::{Seat, Unanswered};
use super::talk::{Action, Talk};
use crate::book::{Ended, Operation};
use crate::games::Leaving;
use crate::lines::Acknowledged;
use crate::schedule::think_time;

/// So many errors in a row make a connection unusable.
const ERRORS_IN_A_ROW_MAX: u32 = 8;

impl Player {
    pub(super) async fn on_frame(&mut self, talk: &mut Talk, frame: v1::ServerFrame) -> Option<End> {
        let event = frame.event?;
        self.observe_answer(talk, frame.request_id, &event).await;
        match event {
            Event::Queued(_) => self.complete(talk, &[Operation::Join]),
            Event::LeftLobby(_) => {
                self.complete(talk, &[Operation::LeaveLobby]);
                return Some(End::Leave);
            }
            Event::Matched(matched) => {
                self.complete(talk, &[Operation::Join, Operation::LeaveLobby]);
                self.take_seat(talk, matched);
            }
            Event::Resumed(resumed) => return self.on_resumed(talk, resumed),
            Event::Ack(ack) => self.on_ack(talk, ack).await,
            Event::GameEvent(event) => return self.on_game_event(talk, event),
            Event::Error(error) => return self.on_error(talk, frame.request_id, &error),
            Event::Relocated(relocated) => {
                if !relocated.release.is_empty() {
                    self.at = Some(relocated.release);
                }
                return Some(End::Relocated);
            }
            Event::OpponentPresence(presence) => {
                if presence.connected {
                    self.plan_anew(talk);
                }
            }
            // Players of a load run take their next opponent from the lobby.
            Event::RematchOffered(_)
            | Event::RematchDeclined(_)
            | Event::EmoteReceived(_)
            | Event::Welcome(_)
            | Event::Pong(_) => {}
        }
        None
    }

    fn take_seat(&mut self, talk: &mut Talk, matched: v1::Matched) {
        let Some(view) = matched.game else { return };
        if self
            .seat
            .as_ref()
            .is_some_and(|seat| seat.game_id == view.game_id)
        {
            return;
        }
        let now = Instant::now();
        if let Some(since) = talk.queued_since.take() {
            self.run
                .book()
                .match_wait
                .record(now.saturating_duration_since(since));
        }
        talk.leaving = false;
        let think = self.think(&view.game_id, view.sequence);
        let mut seat = Seat::new(matched.you_play, &view, now + think);
        let mut games = self.run.games();
        games.join(&seat.game_id, &self.player_id, seat.color, seat.sequence);
        seat.disturbances = games.disturbances(&seat.game_id);
        drop(games);
        self.seat = Some(seat);
        self.plan_move(talk);
    }

    fn on_resumed(&mut self, talk: &mut Talk, resumed: v1::Resumed) -> Option<End> {
        let view = resumed.game?;
        self.complete(talk, &[Operation::Resume]);
        let now = Instant::now();
        let planned = now + self.think(&view.game_id, view.sequence);
        let seat = match &mut self.seat {
            Some(seat) if seat.game_id == view.game_id => seat,
            _ => self.seat.insert(Seat::new(resumed.you_play, &view, planned)),
        };
        let forgotten = seat.forgotten_at(view.sequence);
        seat.acknowledged = seat.acknowledged.min(view.sequence);
        seat.planned = planned;
        let mut games = self.run.games();
        games.join(&view.game_id, &self.player_id, resumed.you_play, view.sequence);
        games.resumed(&view.game_id, &self.player_id, view.sequence);
        games.forgotten(forgotten);
        for event in &resumed.missed {
            games.see(&self.player_id, event);
        }
        if let Some(outcome) = &view.outcome {
            games.ended(&view.game_id, outcome);
        }
        seat.disturbances = games.disturb(&view.game_id);
        drop(games);
        let ended = view.outcome.is_some();
        let seat_game = seat.game_id.clone();
        seat.update(view);
        self.resume_id = None;
        let mut book = self.run.book();
        if let Some(since) = self.away_since.take() {
            book.resumed += 1;
            let gap = now.saturating_duration_since(since);
            book.resume_gap.record(gap);
            if let (Some(from), Some(to)) = (self.left.take(), &self.release)
                && from != *to
            {
                book.moved(&seat_game, &from, to, gap);
            }
        }
        drop(book);
        if ended {
            self.give_up_game(Leaving::Ended);
            return Some(End::Over);
        }
        if self.auditing {
            return Some(End::Leave);
        }
        self.plan_move(talk);
        None
    }

    async fn on_ack(&mut self, talk: &mut Talk, ack: v1::Ack) {
        let Some(seat) = self.seat.as_mut().filter(|seat| seat.game_id == ack.game_id) else {
            return;
        };
        self.run
            .games()
            .acknowledged(&ack.game_id, &self.player_id, &ack.command_id, ack.sequence);
        if seat
            .unanswered
            .as_ref()
            .is_none_or(|u| u.command_id() != ack.command_id)
        {
            return;
        }
        let moved = matches!(seat.unanswered.take(), Some(Unanswered::Move { .. }));
        seat.acknowledged = seat.acknowledged.max(ack.sequence);
        talk.errors_in_a_row = 0;
        self.run.book().moves += u64::from(moved);
        self.complete(talk, &[Operation::Move, Operation::Resign]);
        if let Some(log) = &self.run.acknowledged {
            let v1::Ack {
                game_id,
                command_id,
                sequence,
                ..
            } = ack;
            let player_id = self.player_id.clone();
            log.append(Acknowledged {
                game_id,
                command_id,
                sequence,
                player_id,
            })
            .await;
        }
        self.plan_move(talk);
    }

    fn on_game_event(&mut self, talk: &mut Talk, event: v1::GameEvent) -> Option<End> {
        let mean = self.run.settings.think_time;
        let seed = self.run.settings.seed;
        let Some(seat) = self.seat.as_mut().filter(|seat| seat.game_id == event.game_id) else {
            self.run.book().stray_events += 1;
            return None;
        };
        if event.sequence > seat.sequence + 1 {
            if talk
                .pending
                .as_ref()
                .is_some_and(|p| p.operation == Operation::Resume)
            {
                // It is part of what Resumed is going to tell.
                return None;
            }
            // Something was left out: ask for it.
            self.run.book().count_error("event_gap");
            self.away_since.get_or_insert_with(Instant::now);
            return Some(End::Again);
        }
        let mut games = self.run.games();
        games.see(&self.player_id, &event);
        if event.sequence <= seat.sequence {
            drop(games);
            self.run.book().stray_events += 1;
            return None;
        }
        let ended = match &event.kind {
            Some(v1::game_event::Kind::Ended(end)) => Some(end.outcome.unwrap_or_default()),
            _ => event.game.as_ref().and_then(|view| view.outcome),
        };
        if let Some(outcome) = ended {
            games.ended(&event.game_id, &outcome);
            // A view that is already over comes with the move that ended it; its own event follows.
            if matches!(event.kind, Some(v1::game_event::Kind::Ended(_))) {
                drop(games);
                self.give_up_game(Leaving::Ended);
                return Some(End::Over);
            }
        }
        let disturbances = games.disturbances(&event.game_id);
        drop(games);
        // The timetable of the game is absolute, so that a late server is charged for what it delays;
        // only a disturbance that was none of its doing shifts it.
        let think = think_time(mean, seed, &event.game_id, event.sequence);
        let from = if seat.disturbances == disturbances {
            seat.planned
        } else {
            Instant::now()
        };
        seat.disturbances = disturbances;
        seat.planned = from + think;
        match event.game {
            Some(view) => seat.update(view),
            None => seat.sequence = event.sequence,
        }
        self.plan_move(talk);
        None
    }

    fn on_error(&mut self, talk: &mut Talk, request_id: u32, error: &v1::Error) -> Option<End> {
        use v1::error::Code;
        let name = error_code(error);
        let Some(pending) = talk.pending.take_if(|p| p.request_id == request_id) else {
            self.run.book().count_error(&name);
            return None;
        };
        self.record(&pending, &Ended::Failed(name));
        self.no_longer_waiting(&pending);
        talk.errors_in_a_row += 1;
        if talk.errors_in_a_row > ERRORS_IN_A_ROW_MAX {
            return Some(End::Unusable);
        }
        let retry_at = Instant::now() + self.retry_delay();
        match (pending.operation, error.code()) {
            (Operation::Join, Code::AlreadyPlaying) => return Some(End::Again),
            // Wait for the match.
            (Operation::Join, Code::AlreadyQueued) => {}
            (Operation::Join, _) => talk.plan(retry_at, Action::Join),
            (Operation::LeaveLobby, _) => return Some(End::Leave),
            (Operation::Resume, Code::NotInGame | Code::GameOver | Code::InvalidArgument) => {
                self.give_up_game(Leaving::ToldOver);
                return Some(if self.auditing { End::Leave } else { End::Over });
            }
            (Operation::Resume, code) => {
                // The game never was where this player saw it: that is its server's fault, and the way
                // back is to ask for the whole of it.
                if code == Code::SequenceGap
                    && let Some(seat) = &mut self.seat
                {
                    seat.sequence = 0;
                }
                talk.plan(retry_at, Action::Resume);
            }
            (
                _,
                Code::SequenceGap
                | Code::NotYourTurn
                | Code::IllegalMove
                | Code::CommandIdConflict
                | Code::GameOver
                | Code::NotInGame
                | Code::InvalidArgument,
            ) => {
                // Refused for good: what we believe of the game is wrong.
                if let Some(seat) = &mut self.seat {
                    seat.unanswered = None;
                }
                talk.plan(retry_at, Action::Resume);
            }
            // Not applied, and may be asked again: the same command.
            (_, _) => {
                if let Some(seat) = &mut self.seat {
                    seat.disturbances = self.run.games().disturb(&seat.game_id);
                    seat.planned = retry_at;
                }
                talk.plan(retry_at, Action::Move);
            }
        }
        None
    }
}
