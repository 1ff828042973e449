//! Histories in few words.

use starvault_history::{History, Kind, Record, Refusal, Report, Rule};

pub fn record(client: &str, at: u64, kind: Kind) -> Record {
    Record {
        client: client.into(),
        connection: 1,
        game_id: "g".into(),
        at,
        kind,
    }
}

pub fn sent(client: &str, at: u64, id: &str, expected: u32, what: &str) -> Record {
    let kind = Kind::Sent {
        command_id: id.into(),
        expected_sequence: Some(expected),
        what: what.into(),
    };
    record(client, at, kind)
}

pub fn acknowledged(client: &str, at: u64, id: &str, sequence: u32) -> Record {
    let command_id = id.into();
    record(client, at, Kind::Acknowledged { command_id, sequence })
}

pub fn refused(client: &str, at: u64, id: &str, refusal: Refusal, sequence: Option<u32>) -> Record {
    let kind = Kind::Refused {
        command_id: id.into(),
        refusal,
        code: format!("{refusal:?}"),
        sequence,
    };
    record(client, at, kind)
}

pub fn told(client: &str, at: u64, sequence: u32, cause: Option<&str>) -> Record {
    let kind = Kind::Told {
        sequence,
        event: format!("{sequence} {cause:?}"),
        cause: cause.map(str::to_owned),
    };
    record(client, at, kind)
}

pub fn resumed(client: &str, asked_at: u64, at: u64, from: u32, sequence: u32) -> Record {
    let kind = Kind::Resumed {
        asked_at,
        from,
        sequence,
    };
    record(client, at, kind)
}

pub fn on(connection: u32, record: Record) -> Record {
    Record { connection, ..record }
}

/// Checks these as they come.
pub fn check(records: &[Record]) -> Report {
    let mut history = History::new(100_000);
    for record in records {
        history.push(record.clone()).unwrap();
    }
    history.check()
}

/// The rules that these break, each named once, in order.
pub fn broken(records: &[Record]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = check(records).found.iter().map(|one| one.rule).collect();
    rules.sort();
    rules.dedup();
    rules
}

/// A game of three moves, by white and black; both are told of everything.
pub fn game() -> Vec<Record> {
    vec![
        resumed("w", 0, 10, 1, 1),
        resumed("b", 0, 11, 1, 1),
        sent("w", 20, "w1", 1, "white e2e4"),
        acknowledged("w", 30, "w1", 2),
        told("w", 30, 2, Some("white e2e4")),
        told("b", 35, 2, Some("white e2e4")),
        sent("b", 40, "b1", 2, "black e7e5"),
        told("w", 48, 3, Some("black e7e5")),
        acknowledged("b", 50, "b1", 3),
        told("b", 50, 3, Some("black e7e5")),
        sent("w", 60, "w2", 3, "white g1f3"),
        acknowledged("w", 70, "w2", 4),
        told("w", 70, 4, Some("white g1f3")),
        told("b", 72, 4, Some("white g1f3")),
    ]
}
