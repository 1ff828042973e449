//! `drive players|recovery URL [PLAYERS] [SECONDS] [THINK_MS]`: load against a running Starvault,
//! the figures as one JSON object on standard output.

use std::collections::BTreeMap;
use std::time::Duration;

use tminus_load::players::{self, PlayersConfig};
use tminus_load::recovery::{self, NetworkLoss, RecoveryConfig};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(kind), Some(url)) = (arguments.first(), arguments.get(1)) else {
        return Err("drive players|recovery URL [PLAYERS] [SECONDS] [THINK_MS]".into());
    };
    let number = |at: usize, default: u64| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (count, seconds) = (number(2, 100)? as u32, Duration::from_secs(number(3, 20)?));
    let think_time = Duration::from_millis(number(4, 1000)?);
    let acknowledged_log = std::env::var_os("ACKNOWLEDGED_LOG").map(Into::into);
    let cancel = CancellationToken::new();
    let (measurements, notes) = if kind == "recovery" {
        let config = RecoveryConfig {
            players: count,
            duration: seconds,
            think_time,
            network_loss: Some(NetworkLoss {
                after: seconds / 2,
                lasts: Duration::from_millis(1500),
            }),
            acknowledged_log,
            ..RecoveryConfig::new(url)
        };
        let report = recovery::run(config, cancel).await?;
        (report.measurements(), report.notes)
    } else {
        let config = PlayersConfig {
            players: count,
            arrivals_over: seconds / 4,
            duration: seconds,
            think_time,
            acknowledged_log,
            ..PlayersConfig::new(url)
        };
        let report = players::run(config, cancel).await?;
        (report.measurements(), report.notes)
    };
    let figures: BTreeMap<_, _> = measurements
        .into_iter()
        .map(|(name, (value, _))| (name, value))
        .collect();
    println!("{}", serde_json::to_string_pretty(&figures)?);
    for note in notes {
        eprintln!("{note}");
    }
    Ok(())
}
