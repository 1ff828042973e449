//! Ids of games and seeds of coin tosses: what the server does, beside one lock around a generator
//! and beside an atomic counter with a generator per thread.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::report::{Limit, Report};

/// Per thread.
const IDS: u32 = 500_000;
const THREADS: usize = 4;

pub fn run(seed: u64) -> Report {
    let mut report = Report::default();
    let locked = Mutex::new(StdRng::seed_from_u64(seed));
    let counter = AtomicU64::new(0);
    let ours = nanoseconds(|| u64::from(uuid::Uuid::now_v7().as_bytes()[15]));
    let mutex = nanoseconds(|| locked.lock().map_or(0, |mut random| random.next_u64()));
    let atomic = nanoseconds(|| counter.fetch_add(1, Ordering::Relaxed) ^ fastrand::u64(..));
    let own = nanoseconds(|| rand::rng().next_u64());
    report.add("game_id_ns", ours, "ns", Limit::None);
    report.add("mutex_ns", mutex, "ns", Limit::None);
    report.add("atomic_fastrand_ns", atomic, "ns", Limit::None);
    report.add("thread_rng_ns", own, "ns", Limit::None);
    report.add("ratio_game_id_vs_mutex", mutex / ours, "times", Limit::None);
    // A game is begun a few hundred times a second and its commit takes a millisecond.
    report.add(
        "game_id_share_of_a_move_percent",
        ours / 45_000.0 * 100.0,
        "%",
        Limit::AtMost(5.0),
    );
    report.note(format!("{THREADS} threads at once, time per id and thread"));
    report
}

fn nanoseconds(make: impl Fn() -> u64 + Sync) -> f64 {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut all = 0;
                for _ in 0..IDS {
                    all ^= make();
                }
                black_box(all);
            });
        }
    });
    began.elapsed().as_nanos() as f64 / f64::from(IDS)
}
