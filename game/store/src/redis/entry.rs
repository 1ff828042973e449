//! What is written as text: entries of a game's list, owners, kept answers.

use starvault_rules::{Color, Event};

use super::fault::Fault;
use crate::{Answer, Owner, rule::Kept, snapshot::to_json};

const HASH_BYTES: usize = 32;

/// The entry of an event that no command caused. Of others the function `append` makes it, which knows the
/// seat: `wCOMMAND`, `bCOMMAND` or `-`, a new line, JSON.
pub(super) fn of_event(event: &Event) -> Result<String, Fault> {
    Ok(format!("-\n{}", to_json(event)?))
}

/// Who gave the command that caused an event, and its id; none where the server acted on its own.
pub(super) type Cause<'e> = Option<(Color, &'e str)>;

/// The cause and the event of an entry.
pub(super) fn read(entry: &str) -> Result<(Cause<'_>, Event), Fault> {
    let damaged = |what: String| Fault::Corrupt(format!("an event of a game: {what}"));
    let (cause, json) = entry
        .split_once('\n')
        .ok_or_else(|| damaged("it has no cause".to_owned()))?;
    let event = serde_json::from_str(json).map_err(|error| damaged(error.to_string()))?;
    let cause = match cause.split_at_checked(1) {
        Some(("-", "")) => None,
        Some(("w", command_id)) => Some((Color::White, command_id)),
        Some(("b", command_id)) => Some((Color::Black, command_id)),
        _ => return Err(damaged("its cause is no command".to_owned())),
    };
    Ok((cause, event))
}

/// The text by which an owner is compared.
pub(super) fn of_owner(owner: &Owner) -> Result<String, Fault> {
    Ok(to_json(&(&owner.release, &owner.instance))?)
}

pub(super) fn owner(text: &str) -> Result<Owner, Fault> {
    let (release, instance) =
        serde_json::from_str(text).map_err(|error| Fault::Corrupt(format!("an owner: {error}")))?;
    Ok(Owner { release, instance })
}

/// What is kept behind a command's hash when it was accepted.
pub(super) fn of_acceptance(sequence: u32) -> Vec<u8> {
    format!("a{sequence}").into_bytes()
}

/// What is kept behind a command's hash when it was refused.
pub(super) fn of_refusal(code: &str, message: &str, sequence: u32) -> Result<Vec<u8>, Fault> {
    Ok(format!("r{}", to_json(&(code, message, sequence))?).into_bytes())
}

/// A kept answer: the hash of the command, then `a` and the sequence, or `r` and the refusal.
pub(super) fn kept(bytes: &[u8]) -> Result<Kept, Fault> {
    let damaged = || Fault::Corrupt("a kept answer cannot be read".to_owned());
    let (hash, rest) = bytes.split_at_checked(HASH_BYTES).ok_or_else(damaged)?;
    let (kind, text) = rest.split_first().ok_or_else(damaged)?;
    let text = std::str::from_utf8(text).map_err(|_| damaged())?;
    let answer = match kind {
        b'a' => Answer::Accepted {
            sequence: text.parse().map_err(|_| damaged())?,
        },
        b'r' => {
            let (code, message, sequence) = serde_json::from_str(text).map_err(|_| damaged())?;
            Answer::Rejected {
                code,
                message,
                sequence,
            }
        }
        _ => return Err(damaged()),
    };
    Ok((hash.to_vec(), answer))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_lies_there_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "\\PC{0,40}\n?\\PC{0,40}") {
            let _ = kept(&bytes);
            let _ = read(&text);
            let _ = owner(&text);
        }
    }

    #[test]
    fn answers_and_owners_come_back_as_they_were() {
        let owner_of = Owner {
            release: "v1\"\n".into(),
            instance: "a/b".into(),
        };
        assert_eq!(owner(&of_owner(&owner_of).unwrap()).unwrap(), owner_of);
        let mut bytes = vec![7; HASH_BYTES];
        bytes.extend(of_refusal("not_your_turn", "wait\n", 3).unwrap());
        let answer = Answer::Rejected {
            code: "not_your_turn".into(),
            message: "wait\n".into(),
            sequence: 3,
        };
        assert_eq!(kept(&bytes).unwrap(), (vec![7; HASH_BYTES], answer));
    }
}
