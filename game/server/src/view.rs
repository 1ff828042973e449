//! From the rules' values to the contract's messages. Decides nothing.

use starvault_rules::{self as rules, Event, EventKind, Game};
use starvault_wire::{
    GameEventFrame,
    v1::{
        self, GameEnded, GameEvent, GameStarted, GameView, MoveMade, Seat, error::Code, game_event::Kind,
        outcome,
    },
};

/// How much of the past a view tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    Included,
    Omitted,
}

#[must_use]
pub fn color(color: rules::Color) -> v1::Color {
    match color {
        rules::Color::White => v1::Color::White,
        rules::Color::Black => v1::Color::Black,
    }
}

fn side(side: Option<rules::Color>) -> i32 {
    side.map_or(v1::Color::Unspecified, color).into()
}

fn outcome(outcome: rules::Outcome) -> v1::Outcome {
    let reason = match outcome.reason {
        rules::Reason::ThreeChecks => outcome::Reason::ThreeChecks,
        rules::Reason::Checkmate => outcome::Reason::Checkmate,
        rules::Reason::Resignation => outcome::Reason::Resignation,
        rules::Reason::Flag => outcome::Reason::Flag,
        rules::Reason::Stalemate => outcome::Reason::Stalemate,
        rules::Reason::Repetition => outcome::Reason::Repetition,
        rules::Reason::FiftyMoves => outcome::Reason::FiftyMoves,
        rules::Reason::Agreement => outcome::Reason::Agreement,
        rules::Reason::Abandoned => outcome::Reason::Abandoned,
        rules::Reason::Aborted => outcome::Reason::Aborted,
    };
    v1::Outcome {
        winner: side(outcome.winner),
        reason: reason.into(),
    }
}

/// The game as a client draws it at `now_ms`.
#[must_use]
pub fn game(game: &Game, now_ms: i64, moves: Moves) -> GameView {
    GameView {
        legal_moves: game.legal_moves_uci(),
        ..game_without_legal_moves(game, now_ms, moves)
    }
}

/// An event that has just happened, and the game after it.
#[must_use]
pub fn news(game: &Game, event: &Event, now_ms: i64) -> GameEventFrame<rules::MoveText> {
    GameEventFrame {
        event: self::event(game.id(), event, None),
        game: game_without_legal_moves(game, now_ms, Moves::Omitted),
        legal_moves: game.legal_moves(),
    }
}

fn game_without_legal_moves(game: &Game, now_ms: i64, moves: Moves) -> GameView {
    let at_ms = now_ms.max(game.last_event_at_ms());
    let seat = |color| {
        let (seat, look) = (game.setup().seat(color), game.look(color));
        Seat {
            player_id: seat.player_id.to_string(),
            display_name: seat.name.clone(),
            rating: seat.rating,
            hp: game.hp(color).points().into(),
            clock_ms: game.clock_ms(color, at_ms),
            level: look.level,
            equipped: look.equipped.ids(),
        }
    };
    GameView {
        game_id: game.id().to_string(),
        sequence: game.sequence(),
        white: Some(seat(rules::Color::White)),
        black: Some(seat(rules::Color::Black)),
        fen: game.fen(),
        to_move: color(game.to_move()).into(),
        legal_moves: Vec::new(),
        last_move: game.last_move().unwrap_or_default().to_owned(),
        in_check: game.in_check(),
        moves: if moves == Moves::Included {
            game.moves_san().iter().map(|san| san.to_string()).collect()
        } else {
            Vec::new()
        },
        draw_offered_by: side(game.draw_offered_by()),
        outcome: game.outcome().map(outcome),
        at_ms,
    }
}

/// One event; `after` is the game after it, where that is told.
#[must_use]
pub fn event(game_id: &rules::GameId, event: &Event, after: Option<GameView>) -> GameEvent {
    let kind = match &event.kind {
        EventKind::Started { .. } => Kind::Started(GameStarted {}),
        EventKind::MoveMade {
            by,
            uci,
            san,
            check,
            lag_ms,
        } => Kind::MoveMade(MoveMade {
            by: color(*by).into(),
            uci: uci.clone(),
            san: san.clone(),
            check: *check,
            lag_ms: *lag_ms,
        }),
        EventKind::DrawOffered { by } => Kind::DrawOffered(v1::DrawOffered {
            by: color(*by).into(),
        }),
        EventKind::DrawDeclined { by } => Kind::DrawDeclined(v1::DrawDeclined {
            by: color(*by).into(),
        }),
        EventKind::Ended { winner, reason } => {
            let outcome = outcome(rules::Outcome {
                winner: *winner,
                reason: *reason,
            });
            Kind::Ended(GameEnded {
                outcome: Some(outcome),
            })
        }
    };
    GameEvent {
        game_id: game_id.to_string(),
        sequence: event.sequence,
        at_ms: event.at_ms,
        game: after,
        kind: Some(kind),
    }
}

/// The contract's code for a kept rejection, by its stable name.
#[must_use]
pub fn rejection_code(name: &str) -> Code {
    match name {
        "game_over" | "out_of_time" => Code::GameOver,
        "not_your_turn" => Code::NotYourTurn,
        "sequence_gap" => Code::SequenceGap,
        "illegal_move" => Code::IllegalMove,
        "no_draw_offer" => Code::NoDrawOffer,
        _ => Code::InvalidArgument,
    }
}

#[must_use]
pub fn profile(profile: &starvault_store::Profile) -> v1::Profile {
    let progress = profile.progress;
    let level = progress.level();
    v1::Profile {
        player_id: profile.player_id.to_string(),
        display_name: profile.display_name.clone(),
        rating: profile.progress.rating,
        games_played: profile.progress.games_played,
        wins: profile.progress.wins,
        losses: profile.progress.losses,
        draws: profile.progress.draws,
        version: profile.version,
        active_game_id: profile
            .active_game_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        rating_deviation: progress.skill.deviation(),
        level,
        xp: progress.xp(),
        xp_next_level: progress.xp_next_level().unwrap_or(0),
        stage: progress.stage().to_owned(),
        items: rules::owned_at(level).map(|item| item.id.to_owned()).collect(),
        equipped: profile.equipped.ids(),
    }
}
