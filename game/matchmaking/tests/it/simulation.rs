//! A whole day, and what it must be like.

use starvault_matchmaking::{
    Settings,
    simulation::{Day, Report},
};

fn accounts_for_everybody(report: &Report) {
    let ended = 2 * report.matches + report.cancelled + report.expired + report.left;
    assert_eq!(
        report.tickets, ended,
        "every ticket ends in one way, and in one way only"
    );
    assert_eq!(report.refused, 0);
}

#[test]
fn a_day_of_a_hundred_thousand_players_meets_its_bounds() {
    let day = Day::default();
    let report = day.run();
    accounts_for_everybody(&report);
    assert!(report.tickets > 350_000, "{} tickets", report.tickets);
    // A wait that reaches the bound is for want of any opponent: none came past it.
    assert_eq!(report.past_bound, 0);
    assert!(report.share_at_bound < 0.003, "{}", report.share_at_bound);
    assert!(
        report.wait_ms.p50 < 100.0 && report.wait_ms.p99 < 5_000.0,
        "{:?}",
        report.wait_ms
    );
    // The tails of the rating scale are served as well, only later.
    assert_eq!(report.deciles.len(), 10);
    for decile in &report.deciles {
        assert!(
            decile.wait_ms.p90 < 3_000.0 && decile.wait_ms.p99 < 9_000.0,
            "{decile:?}"
        );
        assert!(decile.gap.p90 <= 450.0 && decile.gap.p99 < 700.0, "{decile:?}");
    }
    // In the evening a match is a matter of an instant.
    let evening = &report.hours[21];
    assert!(
        evening.wait_ms.p90 < 500.0 && evening.wait_ms.p99 < 2_000.0,
        "{evening:?}"
    );
    assert!(
        report.win_probability_error.p50 < 0.3,
        "{:?}",
        report.win_probability_error
    );
    assert_eq!(report.instant_rematches, 0);
    // Beside others they are rare; of two who are alone they are what is wanted.
    let in_company = report.rematches - report.rematches_alone;
    assert!(in_company < report.matches / 1_000, "{in_company} rematches");
    assert!(
        report.rematches < report.matches / 300,
        "{} rematches",
        report.rematches
    );
    assert!(report.queue_max < 20, "{} tickets at once", report.queue_max);
    assert!(report.resumed > 0 && report.expired > 0 && report.cancelled > 0);
}

#[test]
fn a_narrow_policy_trades_waiting_for_even_games() {
    let small = Day {
        players: 10_000,
        ..Day::default()
    };
    let narrow = Day {
        settings: Settings {
            window_initial: 25,
            window_growth_per_second: 25,
            wait_ms_max: 30_000,
            ..Settings::default()
        },
        ..small.clone()
    };
    let (wide, narrow) = (small.run(), narrow.run());
    accounts_for_everybody(&narrow);
    assert!(narrow.gap.p50 < wide.gap.p50 && narrow.gap.p90 < wide.gap.p90);
    assert!(narrow.win_probability_error_by_rating.p90 < wide.win_probability_error_by_rating.p90);
    assert!(narrow.wait_ms.p50 > wide.wait_ms.p50);
}

#[test]
fn the_same_seed_is_the_same_day() {
    let day = Day {
        players: 2_000,
        ..Day::default()
    };
    assert_eq!(day.run(), day.run());
    let other = Day {
        seed: 49,
        ..day.clone()
    };
    assert_ne!(day.run(), other.run());
}

#[test]
fn two_players_alone_meet_again_when_they_must() {
    let day = Day {
        players: 2,
        arrivals: std::array::from_fn(|hour| if hour == 12 { 1.0 } else { 0.0 }),
        plays_on: 1.0,
        impatient: 0.0,
        disconnects: 0.0,
        ..Day::default()
    };
    let report = day.run();
    assert!(report.matches > 50, "{} matches", report.matches);
    assert_eq!(report.rematches, report.matches - 1, "all but the first");
    assert_eq!(report.instant_rematches, 0);
}
