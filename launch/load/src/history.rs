//! What players sent and were told, moment by moment: enough to check afterwards, from outside, that
//! one order of commands explains all of it.
//!
//! One JSON object per line: `client`, `connection` (the client's, counted), `game_id`, `at`
//! (microseconds since the start of the run), `kind` and what belongs to it. A sending is noted before its bytes
//! leave, a telling after they came.

use serde::Serialize;
use starvault_wire::v1::{self, Color, error::Code, game_event::Kind, outcome::Reason};

#[derive(Debug, Serialize)]
pub(crate) struct Observation {
    pub client: String,
    pub connection: u32,
    pub game_id: String,
    pub at: u64,
    #[serde(flatten)]
    pub observed: Observed,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Observed {
    Sent {
        command_id: String,
        expected_sequence: Option<u32>,
        /// As `cause` of the event that it is to become.
        what: String,
    },
    Acknowledged {
        command_id: String,
        sequence: u32,
    },
    Refused {
        command_id: String,
        refusal: Refusal,
        code: &'static str,
        sequence: Option<u32>,
    },
    Told {
        sequence: u32,
        event: String,
        cause: Option<String>,
    },
    /// Also what begins a game: its first view is taken up as it stands.
    Resumed {
        asked_at: u64,
        from: u32,
        sequence: u32,
    },
    NotResumed {
        asked_at: u64,
        from: u32,
        sequence: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    Stale,
    Rejected,
    Undecided,
}

impl Refusal {
    pub fn of(code: Code) -> Self {
        match code {
            Code::SequenceGap => Self::Stale,
            Code::NotYourTurn
            | Code::IllegalMove
            | Code::GameOver
            | Code::CommandIdConflict
            | Code::NoDrawOffer => Self::Rejected,
            Code::Unspecified
            | Code::MalformedFrame
            | Code::FrameTooLarge
            | Code::Unauthenticated
            | Code::InvalidArgument
            | Code::NotInGame
            | Code::AlreadyPlaying
            | Code::AlreadyQueued
            | Code::RateLimited
            | Code::Unavailable
            | Code::Internal
            | Code::NoRematch => Self::Undecided,
        }
    }
}

/// An event as it was told, the view after it left out: it comes with news and not with what was missed.
pub(crate) fn told(event: &v1::GameEvent) -> Observed {
    let bare = v1::GameEvent {
        game_id: String::new(),
        sequence: event.sequence,
        at_ms: event.at_ms,
        kind: event.kind.clone(),
        game: None,
    };
    Observed::Told {
        sequence: event.sequence,
        // Both are text for the record; a value without a name is one that no player asked for.
        event: serde_json::to_string(&bare).unwrap_or_else(|_| format!("{bare:?}")),
        cause: cause(event.kind.as_ref()),
    }
}

/// The command that an event comes of, if it comes of one at all.
fn cause(kind: Option<&Kind>) -> Option<String> {
    match kind? {
        Kind::MoveMade(made) => Some(moves(made.by, &made.uci)),
        Kind::DrawOffered(offered) => Some(format!("{} offers a draw", side(offered.by))),
        Kind::DrawDeclined(declined) => Some(format!("{} declines a draw", side(declined.by))),
        Kind::Ended(ended) => {
            let outcome = ended.outcome.unwrap_or_default();
            let loser = match outcome.winner() {
                Color::White => Color::Black,
                Color::Black => Color::White,
                Color::Unspecified => return None,
            };
            (outcome.reason() == Reason::Resignation).then(|| resigns(loser.into()))
        }
        Kind::Started(_) => None,
    }
}

pub(crate) fn moves(color: i32, uci: &str) -> String {
    format!("{} {uci}", side(color))
}

pub(crate) fn resigns(color: i32) -> String {
    format!("{} resigns", side(color))
}

fn side(color: i32) -> &'static str {
    match Color::try_from(color) {
        Ok(Color::White) => "white",
        Ok(Color::Black) => "black",
        Ok(Color::Unspecified) | Err(_) => "nobody",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, game: Option<v1::GameView>) -> v1::GameEvent {
        v1::GameEvent {
            game_id: "g".into(),
            sequence: 2,
            at_ms: 7,
            kind: Some(kind),
            game,
        }
    }

    #[test]
    fn an_event_is_the_same_as_news_and_as_what_was_missed_and_differs_in_every_field() {
        let made = v1::MoveMade {
            by: Color::White.into(),
            uci: "e2e4".into(),
            san: "e4".into(),
            check: false,
            lag_ms: 3,
        };
        let missed = told(&event(Kind::MoveMade(made.clone()), None));
        let news = told(&event(
            Kind::MoveMade(made.clone()),
            Some(v1::GameView::default()),
        ));
        assert_eq!(missed, news);
        let lagged = v1::MoveMade { lag_ms: 4, ..made };
        assert_ne!(missed, told(&event(Kind::MoveMade(lagged), None)));
    }

    #[test]
    fn an_event_names_the_command_it_comes_of() {
        let ended = |winner: Color, reason: Reason| {
            cause(Some(&Kind::Ended(v1::GameEnded {
                outcome: Some(v1::Outcome {
                    winner: winner.into(),
                    reason: reason.into(),
                }),
            })))
        };
        assert_eq!(
            ended(Color::White, Reason::Resignation),
            Some(resigns(Color::Black.into()))
        );
        assert_eq!(ended(Color::White, Reason::Flag), None);
        let made = v1::MoveMade {
            by: Color::Black.into(),
            uci: "e7e5".into(),
            ..v1::MoveMade::default()
        };
        assert_eq!(
            cause(Some(&Kind::MoveMade(made))),
            Some(moves(Color::Black.into(), "e7e5"))
        );
    }
}
