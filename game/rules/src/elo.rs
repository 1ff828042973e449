//! What a finished game does to the two players: Elo points and counters.
//! Source: A. Elo, *The Rating of Chessplayers*, 1978 (logistic form, K = 32).

use serde::{Deserialize, Serialize};

use crate::setup::Color;

/// How many points a game can move at most.
pub const K_FACTOR: f64 = 32.0;

/// A player's standing over all games.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Elo points.
    pub rating: i32,
    pub games_played: u32,
    pub wins: u32,
    pub losses: u32,
    pub draws: u32,
}

impl Progress {
    /// A player who has not played yet.
    pub const fn new(rating: i32) -> Progress {
        Progress {
            rating,
            games_played: 0,
            wins: 0,
            losses: 0,
            draws: 0,
        }
    }
}

/// The points that White gains and Black loses.
pub fn rating_change(white: i32, black: i32, winner: Option<Color>) -> i32 {
    let score = match winner {
        Some(Color::White) => 1.0,
        None => 0.5,
        Some(Color::Black) => 0.0,
    };
    let expected = 1.0 / (1.0 + 10f64.powf((f64::from(black) - f64::from(white)) / 400.0));
    // Within ±K, so the cast cannot cut anything off.
    (K_FACTOR * (score - expected)).round() as i32
}

/// Both players' progress after a game that `winner` won (`None`: a draw).
pub fn after_game(white: Progress, black: Progress, winner: Option<Color>) -> (Progress, Progress) {
    let change = rating_change(white.rating, black.rating, winner);
    let after = |before: Progress, own: Color, change: i32| Progress {
        rating: before.rating.saturating_add(change),
        games_played: before.games_played.saturating_add(1),
        wins: before.wins.saturating_add(u32::from(winner == Some(own))),
        losses: before
            .losses
            .saturating_add(u32::from(winner == Some(own.other()))),
        draws: before.draws.saturating_add(u32::from(winner.is_none())),
    };
    (
        after(white, Color::White, change),
        after(black, Color::Black, -change),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_players_move_half_of_k() {
        assert_eq!(rating_change(1500, 1500, Some(Color::White)), 16);
        assert_eq!(rating_change(1500, 1500, Some(Color::Black)), -16);
        assert_eq!(rating_change(1500, 1500, None), 0);
    }

    #[test]
    fn an_upset_moves_more_than_the_expected_result() {
        // 400 points apart: expected 10/11, by definition of the scale.
        assert_eq!(rating_change(1900, 1500, Some(Color::White)), 3);
        assert_eq!(rating_change(1900, 1500, Some(Color::Black)), -29);
        assert_eq!(rating_change(1900, 1500, None), -13);
        assert_eq!(rating_change(i32::MIN, i32::MAX, Some(Color::White)), 32);
    }

    #[test]
    fn a_game_counts_once_for_each_and_points_are_conserved() {
        let (white, black) = after_game(Progress::new(1500), Progress::new(1600), Some(Color::Black));
        assert_eq!(white.rating + black.rating, 3100);
        assert_eq!(
            (white.games_played, white.wins, white.losses, white.draws),
            (1, 0, 1, 0)
        );
        assert_eq!(
            (black.games_played, black.wins, black.losses, black.draws),
            (1, 1, 0, 0)
        );
        let (white, _) = after_game(white, black, None);
        assert_eq!((white.games_played, white.draws), (2, 1));
    }
}
