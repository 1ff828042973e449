//! Sign-offs and approvals: whether a signed envelope is one that the record takes.
//!
//! The same rules hold for one that comes to a running launch, for one that is appended
//! between runs, and for those that a rehearsal makes itself.

use tminus_plan::{AttemptEnd, Fact, LaunchState, Subject, from_statement};
use tminus_record::SigningKey;
use tminus_record::VerifyingKey;
use tminus_record::dsse::Envelope;

use super::book::{Book, sign};
use crate::dashboard::SignOffAccepted;
use crate::error::Result;

/// What a rehearsal's own signatures say.
pub const REHEARSAL_STATEMENT: &str = "rehearsal: signed by a generated key, not by a person";

/// The longest statement that a signer may make, in bytes.
const STATEMENT_BYTES_MAX: usize = 2_000;

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// The item is done.
    Item,
    /// A canary's step that waits for this approval may be entered.
    Step { gate: &'a str, approval: &'a str },
}

/// What a signer signs.
#[derive(Debug, Clone)]
pub struct Signing<'a> {
    pub item: &'a str,
    pub purpose: Purpose<'a>,
    pub role: &'a str,
    pub statement: &'a str,
    pub at_ms: u64,
    pub record_root_hex: String,
    pub record_size: u64,
}

/// Makes the envelope of a sign-off or of an approval.
///
/// # Errors
/// The fact cannot be written as a statement.
pub fn envelope(what: Signing<'_>, subject: &[Subject], key: &SigningKey) -> Result<Envelope> {
    let (item, role) = (what.item.to_owned(), what.role.to_owned());
    let statement = what.statement.to_owned();
    let fact = match what.purpose {
        Purpose::Item => Fact::SignOff {
            item,
            role,
            at_ms: what.at_ms,
            statement,
            record_root_hex: what.record_root_hex,
            record_size: what.record_size,
        },
        Purpose::Step { gate, approval } => Fact::Approval {
            item,
            gate: gate.to_owned(),
            approval: approval.to_owned(),
            role,
            at_ms: what.at_ms,
            statement,
            record_root_hex: what.record_root_hex,
            record_size: what.record_size,
        },
    };
    sign(&fact, subject, key)
}

/// Roles that may sign now: the item's window has opened, every gate has passed, the role has not signed.
pub fn due(state: &LaunchState, now_ms: u64) -> Vec<(String, String)> {
    let mut due = Vec::new();
    for (planned, item) in state.items_with_plan() {
        let open = now_ms >= state.clock.opens_ms(planned.window);
        if open && item.gates.iter().all(|gate| gate.verdict.is_passed()) {
            due.extend(
                item.sign_offs
                    .iter()
                    .filter(|s| s.signed.is_none())
                    .map(|s| (item.id.clone(), s.role.clone())),
            );
        }
    }
    due
}

/// Checks an envelope and appends it.
///
/// # Errors
/// Outer: the record cannot be written. Inner: the sign-off is refused, in words for the signer.
pub fn accept(book: &mut Book, bytes: &[u8]) -> Result<std::result::Result<SignOffAccepted, String>> {
    let state = book.state()?;
    match check(book, &state, bytes) {
        Err(why) => Ok(Err(why)),
        Ok((envelope, fact, mut accepted)) => {
            accepted.entry = book.append_envelope(&envelope, fact)?;
            Ok(Ok(accepted))
        }
    }
}

fn check(
    book: &Book,
    state: &LaunchState,
    bytes: &[u8],
) -> std::result::Result<(Envelope, Fact, SignOffAccepted), String> {
    let envelope = Envelope::from_bytes(bytes).map_err(|e| e.to_string())?;
    let (fact, subject) = from_statement(&envelope.payload).map_err(|e| e.to_string())?;
    let (approval, item, role, statement, record_root_hex, record_size) = match &fact {
        Fact::SignOff {
            item,
            role,
            statement,
            record_root_hex,
            record_size,
            ..
        } => (None, item, role, statement, record_root_hex, record_size),
        Fact::Approval {
            item,
            approval,
            role,
            statement,
            record_root_hex,
            record_size,
            ..
        } => (
            Some(approval),
            item,
            role,
            statement,
            record_root_hex,
            record_size,
        ),
        other => {
            return Err(format!(
                "that is a `{}`, not a sign-off or an approval",
                other.name()
            ));
        }
    };
    let item_state = state.item(item).ok_or_else(|| {
        let known: Vec<&str> = state.items.iter().map(|i| i.id.as_str()).collect();
        format!(
            "the plan has no item `{item}`; its items are {}",
            known.join(", ")
        )
    })?;
    if !item_state.sign_offs.iter().any(|s| s.role == *role) {
        let roles: Vec<&str> = item_state.sign_offs.iter().map(|s| s.role.as_str()).collect();
        return Err(if roles.is_empty() {
            format!("item `{item}` asks for no sign-off")
        } else {
            format!(
                "item `{item}` asks for no sign-off by `{role}`, but by {}",
                roles.join(" and ")
            )
        });
    }
    let key = state
        .role_keys
        .get(role)
        .ok_or_else(|| format!("the launch was started without a key for `{role}`"))?;
    let key = VerifyingKey::from_base64(key).map_err(|e| format!("the recorded key of `{role}`: {e}"))?;
    envelope.verify(&key).map_err(|_| {
        format!("this is not the key that the launch was started with for `{role}` (--role-key {role}=…)")
    })?;
    if statement.len() > STATEMENT_BYTES_MAX {
        return Err(format!(
            "the statement is longer than {STATEMENT_BYTES_MAX} bytes"
        ));
    }
    if subject != book.subject() {
        return Err("it was signed for other artifacts than this launch's".to_owned());
    }
    match book.root_hex_at(*record_size) {
        Some(root) if root == *record_root_hex => {}
        _ => return Err("it was signed on another record than this launch's".to_owned()),
    }
    // An approval comes while its gate runs; a sign-off when all have passed.
    for gate in item_state.gates.iter().filter(|_| approval.is_none()) {
        if !gate.verdict.is_passed() {
            return Err(format!(
                "gate `{}` of `{item}` has not passed, so there is nothing to sign yet",
                gate.id
            ));
        }
        let seen = gate.attempts.iter().rev().find_map(|attempt| match &attempt.end {
            AttemptEnd::Evidence { entry, .. } => Some(*entry),
            _ => None,
        });
        if seen.is_some_and(|entry| entry >= *record_size) {
            return Err(format!(
                "it was signed before the evidence of gate `{}` was there; sign again",
                gate.id
            ));
        }
    }
    // The fold has the last word: nothing goes on record that would contradict it.
    state.clone().apply(book.size(), &fact).map_err(|e| e.what)?;
    let accepted = SignOffAccepted {
        item: item.clone(),
        role: role.clone(),
        approval: approval.cloned(),
        entry: book.size(),
    };
    Ok((envelope, fact, accepted))
}
