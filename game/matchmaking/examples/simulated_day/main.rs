//! Lives through the simulated day and writes what it was like: figures as JSON, plots as SVG.
//!
//! `cargo run -p starvault-matchmaking --example simulated_day -- docs/images`

// An example is a program: it may write files and say so. The crate itself may not.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod chart;

use std::path::Path;

use chart::{Chart, Scale, Series};
use serde_json::{Value, json};
use starvault_matchmaking::{
    Queue, Settings,
    baseline::{GlobalMutex, ShardedMutex},
    drive::{Account, Event, Matcher, Stream, drive},
    simulation::{Day, DecileReport, Quantiles, Report},
};

fn main() -> std::io::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "docs/images".to_owned());
    let folder = Path::new(&folder);
    let day = Day::default();
    let report = day.run();
    let policies = policies();
    let compared: Vec<(String, Report)> = policies
        .iter()
        .map(|(name, settings)| {
            let settings = *settings;
            (
                name.clone(),
                Day {
                    settings,
                    ..day.clone()
                }
                .run(),
            )
        })
        .collect();
    let designs = designs();

    let figures = json!({
        "day": {
            "seed": day.seed,
            "players": day.players,
            "settings": settings_json(&day.settings),
        },
        "report": report_json(&report),
        "policies": policies.iter().zip(&compared).map(|((name, settings), (_, report))| json!({
            "name": name,
            "settings": settings_json(settings),
            "wait_ms": quantiles_json(&report.wait_ms),
            "evening_wait_ms": quantiles_json(&report.hours[21].wait_ms),
            "gap_points": quantiles_json(&report.gap),
            "win_probability_error": quantiles_json(&report.win_probability_error),
        })).collect::<Vec<_>>(),
        "designs": designs.iter().map(|(name, account)| json!({
            "name": name,
            "matches": account.matches,
            "wait_ms": { "p50": account.wait_ms(0.5), "p90": account.wait_ms(0.9), "p99": account.wait_ms(0.99), "max": account.wait_ms(1.0) },
            "gap_points": { "p50": account.gap(0.5), "p90": account.gap(0.9), "p99": account.gap(0.99) },
        })).collect::<Vec<_>>(),
    });
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        println!("{}", path.display());
        std::fs::write(path, text)
    };
    write("matchmaking-day.json", format!("{figures:#}\n"))?;
    write("matchmaking-wait-by-rating.svg", by_rating(&report).svg())?;
    write("matchmaking-gap-by-rating.svg", gap_by_rating(&report).svg())?;
    write("matchmaking-wait-by-hour.svg", by_hour(&report).svg())?;
    write("matchmaking-oldest.svg", oldest(&report).svg())?;
    write("matchmaking-policies.svg", trade_off(&compared).svg())
}

/// From hardly any choice to hardly any wait.
fn policies() -> Vec<(String, Settings)> {
    [
        (25, 10),
        (25, 25),
        (50, 25),
        (50, 50),
        (100, 50),
        (100, 100),
        (200, 100),
        (400, 100),
    ]
    .into_iter()
    .map(|(window_initial, window_growth_per_second)| {
        let settings = Settings {
            window_initial,
            window_growth_per_second,
            ..Settings::default()
        };
        (
            format!("{window_initial} + {window_growth_per_second}/s"),
            settings,
        )
    })
    .collect()
}

/// The queue and the designs that it is measured against, on one and the same stream of tickets.
fn designs() -> Vec<(&'static str, Account)> {
    let stream = Stream {
        tickets: 50_000,
        tickets_per_second: 50.0,
        ..Stream::default()
    };
    let settings = Settings {
        window_initial: 50,
        avoid_ms: 0,
        avoid_alone_ms: 0,
        ..Settings::default()
    };
    let history = stream.history();
    let account = |matcher: &mut dyn FnMut(&[Event]) -> Account| matcher(&history);
    vec![
        (
            "queue",
            account(&mut |history| run(Queue::new(settings), history)),
        ),
        (
            "global mutex",
            account(&mut |history| run(GlobalMutex::new(settings), history)),
        ),
        (
            "16 shards by level",
            account(&mut |history| run(ShardedMutex::new(settings), history)),
        ),
    ]
}

fn run(mut matcher: impl Matcher, history: &[Event]) -> Account {
    drive(&mut matcher, history, 3_600_000, Matcher::decide)
}

fn quantile_series(points: impl Fn(fn(&Quantiles) -> f64) -> Vec<(f64, f64)>) -> Vec<Series> {
    let series = |name: &str, pick: fn(&Quantiles) -> f64| Series::line(name, points(pick));
    vec![
        series("P50", |quantiles| quantiles.p50),
        series("P90", |quantiles| quantiles.p90),
        series("P99", |quantiles| quantiles.p99),
    ]
}

fn by_rating(report: &Report) -> Chart {
    Chart {
        title: "Wait by rating, one weekday, 100,000 players".to_owned(),
        x_label: "rating (middle of each tenth of the tickets)".to_owned(),
        y_label: "wait, ms".to_owned(),
        scale: Scale::Logarithmic,
        series: quantile_series(|pick| {
            let point = |decile: &DecileReport| (middle(decile.ratings), pick(&decile.wait_ms));
            report.deciles.iter().map(point).collect()
        }),
    }
}

fn gap_by_rating(report: &Report) -> Chart {
    Chart {
        title: "Rating gap by rating, one weekday, 100,000 players".to_owned(),
        x_label: "rating (middle of each tenth of the tickets)".to_owned(),
        y_label: "gap, points".to_owned(),
        scale: Scale::Linear,
        series: quantile_series(|pick| {
            let point = |decile: &DecileReport| (middle(decile.ratings), pick(&decile.gap));
            report.deciles.iter().map(point).collect()
        }),
    }
}

fn middle((lowest, highest): (i32, i32)) -> f64 {
    f64::from(lowest + highest) / 2.0
}

fn by_hour(report: &Report) -> Chart {
    let hours = || report.hours.iter().enumerate();
    let mut series = quantile_series(|pick| {
        hours()
            .map(|(hour, one)| (hour as f64 + 0.5, pick(&one.wait_ms)))
            .collect()
    });
    let per_hour = hours().map(|(hour, one)| (hour as f64 + 0.5, one.tickets as f64));
    series.push(Series::dashed("tickets matched in the hour", per_hour.collect()));
    Chart {
        title: "Wait by hour, one weekday, 100,000 players".to_owned(),
        x_label: "hour of the day".to_owned(),
        y_label: "wait, ms (tickets: count)".to_owned(),
        scale: Scale::Logarithmic,
        series,
    }
}

fn oldest(report: &Report) -> Chart {
    let minutes = report.oldest_ms_by_minute.iter().enumerate();
    let points = minutes.map(|(minute, ms)| (minute as f64 / 60.0, *ms as f64 / 1000.0));
    Chart {
        title: "Age of the oldest waiting ticket, highest of each minute".to_owned(),
        x_label: "hour of the day".to_owned(),
        y_label: "age, s".to_owned(),
        scale: Scale::Linear,
        series: vec![Series::line("oldest ticket", points.collect())],
    }
}

fn trade_off(compared: &[(String, Report)]) -> Chart {
    let series = compared
        .iter()
        .map(|(name, report)| Series::point(name, (report.gap.p90, report.wait_ms.p90)))
        .collect();
    Chart {
        title: "Even games or short waits: window on arrival + growth".to_owned(),
        x_label: "rating gap, P90, points".to_owned(),
        y_label: "wait, P90, ms".to_owned(),
        scale: Scale::Linear,
        series,
    }
}

fn settings_json(settings: &Settings) -> Value {
    json!({
        "window_initial": settings.window_initial,
        "window_growth_per_second": settings.window_growth_per_second,
        "wait_ms_max": settings.wait_ms_max,
        "avoid_ms": settings.avoid_ms,
        "avoid_alone_ms": settings.avoid_alone_ms,
    })
}

fn quantiles_json(quantiles: &Quantiles) -> Value {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    json!({
        "p50": round(quantiles.p50),
        "p90": round(quantiles.p90),
        "p99": round(quantiles.p99),
        "max": round(quantiles.max),
    })
}

fn report_json(report: &Report) -> Value {
    json!({
        "tickets": report.tickets,
        "matches": report.matches,
        "cancelled": report.cancelled,
        "disconnected": report.disconnected,
        "resumed": report.resumed,
        "expired": report.expired,
        "refused": report.refused,
        "left": report.left,
        "rematches": report.rematches,
        "rematches_alone": report.rematches_alone,
        "instant_rematches": report.instant_rematches,
        "wait_ms": quantiles_json(&report.wait_ms),
        "gap_points": quantiles_json(&report.gap),
        "win_probability_error": quantiles_json(&report.win_probability_error),
        "win_probability_error_by_rating": quantiles_json(&report.win_probability_error_by_rating),
        "share_at_bound": report.share_at_bound,
        "past_bound": report.past_bound,
        "queue_max": report.queue_max,
        "oldest_ms_max": report.oldest_ms_by_minute.iter().max(),
        "deciles": report.deciles.iter().map(|decile| json!({
            "ratings": [decile.ratings.0, decile.ratings.1],
            "wait_ms": quantiles_json(&decile.wait_ms),
            "gap_points": quantiles_json(&decile.gap),
        })).collect::<Vec<_>>(),
        "hours": report.hours.iter().map(|hour| json!({
            "tickets": hour.tickets,
            "wait_ms": quantiles_json(&hour.wait_ms),
            "gap_points": quantiles_json(&hour.gap),
        })).collect::<Vec<_>>(),
    })
}
