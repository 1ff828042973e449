//! Mends rows that differ, from the journal and from nothing else. Every change is listed.

use serde::Serialize;

use crate::{
    SnapshotError, Source, Store,
    compare::{Difference, Side},
    pace,
    row::Row,
};

/// What was done about one row of one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    pub player_id: String,
    pub store: Side,
    /// What stood there. `None`: nothing.
    pub from_version: Option<i64>,
    /// The journal's. `None`: the journal does not know this player, and the row is left as it is.
    pub to_version: Option<i64>,
    /// Whether the row was read back as the journal has it.
    pub done: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Makes both rows of each difference what the journal's newest snapshot says. A row is replaced only if it is
/// still the one that was looked at, so a copier that writes meanwhile wins.
///
/// The journal is read after the rows: whatever a copier had written by then is in it, so a row that is newer
/// than the journal was not written by a copier and is replaced too.
///
/// # Errors
/// The journal or a store cannot be read or written. A row that cannot be mended is no error, it is listed.
pub async fn repair<S: Source>(
    source: &S,
    primary: &Store,
    secondary: &Store,
    differences: &[Difference],
) -> Result<Vec<Repair>, SnapshotError> {
    let mut repairs = Vec::new();
    for difference in differences {
        let player_id = &difference.player_id;
        let key = player_id.as_bytes();
        let (in_primary, in_secondary) = tokio::try_join!(primary.row(key), secondary.row(key))?;
        let right = match source.of_player(player_id).await?.map(pace::row) {
            Some(Ok(row)) => Ok(row),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the journal does not know this player".to_owned()),
        };
        let sides = [
            (Side::Primary, primary, in_primary),
            (Side::Secondary, secondary, in_secondary),
        ];
        for (side, store, seen) in sides {
            let outcome = match &right {
                Ok(right) if seen.as_ref() == Some(right) => continue,
                Ok(right) => replace(store, seen.as_ref(), right).await?,
                // Nothing is there and nothing should be.
                Err(_) if seen.is_none() => continue,
                Err(why) => Err(why.clone()),
            };
            let repair = Repair {
                player_id: player_id.clone(),
                store: side,
                from_version: seen.map(|row| row.version),
                to_version: right.as_ref().ok().map(|row| row.version),
                done: outcome.is_ok(),
                why: outcome.err(),
            };
            tracing::info!(
                store = side.name(),
                ?repair,
                "a snapshot was looked at for repair"
            );
            repairs.push(repair);
        }
    }
    Ok(repairs)
}

async fn replace(
    store: &Store,
    seen: Option<&Row>,
    right: &Row,
) -> Result<Result<(), String>, SnapshotError> {
    store.replace(seen, right).await?;
    let now = store.row(&right.player_id).await?;
    let newer = now.as_ref().is_some_and(|now| now.version > right.version);
    Ok(if now.as_ref() == Some(right) || newer {
        Ok(())
    } else {
        Err("something else was written meanwhile; compare again".to_owned())
    })
}
