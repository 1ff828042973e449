//! A player's standing over all games: skill and counters, and what follows from the counters
//! (experience, level, stage).
//!
//! Experience is not kept: it is a sum over the counters, so that it can neither be lost nor be
//! given twice, and a finished game that another release has counted counts here too.

use serde::{Deserialize, Serialize};

use crate::{glicko::Skill, setup::Color};

/// Experience points for a game.
pub const XP_WIN: u64 = 100;
pub const XP_DRAW: u64 = 60;
pub const XP_LOSS: u64 = 40;
/// The highest level.
pub const LEVEL_MAX: u32 = 50;

/// The parts of the journey, each with the level that it begins at.
const STAGES: [(u32, &str); 6] = [
    (1, "first-light"),
    (5, "low-orbit"),
    (10, "moonrise"),
    (18, "outer-belt"),
    (28, "deep-field"),
    (40, "starvault"),
];

/// A player's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Rating points: [`Skill::rating`], as it is shown and matched by.
    pub rating: i32,
    pub games_played: u32,
    pub wins: u32,
    pub losses: u32,
    pub draws: u32,
    #[serde(flatten)]
    pub skill: Skill,
}

/// Something that must never be true of a player, is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgressBroken {
    #[error(transparent)]
    Skill(#[from] crate::glicko::SkillOutOfRange),
    #[error("the rating {rating} is not that of the skill, {by_skill}")]
    Rating { rating: i32, by_skill: i32 },
    #[error("{games_played} games are not {wins} wins, {losses} losses and {draws} draws")]
    Counters {
        games_played: u32,
        wins: u32,
        losses: u32,
        draws: u32,
    },
}

impl Progress {
    /// A player who has not played yet.
    pub fn new(rating: i32) -> Progress {
        let skill = Skill::new(rating);
        Progress {
            rating: skill.rating(),
            games_played: 0,
            wins: 0,
            losses: 0,
            draws: 0,
            skill,
        }
    }

    /// What must hold of every player at every time.
    pub fn check(&self) -> Result<(), ProgressBroken> {
        let Progress {
            rating,
            games_played,
            wins,
            losses,
            draws,
            skill,
        } = *self;
        skill.check()?;
        if rating != skill.rating() {
            return Err(ProgressBroken::Rating {
                rating,
                by_skill: skill.rating(),
            });
        }
        let ended = [wins, losses, draws].into_iter().map(u64::from).sum::<u64>();
        if u64::from(games_played) != ended {
            return Err(ProgressBroken::Counters {
                games_played,
                wins,
                losses,
                draws,
            });
        }
        Ok(())
    }

    /// Experience points so far.
    pub fn xp(&self) -> u64 {
        u64::from(self.wins) * XP_WIN + u64::from(self.draws) * XP_DRAW + u64::from(self.losses) * XP_LOSS
    }

    /// From 1 to [`LEVEL_MAX`]; never falls.
    pub fn level(&self) -> u32 {
        let xp = self.xp();
        (2..=LEVEL_MAX)
            .take_while(|level| xp_at(*level) <= xp)
            .last()
            .unwrap_or(1)
    }

    /// The experience at which the next level begins; `None` at the highest.
    pub fn xp_next_level(&self) -> Option<u64> {
        let next = self.level() + 1;
        (next <= LEVEL_MAX).then(|| xp_at(next))
    }

    /// Which part of the journey this player is on.
    pub fn stage(&self) -> &'static str {
        let level = self.level();
        STAGES
            .iter()
            .rev()
            .find(|(from, _)| *from <= level)
            .map_or(STAGES[0].1, |(_, name)| name)
    }
}

/// The experience at which a level begins: each takes 100 more than the one before it.
fn xp_at(level: u32) -> u64 {
    50 * u64::from(level) * u64::from(level.saturating_sub(1))
}

/// Both players' progress after a game that `winner` won (`None`: a draw). A game that was aborted
/// is none: it is not for this function.
pub fn after_game(
    white: Progress,
    black: Progress,
    winner: Option<Color>,
    ended_at_ms: i64,
) -> (Progress, Progress) {
    let after = |own: &Progress, other: &Progress, color: Color| {
        let score = match winner {
            Some(winner) if winner == color => 1.0,
            Some(_) => 0.0,
            None => 0.5,
        };
        let skill = own.skill.after_game(&other.skill, score, ended_at_ms);
        Progress {
            rating: skill.rating(),
            games_played: own.games_played.saturating_add(1),
            wins: own.wins.saturating_add(u32::from(winner == Some(color))),
            losses: own
                .losses
                .saturating_add(u32::from(winner == Some(color.other()))),
            draws: own.draws.saturating_add(u32::from(winner.is_none())),
            skill,
        }
    };
    (
        after(&white, &black, Color::White),
        after(&black, &white, Color::Black),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(wins: u32, losses: u32, draws: u32) -> Progress {
        Progress {
            games_played: wins + losses + draws,
            wins,
            losses,
            draws,
            ..Progress::new(1500)
        }
    }

    #[test]
    fn a_game_counts_once_for_each() {
        let (white, black) = after_game(Progress::new(1500), Progress::new(1600), Some(Color::Black), 7);
        assert_eq!(
            (white.games_played, white.wins, white.losses, white.draws),
            (1, 0, 1, 0)
        );
        assert_eq!(
            (black.games_played, black.wins, black.losses, black.draws),
            (1, 1, 0, 0)
        );
        assert!(white.rating < 1500 && black.rating > 1600);
        let (white, black) = after_game(white, black, None, 8);
        assert_eq!((white.games_played, white.draws), (2, 1));
        for progress in [white, black] {
            progress.check().unwrap();
            assert_eq!(progress.skill.rated_at_ms, Some(8));
        }
    }

    #[test]
    fn levels_come_later_and_later_and_end() {
        let expect = [
            (with(0, 0, 0), 0, 1, Some(100), "first-light"),
            (with(0, 2, 0), 80, 1, Some(100), "first-light"),
            (with(1, 0, 0), 100, 2, Some(300), "first-light"),
            (with(2, 1, 1), 300, 3, Some(600), "first-light"),
            (with(10, 0, 0), 1_000, 5, Some(1_500), "low-orbit"),
            (with(45, 0, 0), 4_500, 10, Some(5_500), "moonrise"),
            (with(1_224, 0, 1), 122_460, 49, Some(122_500), "starvault"),
            (with(1_225, 0, 0), 122_500, 50, None, "starvault"),
            (with(u32::MAX, 0, 0), 429_496_729_500, 50, None, "starvault"),
        ];
        for (progress, xp, level, next, stage) in expect {
            let found = (
                progress.xp(),
                progress.level(),
                progress.xp_next_level(),
                progress.stage(),
            );
            assert_eq!(found, (xp, level, next, stage));
        }
    }

    #[test]
    fn a_standing_that_cannot_be_is_named() {
        let counted = Progress {
            games_played: 3,
            ..with(1, 0, 1)
        };
        assert!(matches!(
            counted.check(),
            Err(ProgressBroken::Counters { games_played: 3, .. })
        ));
        let shown = Progress {
            rating: 1501,
            ..Progress::new(1500)
        };
        assert!(matches!(
            shown.check(),
            Err(ProgressBroken::Rating { by_skill: 1500, .. })
        ));
        let mut unknown = Progress::new(i32::MIN);
        assert_eq!((unknown.rating, unknown.check()), (100, Ok(())));
        unknown.skill.volatility_nano = -1;
        assert!(matches!(unknown.check(), Err(ProgressBroken::Skill(_))));
    }
}
