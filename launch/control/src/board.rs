//! The board: what is known about a running launch, for the dashboard and the terminal.
//!
//! A value behind a lock and a version that ticks with every change. It is told by the engine and
//! the gates and decides nothing: the record is the truth, the board is its picture.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use tokio::sync::watch;

/// Lines of the log that the dashboard keeps.
const LOG_LINES_MAX: usize = 60;
/// Looks of a canary that the chart keeps; older ones are thinned out.
const LOOKS_MAX: usize = 240;

/// A text in both languages.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Words {
    pub zh: String,
    pub en: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Preparing,
    Running,
    Finished,
    Failed,
}

/// How an item or a gate stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Waiting,
    Running,
    /// The gate has passed; the item is ticked.
    Ticked,
    Crossed,
    NotChecked,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct ItemCard {
    pub id: String,
    pub number: u32,
    pub title: Words,
    pub criterion: Words,
    pub not_covered: Option<Words>,
    pub from_h: f64,
    pub to_h: f64,
    pub owner: String,
    pub standing: Standing,
    pub reasons: Vec<String>,
    pub gates: Vec<GateCard>,
    pub sign_offs: Vec<SignOffCard>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct GateCard {
    pub id: String,
    pub kind: String,
    pub standing: Standing,
    pub attempt: u32,
    pub expect: Vec<String>,
    pub reasons: Vec<String>,
    /// `name -> "value unit"`, the ones that are expected first.
    pub measurements: Vec<(String, String)>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct SignOffCard {
    pub role: String,
    pub at_ms: Option<u64>,
    pub statement: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct RunningGate {
    pub item: String,
    pub gate: String,
    pub kind: String,
    pub attempt: u32,
    pub started_at_ms: u64,
    /// 0 to 1, if it is known.
    pub fraction: Option<f64>,
    pub text: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct SideCard {
    pub version: String,
    pub weight_percent: u32,
    pub requests: u64,
    pub errors: u64,
    pub per_second: f64,
}

/// One look at the canary.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Look {
    /// Seconds since the gate started.
    pub t_s: f64,
    pub weight_percent: u32,
    /// Natural logarithm of the largest e-value.
    pub ln_e: f64,
    pub stable_per_second: f64,
    pub canary_per_second: f64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct CanaryCard {
    pub stable: SideCard,
    pub canary: SideCard,
    /// The e-value at which the canary is called worse, as natural logarithm.
    pub ln_limit: f64,
    pub looks: Vec<Look>,
    pub sentence: String,
    pub steps: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct ChecklistCard {
    pub file: String,
    pub sha256: String,
    pub bytes: u64,
}

/// Everything that the dashboard shows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Board {
    pub launch_id: String,
    pub name: String,
    pub version: String,
    pub rehearsal: bool,
    /// Plan time runs this many times faster than real time.
    pub scale: f64,
    pub started_at_ms: u64,
    /// When the launch ended; the clock stands still from then on.
    pub ended_at_ms: Option<u64>,
    /// Length of the plan in plan hours.
    pub plan_hours: f64,
    pub phase: Phase,
    pub items: Vec<ItemCard>,
    pub running: Option<RunningGate>,
    pub canary: Option<CanaryCard>,
    pub record_size: u64,
    pub record_root: String,
    pub ticked: u32,
    pub crossed: u32,
    pub not_checked: u32,
    pub checklist: Option<ChecklistCard>,
    pub trouble: Option<String>,
    pub artifacts: BTreeMap<String, String>,
    pub log: VecDeque<String>,
}

impl Board {
    pub fn say(&mut self, line: &str) {
        if self.log.len() == LOG_LINES_MAX {
            self.log.pop_front();
        }
        self.log.push_back(line.to_owned());
    }

    pub fn look(&mut self, look: Look) {
        if let Some(canary) = &mut self.canary {
            if canary.looks.len() >= LOOKS_MAX {
                let mut keep = false;
                canary.looks.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
            canary.looks.push(look);
        }
    }

    pub fn item(&mut self, id: &str) -> Option<&mut ItemCard> {
        self.items.iter_mut().find(|item| item.id == id)
    }
}

/// The board, shared. Clones are the same board.
#[derive(Debug, Clone)]
pub struct SharedBoard {
    board: Arc<Mutex<Board>>,
    version: watch::Sender<u64>,
}

impl SharedBoard {
    pub fn new() -> Self {
        Self {
            board: Arc::default(),
            version: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the board and wakes who watches it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Board) -> T) -> T {
        let answer = change(&mut self.lock());
        self.version.send_modify(|v| *v += 1);
        answer
    }

    pub fn read<T>(&self, read: impl FnOnce(&Board) -> T) -> T {
        read(&self.lock())
    }

    /// Wakes on every change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

impl Default for SharedBoard {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_looks_of_a_long_canary_stay_bounded_and_keep_the_newest() {
        let mut board = Board {
            canary: Some(CanaryCard::default()),
            ..Board::default()
        };
        for second in 0..5_000 {
            board.look(Look {
                t_s: f64::from(second),
                ..Look::default()
            });
        }
        let looks = &board.canary.unwrap().looks;
        assert!(looks.len() <= LOOKS_MAX);
        assert_eq!(looks.last().unwrap().t_s, 4_999.0);
        assert_eq!(looks[0].t_s, 0.0);
    }

    #[test]
    fn the_log_stays_bounded() {
        let mut board = Board::default();
        for line in 0..1_000 {
            board.say(&line.to_string());
        }
        assert_eq!(board.log.len(), LOG_LINES_MAX);
        assert_eq!(board.log.back().unwrap(), "999");
    }
}
