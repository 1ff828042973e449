//! Keeps the thread of the load awake, and knows how much of its time is work.
//!
//! A thread that sleeps has to be woken by whoever sends to it, on a virtual machine at the price of several
//! microseconds. A fast proxy, whose clients wait for it, would pay that more often than a slow one, whose clients are
//! always behind. So the load looks for work all the time, as a network card would find its host at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Looking for work and finding none takes less; the least work, a read and a write, takes more.
const LOOK_MAX: Duration = Duration::from_micros(2);

#[derive(Debug)]
pub struct Vigil {
    idle_ns: Arc<AtomicU64>,
    awake: bool,
}

impl Vigil {
    /// Within the runtime of the load. Where the load shares its core with a proxy it sleeps as others do.
    pub fn begin(awake: bool) -> Self {
        let idle_ns = Arc::new(AtomicU64::new(0));
        if awake {
            tokio::spawn(look_for_work(Arc::clone(&idle_ns)));
        }
        Self { idle_ns, awake }
    }

    /// Seconds of work of this process so far.
    pub fn busy_s(&self) -> f64 {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_s = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        let idle_s = self.idle_ns.load(Ordering::Relaxed) as f64 / 1e9;
        if self.awake { cpu_s - idle_s } else { cpu_s }
    }
}

async fn look_for_work(idle_ns: Arc<AtomicU64>) {
    let mut last = Instant::now();
    loop {
        // The runtime asks the system for events before it comes back here.
        tokio::task::yield_now().await;
        let now = Instant::now();
        let took = now - last;
        if took < LOOK_MAX {
            idle_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        }
        last = now;
    }
}
