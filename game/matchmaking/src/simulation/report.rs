//! The figures of a simulated day.

use crate::{Queue, Settings, Ticket, drive::at_quantile};

const DECILES: usize = 10;
const MINUTE_MS: u64 = 60_000;
const MINUTES: usize = 24 * 60;

/// What the shares 50 %, 90 % and 99 % of the values do not exceed, and the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Quantiles {
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut ascending: Vec<f64> = values.into_iter().collect();
        ascending.sort_unstable_by(f64::total_cmp);
        let at = |share| at_quantile(&ascending, share).unwrap_or(0.0);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// A tenth of the matched tickets, by rating.
#[derive(Debug, Clone, PartialEq)]
pub struct DecileReport {
    /// The lowest and the highest rating in it.
    pub ratings: (i32, i32),
    pub wait_ms: Quantiles,
    /// The gap to the opponent, in rating points.
    pub gap: Quantiles,
}

/// The tickets that were matched within one hour of the day.
#[derive(Debug, Clone, PartialEq)]
pub struct HourReport {
    pub tickets: u64,
    pub wait_ms: Quantiles,
    pub gap: Quantiles,
}

/// What a day was like.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub tickets: u64,
    pub matches: u64,
    /// Players who left while they waited.
    pub cancelled: u64,
    pub disconnected: u64,
    /// Suspended tickets whose players came back in time, and those that were dropped.
    pub resumed: u64,
    pub expired: u64,
    /// Tickets that a full queue turned away.
    pub refused: u64,
    /// Tickets that waited when the day was over.
    pub left: u64,
    /// Matches of last opponents.
    pub rematches: u64,
    /// Those while nobody else waited.
    pub rematches_alone: u64,
    /// Those before both had waited for `avoid_ms`, or `avoid_alone_ms` if nobody else waited, or one
    /// of them up to the bound: none.
    pub instant_rematches: u64,
    pub wait_ms: Quantiles,
    pub gap: Quantiles,
    /// How far the stronger side's chance to win is above one half, by true strength.
    pub win_probability_error: Quantiles,
    /// The same by rating: what a perfect rating would leave.
    pub win_probability_error_by_rating: Quantiles,
    /// The share of matched tickets that had reached the bound on waiting.
    pub share_at_bound: f64,
    /// Matches that came later than the bound although both were there: never.
    pub past_bound: u64,
    /// By rating, the weakest tenth first.
    pub deciles: Vec<DecileReport>,
    pub hours: Vec<HourReport>,
    /// The age of the oldest waiting ticket, the highest of each minute of the day (milliseconds).
    pub oldest_ms_by_minute: Vec<u64>,
    /// The largest number of tickets in the queue at once.
    pub queue_max: usize,
}

/// Two players meet.
pub(super) struct Meeting {
    pub now_ms: u64,
    /// The older one first.
    pub sides: [Ticket; 2],
    pub strengths: [f64; 2],
    pub rematch: bool,
    /// Nobody else waited.
    pub alone: bool,
    /// One of them could not be matched for a part of the wait.
    pub was_away: bool,
    pub settings: Settings,
}

/// One side of a match.
#[derive(Debug, Clone, Copy)]
struct Side {
    rating: i32,
    wait_ms: u64,
    gap: u32,
    hour: usize,
}

/// Counted while the day goes on.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub tickets: u64,
    pub cancelled: u64,
    pub disconnected: u64,
    pub resumed: u64,
    pub expired: u64,
    pub refused: u64,
    rematches: u64,
    rematches_alone: u64,
    instant_rematches: u64,
    at_bound: u64,
    past_bound: u64,
    sides: Vec<Side>,
    errors: Vec<f64>,
    errors_by_rating: Vec<f64>,
    oldest_ms_by_minute: Vec<u64>,
    queue_max: usize,
}

impl Notes {
    pub fn meeting(&mut self, meeting: &Meeting) {
        let [older, younger] = meeting.sides;
        let waited_ms = |ticket: &Ticket| meeting.now_ms.saturating_sub(ticket.enqueued_at_ms);
        let gap = older.rating.abs_diff(younger.rating);
        for ticket in &meeting.sides {
            let wait_ms = waited_ms(ticket);
            self.at_bound += u64::from(wait_ms >= meeting.settings.wait_ms_max);
            self.sides.push(Side {
                rating: ticket.rating,
                wait_ms,
                gap,
                hour: (meeting.now_ms / (60 * MINUTE_MS)) as usize,
            });
        }
        let due_ms = (older.enqueued_at_ms + meeting.settings.wait_ms_max).max(younger.enqueued_at_ms);
        self.past_bound += u64::from(!meeting.was_away && meeting.now_ms > due_ms);
        if meeting.rematch {
            let apart_ms = if meeting.alone {
                meeting.settings.avoid_alone_ms
            } else {
                meeting.settings.avoid_ms
            };
            let in_time =
                waited_ms(&younger) >= apart_ms || waited_ms(&older) >= meeting.settings.wait_ms_max;
            self.rematches += 1;
            self.rematches_alone += u64::from(meeting.alone);
            self.instant_rematches += u64::from(!in_time);
        }
        let [a, b] = meeting.strengths;
        self.errors.push(win_probability_error(a - b));
        self.errors_by_rating.push(win_probability_error(f64::from(gap)));
    }

    pub fn oldest(&mut self, now_ms: u64, oldest_ms: u64, queued: usize) {
        self.oldest_ms_by_minute.resize(MINUTES, 0);
        if let Some(highest_ms) = self.oldest_ms_by_minute.get_mut((now_ms / MINUTE_MS) as usize) {
            *highest_ms = oldest_ms.max(*highest_ms);
        }
        self.queue_max = self.queue_max.max(queued);
    }

    pub fn report(mut self, queue: &Queue) -> Report {
        self.sides.sort_by_key(|side| side.rating);
        let tenth = self.sides.len().div_ceil(DECILES).max(1);
        let deciles = self.sides.chunks(tenth).map(|sides| DecileReport {
            ratings: (sides[0].rating, sides[sides.len() - 1].rating),
            wait_ms: waits(sides),
            gap: gaps(sides),
        });
        let hours = (0..24).map(|hour| {
            let sides: Vec<Side> = self
                .sides
                .iter()
                .filter(|side| side.hour == hour)
                .copied()
                .collect();
            HourReport {
                tickets: sides.len() as u64,
                wait_ms: waits(&sides),
                gap: gaps(&sides),
            }
        });
        Report {
            tickets: self.tickets,
            matches: self.errors.len() as u64,
            cancelled: self.cancelled,
            disconnected: self.disconnected,
            resumed: self.resumed,
            expired: self.expired,
            refused: self.refused,
            left: queue.len() as u64,
            rematches: self.rematches,
            rematches_alone: self.rematches_alone,
            instant_rematches: self.instant_rematches,
            wait_ms: waits(&self.sides),
            gap: gaps(&self.sides),
            win_probability_error: Quantiles::of(self.errors.iter().copied()),
            win_probability_error_by_rating: Quantiles::of(self.errors_by_rating.iter().copied()),
            share_at_bound: self.at_bound as f64 / self.sides.len().max(1) as f64,
            past_bound: self.past_bound,
            deciles: deciles.collect(),
            hours: hours.collect(),
            oldest_ms_by_minute: self.oldest_ms_by_minute.clone(),
            queue_max: self.queue_max,
        }
    }
}

fn waits(sides: &[Side]) -> Quantiles {
    Quantiles::of(sides.iter().map(|side| side.wait_ms as f64))
}

fn gaps(sides: &[Side]) -> Quantiles {
    Quantiles::of(sides.iter().map(|side| f64::from(side.gap)))
}

/// By the logistic curve on which 400 points mean odds of ten to one.
fn win_probability_error(difference: f64) -> f64 {
    (1.0 / (1.0 + 10_f64.powf(-difference / 400.0)) - 0.5).abs()
}
