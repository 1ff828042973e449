//! Simulated traffic, second by second: what both sides answered, as a gateway would have counted it.

use std::sync::Arc;

use tminus_origin::repeats::Repeats;
use tminus_plan::Counts;

use crate::random::{Random, Weighted};

/// Errors of the stable side, over all of its requests.
pub const ERROR_RATE: f64 = 0.005;
/// The canary's share of the players.
pub const CANARY_SHARE: f64 = 0.3;
/// Latencies are lognormal: this is the median …
const MEDIAN_US: f64 = 80_000.0;
/// … and this the spread: P95 is 249 ms, P99 398 ms.
const SIGMA: f64 = 0.69;
/// Bucket bounds grow by a tenth, as a gateway's do.
const BUCKET_GROWTH: f64 = 1.1;
const BUCKET_FIRST_US: f64 = 1_000.0;
const BUCKETS: usize = 100;

/// A burst takes so many seconds of each minute …
const BURST_S: u32 = 10;
/// … and brings so many times the mean traffic; the rest of the minute has what is left.
const BURST_TIMES: f64 = 4.0;
/// Under a burst both sides fail twice as often and are a quarter slower.
const BURST_ERRORS: f64 = 2.0;
const BURST_LATENCY: f64 = 1.25;

/// Players that are active at a time in skewed traffic …
const ACTIVE: usize = 50;
/// … for so many seconds each, on average.
const SESSION_S: f64 = 180.0;
/// One in five players makes four fifths of the requests.
const HEAVY_SHARE: f64 = 0.2;
const HEAVY_WEIGHT: f64 = 16.0;
/// In clustered traffic one fault makes so many requests of one player fail.
const CLUSTER: u64 = 4;
/// Where some players are broken, so many of all requests are theirs, and all of those fail: as many as fail otherwise.
const BROKEN_SHARE: f64 = ERROR_RATE;

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Many players, each with few requests.
    Steady,
    /// A minority makes most requests; players keep their side, so the canary's share of the traffic moves.
    Skewed,
    /// Most requests come in bursts that strain both sides.
    Bursty,
    /// Skewed, and faults hit players: an error takes several requests of one player with it.
    Clustered,
    /// Skewed, and every request of a few players fails, whatever the release: their data is bad.
    Broken,
    /// The canary's share grows during the run, and everybody's errors grow with it.
    Rising,
}

impl Shape {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Skewed => "skewed",
            Self::Bursty => "bursty",
            Self::Clustered => "clustered",
            Self::Broken => "broken_players",
            Self::Rising => "rising",
        }
    }
}

/// What is wrong with the canary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// So many times the errors.
    Errors(f64),
    /// Every answer takes so many times as long.
    Slower(f64),
    /// The slowest tenth is stretched, so that P99 is so many times as high.
    Tail(f64),
}

impl Fault {
    /// How much more often a request fails on the canary.
    #[must_use]
    pub fn error_ratio(self) -> f64 {
        match self {
            Self::Errors(times) => times,
            _ => 1.0,
        }
    }
}

/// Bucket bounds in microseconds.
#[must_use]
pub fn bounds_us() -> Vec<u64> {
    (0..BUCKETS)
        .map(|at| (BUCKET_FIRST_US * BUCKET_GROWTH.powi(at as i32)).round() as u64)
        .collect()
}

/// The chance that an answer takes longer than so long, without strain.
#[must_use]
pub fn beyond(fault: Fault, us: f64) -> f64 {
    const Z90: f64 = 1.281_551_6;
    const Z99: f64 = 2.326_347_9;
    let z = match fault {
        Fault::None | Fault::Errors(_) => (us / MEDIAN_US).ln() / SIGMA,
        Fault::Slower(times) => (us / MEDIAN_US / times).ln() / SIGMA,
        Fault::Tail(times) => {
            let z = (us / MEDIAN_US).ln() / SIGMA;
            let stretch = 1.0 + times.ln() / SIGMA / (Z99 - Z90);
            if z <= Z90 { z } else { Z90 + (z - Z90) / stretch }
        }
    };
    normal_beyond(z)
}

/// The chance that a standard normal variable is above `z`; to about 1e-7 (Abramowitz and Stegun 7.1.26).
#[must_use]
pub fn normal_beyond(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * series * (-x * x).exp();
    if z >= 0.0 { tail } else { 1.0 - tail }
}

fn latencies(fault: Fault, times: f64) -> Weighted {
    let bounds = bounds_us();
    let mut weights = Vec::with_capacity(bounds.len());
    let mut above = 1.0;
    for upper in &bounds {
        let beyond = beyond(fault, *upper as f64 / times);
        weights.push((above - beyond).max(0.0));
        above = beyond;
    }
    // The last bucket holds everything longer.
    if let Some(last) = weights.last_mut() {
        *last += above;
    }
    Weighted::new(&weights)
}

/// What does not change between the runs of one scenario.
#[derive(Clone, Debug)]
pub struct Model {
    pub shape: Shape,
    pub fault: Fault,
    pub per_minute: u32,
    /// Seconds after which a rising share has risen.
    pub length_s: u32,
    /// By strain: calm or burst; by side: stable, canary.
    latencies: Arc<[[Weighted; 2]; 2]>,
}

impl Model {
    #[must_use]
    pub fn new(shape: Shape, fault: Fault, per_minute: u32, length_s: u32) -> Self {
        let of = |times: f64| [latencies(Fault::None, times), latencies(fault, times)];
        Self {
            shape,
            fault,
            per_minute,
            length_s,
            latencies: Arc::new([of(1.0), of(BURST_LATENCY)]),
        }
    }
}

/// One second of traffic.
#[derive(Clone, Debug, Default)]
pub struct Second {
    pub stable: Counts,
    pub canary: Counts,
    /// The chance with which a request went to the canary: only one of the SPRTs is told.
    pub share: f64,
}

impl Shape {
    /// Whether it is about few players with many requests each.
    fn has_players(self) -> bool {
        matches!(self, Self::Skewed | Self::Clustered | Self::Broken)
    }
}

/// Somebody who is active.
#[derive(Clone, Copy, Debug)]
struct Player {
    id: u64,
    /// How many requests, against those of others.
    weight: f64,
    on_canary: bool,
    broken: bool,
    /// Requests of the side that went well until this player's last failure.
    since: u64,
}

/// A run: traffic from a seed.
#[derive(Clone, Debug)]
pub struct Traffic {
    model: Model,
    random: Random,
    second: u32,
    burst_from: u32,
    players: Vec<Player>,
    /// What the active players weigh, and what those weigh who are broken; by side: stable, canary.
    weights: [(f64, f64); 2],
    /// As a gateway tells faults from what follows them, by side.
    repeats: [Repeats; 2],
    /// Requests that went well, by side.
    well: [u64; 2],
    now: Second,
}

impl Traffic {
    #[must_use]
    pub fn new(model: &Model, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let burst_from = (random.next() % 60) as u32;
        let empty = || Counts {
            latency_us: bounds_us().into_iter().map(|upper| (upper, 0)).collect(),
            ..Counts::default()
        };
        let mut traffic = Self {
            model: model.clone(),
            random,
            second: 0,
            burst_from,
            players: Vec::new(),
            weights: [(0.0, 0.0); 2],
            repeats: Default::default(),
            well: [0; 2],
            now: Second {
                stable: empty(),
                canary: empty(),
                share: CANARY_SHARE,
            },
        };
        if model.shape.has_players() {
            for _ in 0..ACTIVE {
                let player = traffic.player();
                traffic.players.push(player);
                traffic.count(player, 1.0);
            }
        }
        traffic
    }

    fn player(&mut self) -> Player {
        let weight = if self.random.chance(HEAVY_SHARE) {
            HEAVY_WEIGHT
        } else {
            1.0
        };
        let on_canary = self.random.chance(CANARY_SHARE);
        Player {
            id: self.random.next(),
            weight,
            on_canary,
            broken: self.model.shape == Shape::Broken && self.random.chance(BROKEN_SHARE),
            since: self.well[usize::from(on_canary)],
        }
    }

    fn count(&mut self, player: Player, sign: f64) {
        let (all, broken) = &mut self.weights[usize::from(player.on_canary)];
        *all += sign * player.weight;
        if player.broken {
            *broken += sign * player.weight;
        }
    }

    /// Requests of somebody of a side fail, whoever it is, by weight; answers how many of them repeat one.
    fn fail(&mut self, on_canary: usize, broken: bool, requests: u64) -> u64 {
        let (all, theirs) = self.weights[on_canary];
        let weight = if broken { theirs } else { all - theirs };
        let mut left = self.random.unit() * weight;
        let of_side =
            |player: &&mut Player| usize::from(player.on_canary) == on_canary && player.broken == broken;
        let player = self.players.iter_mut().filter(of_side).find(|player| {
            left -= player.weight;
            left <= 0.0
        });
        let Some(player) = player else { return 0 };
        let repeats = &mut self.repeats[on_canary];
        if !broken {
            // The player's part of what went well.
            let well = self.well[on_canary] - player.since;
            repeats.succeeded(player.id, (well as f64 * player.weight / weight).round() as u64);
            player.since = self.well[on_canary];
        }
        let now_ms = u64::from(self.second) * 1000;
        (0..requests)
            .map(|_| u64::from(!repeats.is_news(player.id, now_ms)))
            .sum()
    }

    /// A second before the canary has any traffic.
    pub fn baseline(&mut self) -> &Second {
        self.pass(true)
    }

    /// The next second.
    pub fn pass_second(&mut self) -> &Second {
        self.pass(false)
    }

    fn pass(&mut self, baseline: bool) -> &Second {
        for side in [&mut self.now.stable, &mut self.now.canary] {
            side.requests = 0;
            side.errors = 0;
            side.errors_repeated = 0;
            side.latency_us.iter_mut().for_each(|bucket| bucket.1 = 0);
        }
        let strained = self.model.shape == Shape::Bursty && (self.second + self.burst_from) % 60 < BURST_S;
        let burst_share = f64::from(BURST_S) / 60.0;
        let (times, errors) = match self.model.shape {
            Shape::Bursty => {
                // Of all requests this share comes under strain; errors over all of them are the usual ones.
                let in_bursts = burst_share * BURST_TIMES;
                let calm = ERROR_RATE / (1.0 - in_bursts + in_bursts * BURST_ERRORS);
                if strained {
                    (BURST_TIMES, calm * BURST_ERRORS)
                } else {
                    ((1.0 - in_bursts) / (1.0 - burst_share), calm)
                }
            }
            Shape::Rising if !baseline => (1.0, ERROR_RATE * (0.05 + 3.0 * self.risen().powi(2))),
            _ => (1.0, ERROR_RATE),
        };
        self.now.share = match self.model.shape {
            _ if baseline => 0.0,
            Shape::Skewed | Shape::Clustered | Shape::Broken => self.change_players(),
            Shape::Rising => 0.02 + 0.88 * self.risen(),
            Shape::Steady | Shape::Bursty => CANARY_SHARE,
        };
        let arrivals = self
            .random
            .poisson(f64::from(self.model.per_minute) / 60.0 * times);
        let limit = |chance: f64| (chance.min(1.0) * 4_294_967_296.0) as u64;
        let cluster = if self.model.shape == Shape::Clustered {
            CLUSTER
        } else {
            1
        };
        let (to_canary, fails) = (limit(self.now.share), [1.0, self.model.fault.error_ratio()]);
        let fails = fails.map(|times| errors * times / cluster as f64);
        // Requests of broken players fail, besides those that would.
        let broken = self.weights.map(|(all, broken)| {
            let share = if all > 0.0 { (broken / all).max(0.0) } else { 0.0 };
            if baseline { 0.0 } else { share }
        });
        let fails: [u64; 2] =
            std::array::from_fn(|side| limit(broken[side] + (1.0 - broken[side]) * fails[side]));
        let broken = broken.map(limit);
        let model = Arc::clone(&self.model.latencies);
        let latencies = &model[usize::from(strained)];
        for _ in 0..arrivals {
            let number = self.random.next();
            let on_canary = usize::from(number >> 32 < to_canary);
            let low = number & 0xffff_ffff;
            let failed = low < fails[on_canary];
            let requests = if failed { cluster } else { 1 };
            let mut repeated = 0;
            if failed && self.model.shape.has_players() {
                repeated = self.fail(on_canary, low < broken[on_canary], requests);
            }
            self.well[on_canary] += u64::from(!failed);
            let side = if on_canary == 1 {
                &mut self.now.canary
            } else {
                &mut self.now.stable
            };
            for _ in 0..requests {
                side.latency_us[latencies[on_canary].draw(&mut self.random)].1 += 1;
            }
            side.requests += requests;
            side.errors += if failed { requests } else { 0 };
            side.errors_repeated += repeated;
        }
        if !baseline {
            self.second += 1;
        }
        &self.now
    }

    fn risen(&self) -> f64 {
        (f64::from(self.second) / f64::from(self.model.length_s.max(1))).min(1.0)
    }

    /// Sessions end and others begin; answers the canary's share of the traffic.
    fn change_players(&mut self) -> f64 {
        for at in 0..self.random.poisson(ACTIVE as f64 / SESSION_S) {
            let at = (self.random.next() as usize ^ at as usize) % self.players.len();
            let (gone, comes) = (self.players[at], self.player());
            self.count(gone, -1.0);
            self.count(comes, 1.0);
            self.players[at] = comes;
        }
        let [(stable, _), (canary, _)] = self.weights;
        canary / (stable + canary)
    }
}
