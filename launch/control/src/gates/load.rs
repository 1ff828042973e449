//! The gates `load` and `recovery`: the load engine, with its progress on the board.

use std::time::Duration;

use tminus_load::http::{HttpConfig, HttpHandle, HttpReport};
use tminus_load::players::{PlayersConfig, PlayersHandle, PlayersReport};
use tminus_load::recovery::{NetworkLoss, RecoveryConfig};
use tminus_load::{LoadError, Measurements, Snapshot};
use tminus_plan::{Count, LoadSpec, Protocol, RecoverySpec, Traffic};
use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::{CouldNotRun, Hands, Job, Measured, unless_stopped};

/// How often a load is measured before the gate gives up on a generator that is late.
const LOAD_RUNS_MAX: usize = 3;
/// How long running games may go on after a load gate's time.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// Players of a recovery gate arrive within this share of its time.
const RECOVERY_ARRIVALS: f64 = 0.2;
/// The network is lost in the middle of a recovery gate, for so long.
const NETWORK_LOST_FOR: Duration = Duration::from_millis(1_500);

pub(super) fn could_not(error: &LoadError) -> CouldNotRun {
    let it = CouldNotRun::new(error.to_string());
    match error {
        LoadError::Unreachable { .. } => it.hint("start it, or correct the address in the plan or in --var"),
        LoadError::Generator(_) => it.hint("give the machine more room, or use fewer players"),
        _ => it,
    }
}

/// The number that a variable stood for; the plan's resolver has put it in.
pub(super) fn players_of(count: &Count) -> Result<u32, CouldNotRun> {
    count
        .number()
        .ok_or_else(|| CouldNotRun::new("the number of players is still a variable"))
}

pub(super) fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX)
}

/// What players do, from a plan's traffic.
pub(super) fn players_config(
    traffic: &Traffic,
    duration: Duration,
    seed: u64,
    job: &Job,
    live: &Live,
) -> Result<PlayersConfig, CouldNotRun> {
    Ok(PlayersConfig {
        players: players_of(&traffic.players)?,
        arrivals_over: seconds(traffic.arrivals_s),
        duration,
        finish_within: FINISH_WITHIN,
        think_time: Duration::from_millis(u64::from(traffic.think_ms.max(1))),
        seed,
        acknowledged_log: Some(live.acknowledged.part(&job.item, &job.gate.id, job.attempt)),
        ..PlayersConfig::new(traffic.target.clone())
    })
}

/// What plain requests do, from a plan's traffic; none when the traffic is players.
pub(super) fn http_config(
    traffic: &Traffic,
    duration: Duration,
    seed: u64,
) -> Result<Option<HttpConfig>, CouldNotRun> {
    let Protocol::Http {
        method,
        path,
        headers,
        rate_per_s,
    } = &traffic.protocol
    else {
        return Ok(None);
    };
    Ok(Some(HttpConfig {
        method: method.clone(),
        headers: headers.clone(),
        rate_per_s: *rate_per_s,
        duration,
        players: players_of(&traffic.players)?,
        seed,
        ..HttpConfig::new(traffic.target.clone(), path.clone())
    }))
}

/// Load for a fixed time.
///
/// A run in which the generator itself was late says nothing of the target: it is measured again,
/// and when that does not help, nothing is known.
pub(super) async fn load(
    spec: &LoadSpec,
    job: &Job,
    hands: &Hands,
    live: &Live,
) -> Result<Measured, CouldNotRun> {
    let mut void_runs = Vec::new();
    loop {
        let run = void_runs.len() as u32 + 1;
        let measured = load_once(spec, job, run, hands, live).await?;
        if let Some(settled) = settle(measured, &mut void_runs) {
            return settled;
        }
        hands.progress(Some(0.0), "the load generator was late; measuring again");
    }
}

/// What a run comes to; none when it is void and another may be tried.
fn settle(mut measured: Measured, void_runs: &mut Vec<String>) -> Option<Result<Measured, CouldNotRun>> {
    let is_void = measured
        .measurements
        .get("valid")
        .is_some_and(|valid| valid.value == 0.0);
    if !is_void {
        measured.measure("void_runs", void_runs.len() as f64, "1");
        measured.notes.append(void_runs);
        return Some(Ok(measured));
    }
    let number = void_runs.len() + 1;
    void_runs.push(format!("run {number} is void: {}", measured.notes.join("; ")));
    (number >= LOAD_RUNS_MAX).then(|| {
        let why = format!(
            "the load generator was late in every run. {}",
            void_runs.join(". ")
        );
        Err(CouldNotRun::new(why).hint("give the machine more CPU, or use fewer players"))
    })
}

async fn load_once(
    spec: &LoadSpec,
    job: &Job,
    run: u32,
    hands: &Hands,
    live: &Live,
) -> Result<Measured, CouldNotRun> {
    let seed = live.seed_of(job);
    let duration = seconds(spec.duration_s);
    let generator_lag_max = Duration::from_millis(u64::from(spec.generator_lag_max_ms));
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let mut measured = describe(&spec.traffic, duration, seed)?;
    if let Some(config) = http_config(&spec.traffic, duration, seed)? {
        let config = HttpConfig {
            generator_lag_max,
            ..config
        };
        let handle = tminus_load::http::start(config, cancel).map_err(|e| could_not(&e))?;
        let report = unless_stopped(&hands.stop, watch_http(handle, duration, hands))
            .await?
            .map_err(|e| could_not(&e))?;
        if report.requests > 0 && report.connection_errors == report.requests {
            return Err(CouldNotRun::new(format!(
                "{} does not answer: none of {} requests came through",
                spec.traffic.target, report.requests
            ))
            .hint("start it, or correct the address in the plan or in --var"));
        }
        measured.notes.extend(report.notes.iter().cloned());
        take_numbers(&mut measured, report.measurements());
        measured.series = report.series;
    } else {
        let mut config = PlayersConfig {
            generator_lag_max,
            ..players_config(&spec.traffic, duration, seed, job, live)?
        };
        if run > 1 {
            // What players were told in a void run is as true as ever: its file stays.
            let gate = format!("{}-run-{run}", job.gate.id);
            config.acknowledged_log = Some(live.acknowledged.part(&job.item, &gate, job.attempt));
        }
        let handle = tminus_load::players::start(config, cancel)
            .await
            .map_err(|e| could_not(&e))?;
        let report = unless_stopped(&hands.stop, watch_players(handle, duration, hands))
            .await?
            .map_err(|e| could_not(&e))?;
        measured.notes.extend(report.notes.iter().cloned());
        take_numbers(&mut measured, report.measurements());
        measured.series = report.series;
    }
    Ok(measured)
}

async fn watch_players(
    mut handle: PlayersHandle,
    duration: Duration,
    hands: &Hands,
) -> Result<PlayersReport, LoadError> {
    while handle.snapshots.changed().await.is_ok() {
        let (text, elapsed, finished) = {
            let now = handle.snapshots.borrow_and_update();
            (players_text(&now), now.elapsed_ms, now.finished)
        };
        hands.progress(
            Some(elapsed as f64 / 1_000.0 / duration.as_secs_f64().max(0.001)),
            text,
        );
        if finished {
            break;
        }
    }
    handle.join().await
}

async fn watch_http(
    mut handle: HttpHandle,
    duration: Duration,
    hands: &Hands,
) -> Result<HttpReport, LoadError> {
    while handle.snapshots.changed().await.is_ok() {
        let (text, elapsed, finished) = {
            let now = handle.snapshots.borrow_and_update();
            (
                format!(
                    "{} requests, {} errors, p99 {:.0} ms",
                    now.requests, now.errors, now.p99_ms
                ),
                now.elapsed_ms,
                now.finished,
            )
        };
        hands.progress(
            Some(elapsed as f64 / 1_000.0 / duration.as_secs_f64().max(0.001)),
            text,
        );
        if finished {
            break;
        }
    }
    handle.join().await
}

pub(super) fn players_text(now: &Snapshot) -> String {
    format!(
        "{} players, {} games, {} moves, {:.0} commands/s, p99 {:.0} ms, {} errors",
        now.players_present,
        now.games_open,
        now.moves,
        now.recent_commands_per_s,
        now.recent_p99_ms,
        now.errors
    )
}

/// Cuts connections under players and audits every game.
pub(super) async fn recovery(
    spec: &RecoverySpec,
    job: &Job,
    hands: &Hands,
    live: &Live,
) -> Result<Measured, CouldNotRun> {
    let seed = live.seed_of(job);
    let duration = seconds(spec.duration_s);
    let players = players_of(&spec.players)?;
    let config = RecoveryConfig {
        players,
        arrivals_over: duration.mul_f64(RECOVERY_ARRIVALS),
        duration,
        think_time: Duration::from_millis(u64::from(spec.think_ms.max(1))),
        cut_fraction: spec.cut_fraction,
        network_loss: Some(NetworkLoss {
            after: duration / 2,
            lasts: NETWORK_LOST_FOR,
        }),
        seed,
        acknowledged_log: Some(live.acknowledged.part(&job.item, &job.gate.id, job.attempt)),
        ..RecoveryConfig::new(spec.target.clone())
    };
    let mut measured = Measured {
        target: spec.target.clone(),
        command: vec!["recovery".to_owned(), "players".to_owned(), spec.target.clone()],
        ..Measured::default()
    };
    measured.input("players", players);
    measured.input("duration_s", spec.duration_s);
    measured.input("think_ms", spec.think_ms);
    measured.input("cut_fraction", spec.cut_fraction);
    measured.input("cuts_per_player", config.cuts_per_player);
    measured.input("network_lost_ms", NETWORK_LOST_FOR.as_millis());
    measured.input("seed", seed);
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let run = tminus_load::recovery::run_watched(config, cancel, |now| {
        let share = now.elapsed_ms as f64 / 1_000.0 / duration.as_secs_f64().max(0.001);
        hands.progress(Some(share), players_text(now));
    });
    let report = unless_stopped(&hands.stop, run)
        .await?
        .map_err(|e| could_not(&e))?;
    measured.notes.extend(report.notes.iter().cloned());
    take_numbers(&mut measured, report.measurements());
    measured.series = report.series;
    Ok(measured)
}

/// Target and inputs of a traffic, for the evidence.
pub(super) fn describe(traffic: &Traffic, duration: Duration, seed: u64) -> Result<Measured, CouldNotRun> {
    let mut measured = Measured {
        target: traffic.target.clone(),
        ..Measured::default()
    };
    measured.input("players", players_of(&traffic.players)?);
    measured.input("arrivals_s", traffic.arrivals_s);
    measured.input("duration_s", duration.as_secs_f64());
    measured.input("seed", seed);
    match &traffic.protocol {
        Protocol::Starvault => {
            measured.input("think_ms", traffic.think_ms);
            measured.command = vec![
                "players".to_owned(),
                "starvault.v1.proto".to_owned(),
                traffic.target.clone(),
            ];
        }
        Protocol::Http {
            method,
            path,
            rate_per_s,
            ..
        } => {
            measured.input("rate_per_s", rate_per_s);
            measured.command = vec![
                "requests".to_owned(),
                method.clone(),
                format!("{}{path}", traffic.target),
            ];
        }
    }
    Ok(measured)
}

pub(super) fn take_numbers(measured: &mut Measured, numbers: Measurements) {
    for (name, (value, unit)) in numbers {
        // Units as the rest of the record writes them.
        let unit = match unit {
            "%" => "percent",
            "ratio" => "1",
            other => other,
        };
        measured.measure(&name, value, unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(valid: f64, note: &str) -> Measured {
        let mut measured = Measured::default();
        measured.measure("valid", valid, "1");
        measured.notes.push(note.to_owned());
        measured
    }

    #[test]
    fn a_run_with_a_late_generator_is_measured_again_and_kept_as_a_note() {
        let mut void_runs = Vec::new();
        assert!(settle(run(0.0, "late by 400 ms"), &mut void_runs).is_none());
        let measured = settle(run(1.0, "fine"), &mut void_runs).unwrap().unwrap();
        assert_eq!(measured.measurements["void_runs"].value, 1.0);
        assert_eq!(measured.notes, ["fine", "run 1 is void: late by 400 ms"]);
    }

    #[test]
    fn a_generator_that_is_always_late_means_that_nothing_is_known() {
        let mut void_runs = Vec::new();
        for _ in 1..LOAD_RUNS_MAX {
            assert!(settle(run(0.0, "late"), &mut void_runs).is_none());
        }
        let error = settle(run(0.0, "late"), &mut void_runs).unwrap().unwrap_err();
        assert!(error.why.contains("run 3 is void: late"), "{}", error.why);
        assert!(error.hint.is_some());
    }
}
