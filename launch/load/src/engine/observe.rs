//! What a player notes of its conversation, if the run is asked for a history.

use starvault_wire::v1::{error::Code, server_frame::Event};
use tokio::time::Instant;

use super::player::Player;
use super::seat::Unanswered;
use super::talk::Talk;
use crate::book::Operation;
use crate::history::{Observation, Observed, Refusal, moves, resigns, told};

impl Player {
    /// Right before a request leaves.
    pub(super) async fn observe_sending(&self, operation: Operation) {
        if self.run.history.is_none() || !matches!(operation, Operation::Move | Operation::Resign) {
            return;
        }
        let Some(seat) = &self.seat else { return };
        let sent = match &seat.unanswered {
            Some(Unanswered::Move {
                command_id,
                uci,
                follows,
            }) => Observed::Sent {
                command_id: command_id.clone(),
                expected_sequence: Some(*follows),
                what: moves(seat.color, uci),
            },
            Some(Unanswered::Resign { command_id }) => Observed::Sent {
                command_id: command_id.clone(),
                expected_sequence: None,
                what: resigns(seat.color),
            },
            None => return,
        };
        self.observe(&seat.game_id, [sent]).await;
    }

    /// Right after a frame came, before anything is made of it.
    pub(super) async fn observe_answer(&self, talk: &Talk, request_id: u32, event: &Event) {
        if self.run.history.is_none() {
            return;
        }
        match event {
            Event::Matched(matched) => {
                if let Some(view) = &matched.game {
                    // Nobody has asked, but what is told is no older than this connection.
                    let begins = Observed::Resumed {
                        asked_at: self.micros(self.connected_at),
                        from: view.sequence,
                        sequence: view.sequence,
                    };
                    self.observe(&view.game_id, [begins]).await;
                }
            }
            Event::Resumed(resumed) => {
                let (Some(view), Some((asked, from))) = (&resumed.game, talk.resuming) else {
                    return;
                };
                let again = Observed::Resumed {
                    asked_at: self.micros(asked),
                    from,
                    sequence: view.sequence,
                };
                let missed = resumed.missed.iter().map(told);
                self.observe(&view.game_id, std::iter::once(again).chain(missed))
                    .await;
            }
            Event::GameEvent(event) => self.observe(&event.game_id, [told(event)]).await,
            Event::Ack(ack) if !ack.command_id.is_empty() => {
                let acknowledged = Observed::Acknowledged {
                    command_id: ack.command_id.clone(),
                    sequence: ack.sequence,
                };
                self.observe(&ack.game_id, [acknowledged]).await;
            }
            Event::Error(error) => {
                let Some(pending) = talk.pending.as_ref().filter(|p| p.request_id == request_id) else {
                    return;
                };
                let sequence = (error.current_sequence > 0).then_some(error.current_sequence);
                let (Some(seat), code) = (&self.seat, error.code()) else {
                    return;
                };
                let refused = match (pending.operation, talk.resuming, sequence, &seat.unanswered) {
                    (Operation::Resume, Some((asked, from)), Some(sequence), _)
                        if code == Code::SequenceGap =>
                    {
                        Observed::NotResumed {
                            asked_at: self.micros(asked),
                            from,
                            sequence,
                        }
                    }
                    (Operation::Move | Operation::Resign, _, _, Some(command)) => Observed::Refused {
                        command_id: command.command_id().to_owned(),
                        refusal: Refusal::of(code),
                        code: code.as_str_name(),
                        sequence,
                    },
                    _ => return,
                };
                self.observe(&seat.game_id, [refused]).await;
            }
            _ => {}
        }
    }

    async fn observe(&self, game_id: &str, all: impl IntoIterator<Item = Observed>) {
        let Some(history) = &self.run.history else { return };
        let at = self.micros(Instant::now());
        for observed in all {
            let observation = Observation {
                client: self.player_id.clone(),
                connection: self.connections,
                game_id: game_id.to_owned(),
                at,
                observed,
            };
            history.append(observation).await;
        }
    }

    fn micros(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.run.began);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}
