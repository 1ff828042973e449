//! Whether a failure is news, or the same one again.
//!
//! One fault makes many errors when its player tries again at once, or stays with a player whose data it
//! breaks. Whoever compares two releases by their errors would take them for so many faults, all on one side, since
//! players keep their side. So a player's error is news, and what follows within a quiet time is a repeat. A failure
//! after it is news once more. Of whoever fails in a fifth of all requests or more in between, the quiet time doubles
//! each time: who fails all the time makes news six times in ten minutes, not at every request. Who fails now and then, or not
//! for a minute, starts afresh.
//!
//! What is remembered has a fixed size. A player who was displaced makes news again, so that an error may be
//! counted too often, and never too seldom.

/// What follows a player's first failure within so many milliseconds is a repeat.
pub const QUIET_FIRST_MS: u64 = 10_000;
/// The quiet time grows up to this.
pub const QUIET_MAX_MS: u64 = 3_600_000;
/// A player who did not fail for so long starts afresh, when the quiet time is over.
pub const FORGOTTEN_AFTER_MS: u64 = 60_000;
/// So does one with more successes than this for each failure.
pub const SUCCESSES_PER_FAILURE: u64 = 4;

const SETS: usize = 4096;
const WAYS: usize = 4;

/// A player that has failed. `last_ms` is 0 where there is none: clocks start at 1.
#[derive(Clone, Copy, Debug, Default)]
struct Failed {
    player: u64,
    last_ms: u64,
    quiet_until_ms: u64,
    quiet_ms: u64,
    /// Since the failure that was news last, that one included.
    failures: u64,
    successes: u64,
}

/// The players that have failed lately; 768 KiB once one has.
#[derive(Clone, Debug, Default)]
pub struct Repeats(Vec<[Failed; WAYS]>);

impl Repeats {
    /// Whether a failure of this player at this moment is news. `player` is a hash, even in all its bits;
    /// moments are milliseconds since any beginning and do not fall.
    pub fn is_news(&mut self, player: u64, now_ms: u64) -> bool {
        let now_ms = now_ms.saturating_add(1);
        if self.0.is_empty() {
            self.0 = vec![[Failed::default(); WAYS]; SETS];
        }
        let set = &mut self.0[place(player)];
        let known = set.iter().position(|failed| failed.is(player));
        let Some(failed) = known.map(|at| &mut set[at]) else {
            let oldest = set.iter_mut().min_by_key(|failed| failed.last_ms);
            if let Some(place) = oldest {
                *place = Failed {
                    player,
                    last_ms: now_ms,
                    quiet_until_ms: now_ms.saturating_add(QUIET_FIRST_MS),
                    quiet_ms: QUIET_FIRST_MS,
                    failures: 1,
                    successes: 0,
                };
            }
            return true;
        };
        let since_ms = now_ms.saturating_sub(failed.last_ms);
        failed.last_ms = now_ms;
        if now_ms < failed.quiet_until_ms {
            failed.failures += 1;
            return false;
        }
        let seldom = failed.successes > failed.failures.saturating_mul(SUCCESSES_PER_FAILURE);
        (failed.failures, failed.successes) = (1, 0);
        failed.quiet_ms = if seldom || since_ms >= FORGOTTEN_AFTER_MS {
            QUIET_FIRST_MS
        } else {
            (failed.quiet_ms * 2).min(QUIET_MAX_MS)
        };
        failed.quiet_until_ms = now_ms.saturating_add(failed.quiet_ms);
        true
    }

    /// So many requests of this player went well. Costs next to nothing for those who have not failed.
    pub fn succeeded(&mut self, player: u64, requests: u64) {
        let Some(set) = self.0.get_mut(place(player)) else {
            return;
        };
        if let Some(failed) = set.iter_mut().find(|failed| failed.is(player)) {
            failed.successes = failed.successes.saturating_add(requests);
        }
    }
}

fn place(player: u64) -> usize {
    (player >> 32) as usize % SETS
}

impl Failed {
    fn is(&self, player: u64) -> bool {
        self.player == player && self.last_ms > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    /// A hash as good as a gateway's.
    fn player(number: u64) -> u64 {
        let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 27)
    }

    /// The moments at which failures at these moments were news.
    fn news(failures_ms: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut repeats = Repeats::default();
        failures_ms
            .into_iter()
            .filter(|at_ms| repeats.is_news(player(1), *at_ms))
            .collect()
    }

    #[test]
    fn who_tries_again_at_once_makes_news_once() {
        assert_eq!(news([0, 0, 5, 9_999]), [0]);
        assert_eq!(news([0, 10_000]), [0, 10_000], "the quiet time is over");
        let mut repeats = Repeats::default();
        assert!(repeats.is_news(player(1), 0));
        assert!(repeats.is_news(player(2), 0), "another player");
    }

    #[test]
    fn who_fails_all_the_time_makes_news_ever_more_rarely() {
        let seconds = |last_s: u64| (0..=last_s).map(|s| s * 1000);
        assert_eq!(
            news(seconds(600)),
            [0, 10_000, 30_000, 70_000, 150_000, 310_000],
            "ten minutes"
        );
        let day = news(seconds(86_400));
        assert!(day.windows(2).all(|pair| pair[1] - pair[0] <= QUIET_MAX_MS));
        assert_eq!(day.len(), 9 + 23, "every hour in the end");
    }

    #[test]
    fn who_fails_now_and_then_keeps_the_first_quiet_time() {
        let news = |successes: u64| {
            let mut repeats = Repeats::default();
            repeats.succeeded(player(1), 1000);
            let mut news = 0;
            for second in 0..600 {
                // One failure each five seconds, and so many successes after it.
                if second % 5 == 0 {
                    news += u32::from(repeats.is_news(player(1), second * 1000));
                    repeats.succeeded(player(1), successes);
                    repeats.succeeded(player(2), 1000);
                }
            }
            news
        };
        assert_eq!(news(0), 6, "fails all the time");
        assert_eq!(news(4), 6, "in a fifth of the requests");
        assert_eq!(news(5), 60, "in less");
    }

    #[test]
    fn a_minute_without_a_failure_makes_the_next_one_news_as_at_first() {
        let once_a_minute: Vec<u64> = (0..10).map(|minute| minute * MINUTE_MS).collect();
        assert_eq!(news(once_a_minute.clone()), once_a_minute);
        // At 10 s the quiet time becomes 20 s; at 80 s it is 10 s again.
        assert_eq!(news([0, 10_000, 80_000, 91_000]), [0, 10_000, 80_000, 91_000]);
        assert_eq!(
            news([0, 10_000, 60_000, 79_000]),
            [0, 10_000, 60_000],
            "only 50 s"
        );
    }

    #[test]
    fn whoever_is_displaced_makes_news_again_and_nobody_is_forgotten_before() {
        let mut repeats = Repeats::default();
        let many = (SETS * WAYS) as u64 * 4;
        let all_news = (0..many).all(|number| repeats.is_news(player(number), 1));
        assert!(all_news, "different players");
        assert!(repeats.is_news(player(0), 2), "displaced long ago");
        assert!(!repeats.is_news(player(0), 3));
        assert_eq!(repeats.0.len(), SETS, "the size is fixed");
        // In one set: three more find a place beside a player, and the one that failed last stays longest.
        let mut repeats = Repeats::default();
        for number in 0..4 {
            assert!(repeats.is_news(number, number));
        }
        assert!(!repeats.is_news(0, 5), "all four are known");
        assert!(repeats.is_news(4, 6), "takes the place of 1");
        assert!(!repeats.is_news(0, 7));
        assert!(repeats.is_news(1, 8));
    }
}
