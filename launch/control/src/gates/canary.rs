//! The gate `canary`: gives the canary weight in steps, looks, and takes it back when it is worse.
//!
//! What to do after each look is decided by `tminus_plan::Rollout`, which is pure; here it is done:
//! weights set and traffic counted, steps recorded, traffic kept up, and after a rollback the canary drained and its
//! players followed until they play on elsewhere. However this gate ends, other than with a finished
//! rollout, the canary's weight is 0 when it returns.
//!
//! It knows neither who splits the traffic nor who counts: a [`Router`] does the one, a [`MetricSource`] the other.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tminus_load::http::HttpHandle;
use tminus_load::players::{PlayersHandle, PlayersReport};
use tminus_plan::{CanarySpec, Counts, Decision, Look, Rollout, RolloutVerdict, Step};
use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::load::{could_not, describe, http_config, players_config, players_text, seconds};
use super::metrics::{self, MetricSource};
use super::router::{self, Router};
use super::{CouldNotRun, Hands, Job, Measured, unless_stopped};
use crate::board::{self, CanaryCard, SideCard};

/// After a rollback: how long at most until nobody plays on the canary any more.
const LEAVE_MAX: Duration = Duration::from_secs(20);
/// The canary is quiet when it has answered nothing for so long.
const QUIET: Duration = Duration::from_secs(2);
/// Players resign after so many plies: a player is given a release when it connects, once for each
/// game, so short games let a change of weight reach the players within a step.
const GAME_PLIES: u32 = 12;
/// Then players go on so long on stable, so that it shows that they can.
const PLAY_ON: Duration = Duration::from_secs(4);
/// The last orders to the router, after a stop, may take so long.
const PUT_BACK_MAX: Duration = Duration::from_secs(20);
/// Traffic outlasts the slowest rollout by this.
const TRAFFIC_MARGIN: Duration = Duration::from_secs(120);
/// And by this where a step may wait for a person or for the end of a freeze: a whole launch.
const WAIT_MAX: Duration = Duration::from_hours(48);
/// A canary of which nothing is known is taken back after so many seconds, unless the plan says otherwise.
const BLIND_S: f64 = 60.0;

/// The traffic that this gate keeps up.
enum TrafficRun {
    /// Real players are enough.
    None,
    Players(PlayersHandle),
    Http(HttpHandle),
}

struct Steering<'a> {
    spec: &'a CanarySpec,
    hands: &'a Hands,
    router: Box<dyn Router>,
    source: Box<dyn MetricSource>,
    traffic: TrafficRun,
    rollout: Rollout,
    began: Instant,
    /// Since the canary first had weight.
    exposed: Option<Instant>,
    verdict_after: Option<Duration>,
    /// Where the plan has freeze windows: whose clock they go by.
    zone: Option<TimeZone>,
    /// What was known of both sides last.
    known: (Counts, Counts),
    /// Since when something that matters is not known.
    blind_since: Option<Instant>,
    last: Option<(Instant, Counts, Counts)>,
    points: Vec<board::Look>,
    notes: Vec<String>,
}

/// Runs the rollout to its end: finished or rolled back.
///
/// # Errors
/// Router, counters or traffic cannot be worked with; the weight has been put back to 0 as far as possible.
pub(super) async fn run(
    spec: &CanarySpec,
    job: &Job,
    hands: &Hands,
    live: &Live,
) -> Result<Measured, CouldNotRun> {
    let zone = zone(spec, job)?;
    let seed = live.seed_of(job);
    let (mut router, releases) = router::connect(spec, seed).await?;
    let weight = router.weight().await?;
    if weight > 0 {
        let reason = format!(
            "attempt {} starts from 0 %; the canary had {weight} %",
            job.attempt
        );
        hands.record_step(0, reason, RolloutVerdict::Started).await?;
    }
    router.set_weight(0).await?;
    router.set_draining(false).await?;
    let at_0 = router.verify(0).await?;

    let mut longest = seconds(spec.budgets.step_s)
        .saturating_mul(u32::try_from(spec.steps.len()).unwrap_or(u32::MAX))
        .saturating_add(TRAFFIC_MARGIN);
    if spec.may_wait() {
        longest = longest.saturating_add(WAIT_MAX);
    }
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let mut measured = match &spec.traffic {
        Some(traffic) => describe(traffic, longest, seed)?,
        None => Measured {
            target: router::address(&spec.router),
            ..Measured::default()
        },
    };
    measured.command = vec!["canary".to_owned(), router::address(&spec.router)];
    measured.inputs.remove("duration_s");
    measured.input("steps_percent", format!("{:?}", spec.steps));
    measured.input("hold_s", spec.hold_s);
    measured.input("min_requests", spec.min_requests);
    if let Some(slow_ms) = spec.slow_ms {
        measured.input("slow_ms", slow_ms);
    }
    measured.input("margins", format!("{:?}", spec.margins));
    measured.input("alpha", spec.alpha);
    measured.input("stable_version", &releases.stable);
    measured.input("canary_version", &releases.canary);
    if let Some(probe) = &spec.probe {
        measured.input("probe", format!("{} × {}", probe.requests, probe.url));
    }

    let traffic = match &spec.traffic {
        None => TrafficRun::None,
        Some(traffic) => match http_config(traffic, longest, seed)? {
            Some(config) => {
                TrafficRun::Http(tminus_load::http::start(config, cancel.clone()).map_err(|e| could_not(&e))?)
            }
            None => {
                let mut config = players_config(traffic, longest, seed, job, live)?;
                config.slow_after = Duration::from_millis(u64::from(metrics::slow_ms(spec)));
                config.finish_within = Duration::from_secs(1);
                config.resign_after_plies = Some(GAME_PLIES);
                TrafficRun::Players(
                    tminus_load::players::start(config, cancel.clone())
                        .await
                        .map_err(|e| could_not(&e))?,
                )
            }
        },
    };
    let rollout = Rollout::new(spec);
    let ln_limit = rollout.ln_limit();
    let players = match &traffic {
        TrafficRun::Players(handle) => Some(handle.snapshots.clone()),
        TrafficRun::Http(_) | TrafficRun::None => None,
    };
    let mut source = metrics::connect(spec, &releases, players)?;
    measured.inputs.extend(source.describe().await?);
    hands.board.change(|board| {
        board.canary = Some(CanaryCard {
            stable: SideCard {
                version: releases.stable.clone(),
                weight_percent: 100,
                ..SideCard::default()
            },
            canary: SideCard {
                version: releases.canary.clone(),
                ..SideCard::default()
            },
            ln_limit,
            ..CanaryCard::default()
        });
    });

    let mut steering = Steering {
        spec,
        hands,
        router,
        source,
        traffic,
        rollout,
        began: Instant::now(),
        exposed: None,
        verdict_after: None,
        zone,
        known: <(Counts, Counts)>::default(),
        blind_since: None,
        last: None,
        points: Vec::new(),
        notes: vec![at_0],
    };
    if let Err(why) = steering.steer().await {
        steering.put_back(&why.why).await;
        return Err(why);
    }
    steering.conclude(measured, live).await
}

impl Steering<'_> {
    /// Looks and acts until the rollout is over.
    async fn steer(&mut self) -> Result<(), CouldNotRun> {
        let mut every = tokio::time::interval(seconds(self.spec.look_every_s.max(0.05)));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            unless_stopped(&self.hands.stop, every.tick()).await?;
            let (look, decision) = unless_stopped(&self.hands.stop, self.look()).await??;
            self.hands.approvals.wait_for(decision.awaits.as_deref());
            self.show(&look, &decision);
            match &decision.step {
                Step::Hold { .. } => {}
                Step::SetWeight(weight) => {
                    self.hands
                        .record_step(*weight, decision.reason.clone(), decision.verdict)
                        .await?;
                    if *weight > 0 {
                        self.exposed.get_or_insert_with(Instant::now);
                    }
                    unless_stopped(&self.hands.stop, self.router.set_weight(*weight)).await??;
                    let followed = unless_stopped(&self.hands.stop, self.router.verify(*weight)).await??;
                    self.notes.push(followed);
                    self.note_step(*weight, &decision.reason);
                }
                Step::Finished => {
                    self.verdict_after = self.exposed.map(|since| since.elapsed());
                    self.note_step(self.rollout.weight_percent(), &decision.reason);
                    return Ok(());
                }
                Step::Rollback { reason } => {
                    self.verdict_after = self.exposed.map(|since| since.elapsed());
                    // The weight first: every request until then meets the faulty release.
                    self.router.set_weight(0).await?;
                    self.hands
                        .record_step(0, reason.clone(), decision.verdict)
                        .await?;
                    self.note_step(0, reason);
                    if self.spec.drain {
                        let drained = self.router.set_draining(true).await?;
                        self.notes.push(drained);
                    }
                    // It is the rollback that must show, also where it is seen not to have worked.
                    let followed = self.router.verify(0).await;
                    self.notes.push(followed.unwrap_or_else(|error| error.why));
                    if self.spec.drain {
                        self.follow_players().await?;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Asks the counters, and the rollout what follows.
    async fn look(&mut self) -> Result<(Look, Decision), CouldNotRun> {
        let seen = self.source.look().await?;
        let (needs_stable, needs_canary) = self.rollout.needs();
        let mut unknown = None;
        for (side, known, needed) in [
            (seen.stable, &mut self.known.0, needs_stable),
            (seen.canary, &mut self.known.1, needs_canary),
        ] {
            match side {
                Ok(counts) => *known = counts,
                Err(why) if needed => unknown = Some(why),
                Err(_) => {}
            }
        }
        let look = Look {
            at_ms: millis(self.began.elapsed()),
            stable: self.known.0.clone(),
            canary: self.known.1.clone(),
            local_minute: self
                .zone
                .as_ref()
                .and_then(|zone| minute_of_week(zone, self.hands.wall.now_ms())),
            approvals: self.hands.approvals.given(),
        };
        let Some(why) = unknown else {
            self.blind_since = None;
            let decision = self.rollout.next(&look);
            return Ok((look, decision));
        };
        let since = *self.blind_since.get_or_insert_with(Instant::now);
        let limit_s = self
            .spec
            .metrics
            .as_ref()
            .map_or(BLIND_S, |metrics| metrics.blind_s);
        let decision = self
            .rollout
            .blind(&why, millis(since.elapsed()), millis(seconds(limit_s)));
        Ok((look, decision))
    }

    fn show(&mut self, look: &Look, decision: &Decision) {
        let now = Instant::now();
        let all = |c: &Counts| c.requests + c.timeouts;
        let bad = |c: &Counts| c.errors + c.timeouts;
        let rates = self.last.as_ref().map_or((0.0, 0.0), |(at, stable, canary)| {
            let s = (now - *at).as_secs_f64().max(0.001);
            let rate = |now: &Counts, then: &Counts| all(now).saturating_sub(all(then)) as f64 / s;
            (rate(&look.stable, stable), rate(&look.canary, canary))
        });
        self.last = Some((now, look.stable.clone(), look.canary.clone()));
        let weight = self.rollout.weight_percent();
        let point = board::Look {
            t_s: self.began.elapsed().as_secs_f64(),
            weight_percent: weight,
            ln_e: self.rollout.ln_evidence().clamp(0.0, 700.0),
            stable_per_second: rates.0,
            canary_per_second: rates.1,
        };
        self.points.push(point);
        let steps = self.spec.steps.len().max(1) as f64;
        let done = self.spec.steps.iter().position(|s| *s == weight).unwrap_or(0) as f64;
        let players = match &self.traffic {
            TrafficRun::Players(handle) => format!("; {}", players_text(&handle.snapshots.borrow())),
            _ => String::new(),
        };
        self.hands.progress(
            Some(done / steps),
            format!("canary at {weight} %: {}{players}", decision.reason),
        );
        self.hands.board.change(|board| {
            if let Some(card) = &mut board.canary {
                card.sentence.clone_from(&decision.reason);
                for (side, counts, rate, weight) in [
                    (&mut card.stable, &look.stable, rates.0, 100 - weight.min(100)),
                    (&mut card.canary, &look.canary, rates.1, weight),
                ] {
                    side.requests = all(counts);
                    side.errors = bad(counts);
                    side.per_second = rate;
                    side.weight_percent = weight;
                }
            }
            board.look(point);
        });
    }

    fn note_step(&mut self, weight: u32, reason: &str) {
        let line = format!(
            "{:>5.1} s  {weight:>3} %  {reason}",
            self.began.elapsed().as_secs_f64()
        );
        self.hands.board.change(|board| {
            if let Some(card) = &mut board.canary {
                card.steps.push(line);
                card.canary.weight_percent = weight;
                card.stable.weight_percent = 100 - weight.min(100);
            }
        });
    }

    /// After a rollback: until nobody plays on the canary any more and everybody who was sent away is
    /// back in a game, and then a while longer.
    async fn follow_players(&mut self) -> Result<(), CouldNotRun> {
        let until = Instant::now() + LEAVE_MAX;
        let mut quiet_since = Instant::now();
        let mut before = None;
        let (mut away, mut quiet) = (0, false);
        while !(quiet && away == 0) && Instant::now() < until {
            unless_stopped(&self.hands.stop, tokio::time::sleep(Duration::from_millis(250))).await?;
            let seen = self.source.look().await?;
            if let TrafficRun::Players(handle) = &self.traffic {
                let now = handle.snapshots.borrow();
                away = now.relocated.saturating_sub(now.resumed);
            }
            let open = seen.open_connections.unwrap_or(0);
            if before != Some(seen.canary_activity) || open > 0 {
                before = Some(seen.canary_activity);
                quiet_since = Instant::now();
            }
            quiet = quiet_since.elapsed() >= QUIET;
            self.hands.progress(
                None,
                format!("rolled back; {open} connections on the canary, {away} players on their way"),
            );
        }
        if !quiet {
            self.notes.push(format!(
                "the canary still answered {} s after the drain",
                LEAVE_MAX.as_secs()
            ));
        }
        if away > 0 {
            // Their game may have ended without them; whether one is lost, the journal says.
            self.notes.push(format!(
                "{away} players had not resumed {} s after the drain",
                LEAVE_MAX.as_secs()
            ));
        }
        if matches!(self.traffic, TrafficRun::Players(_)) {
            self.hands.progress(None, "rolled back; players go on on stable");
            unless_stopped(&self.hands.stop, tokio::time::sleep(PLAY_ON)).await?;
        }
        Ok(())
    }

    /// The canary out of service, as well as it can be done; the reason for it is on its way to the record.
    async fn put_back(&mut self, why: &str) {
        let orders = async {
            self.router.set_weight(0).await?;
            // An order that was given up on its way may have come in after this one.
            if self.router.weight().await? > 0 {
                self.router.set_weight(0).await?;
            }
            if !self.hands.stop.is_cancelled() {
                let reason = format!("the gate could not go on: {why}");
                self.hands
                    .record_step(0, reason, RolloutVerdict::NotEnoughEvidence)
                    .await?;
            }
            Ok::<(), CouldNotRun>(())
        };
        match tokio::time::timeout(PUT_BACK_MAX, orders).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(why = error.why, "the canary's weight could not be put back to 0");
            }
            Err(_) => tracing::warn!("the canary's weight could not be put back to 0 in time"),
        }
    }

    /// Ends the traffic and writes down what the rollout was.
    async fn conclude(mut self, mut measured: Measured, live: &Live) -> Result<Measured, CouldNotRun> {
        measured.measurements.extend(self.rollout.measurements());
        measured.notes.extend(self.notes);
        if let Some(after) = self.verdict_after {
            measured.measure("time_to_verdict_s", after.as_secs_f64(), "s");
        }
        for (name, value) in self.source.look().await?.figures {
            measured.measure(&name, value, "1");
        }
        for (name, value) in [
            (
                "weight_percent",
                (|p: &board::Look| f64::from(p.weight_percent)) as fn(&board::Look) -> f64,
            ),
            ("ln_e_max", |p| p.ln_e),
            ("stable_per_s", |p| p.stable_per_second),
            ("canary_per_s", |p| p.canary_per_second),
        ] {
            measured.series.insert(
                name.to_owned(),
                self.points.iter().map(|p| (p.t_s, value(p))).collect(),
            );
        }
        self.hands.progress(None, "ending the traffic");
        match self.traffic {
            TrafficRun::None => {}
            TrafficRun::Http(handle) => {
                handle.stop();
                let report = handle.join().await.map_err(|e| could_not(&e))?;
                measured.measure("players_moved", report.players_moved as f64, "1");
                measured.notes.extend(report.notes);
            }
            TrafficRun::Players(handle) => {
                handle.stop();
                let report = handle.join().await.map_err(|e| could_not(&e))?;
                games(&mut measured, &report, live).await?;
            }
        }
        Ok(measured)
    }
}

/// The timezone of freeze windows, if there are any.
fn zone(spec: &CanarySpec, job: &Job) -> Result<Option<TimeZone>, CouldNotRun> {
    if spec.freeze.is_empty() {
        return Ok(None);
    }
    let name = job.timezone.as_deref().unwrap_or("UTC");
    TimeZone::get(name).map(Some).map_err(|error| {
        CouldNotRun::new(format!("the plan's timezone `{name}` is not known here: {error}"))
            .hint("install the package tzdata, or name another timezone")
    })
}

/// Minutes since Monday, 00:00.
fn minute_of_week(zone: &TimeZone, now_ms: u64) -> Option<u32> {
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?;
    let now = now.to_zoned(zone.clone());
    let days = u32::try_from(now.weekday().to_monday_zero_offset()).ok()?;
    let (hours, minutes) = (u32::try_from(now.hour()).ok()?, u32::try_from(now.minute()).ok()?);
    Some((days * 24 + hours) * 60 + minutes)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What became of the games that the players were told about.
///
/// A game is lost when a player could not come back to it, when a move that was acknowledged is not
/// in the journal where the player was told, or when the journal no longer gives a game that can be
/// played on. A game that is merely unfinished when the players leave is none of these.
async fn games(measured: &mut Measured, report: &PlayersReport, live: &Live) -> Result<(), CouldNotRun> {
    for (name, value) in [
        ("games_moved", report.games_moved.len() as u64),
        ("games_started", report.games_started),
        ("games_finished", report.games_finished),
        ("games_unfinished", report.games_unfinished),
        ("moves", report.moves),
        ("lost_moves", report.lost_moves),
        ("players_relocated", report.relocated),
        ("players_resumed", report.resumed),
        ("players_without_sign_in", report.players_without_sign_in),
    ] {
        measured.measure(name, value as f64, "1");
    }
    measured.measure("generator_lag_p99_ms", report.generator_lag.p99_ms, "ms");
    measured.notes.extend(report.notes.iter().cloned());
    let mut lost = report.games_lost + report.lost_moves;
    if let Some(journal) = &live.journal {
        let found = journal.check(&live.acknowledged).await?;
        lost += found.lost + found.broken;
        measured.measure("journal_games", found.games as f64, "1");
        measured.measure("journal_acknowledged", found.acknowledged as f64, "1");
        measured.measure("journal_lost", found.lost as f64, "1");
        measured.measure("journal_twice", found.twice as f64, "1");
        measured.measure("journal_broken", found.broken as f64, "1");
    }
    measured.measure("games_lost", lost as f64, "1");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freeze_windows_go_by_the_plans_own_clock() {
        // 2026-03-01 16:30 UTC is a Sunday; in Shanghai it is Monday, 00:30.
        let now_ms = 1_772_382_600_000;
        assert_eq!(
            minute_of_week(&TimeZone::UTC, now_ms),
            Some((6 * 24 + 16) * 60 + 30)
        );
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        assert_eq!(minute_of_week(&shanghai, now_ms), Some(30));
    }
}
