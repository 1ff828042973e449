//! The gate `sessions`: requests that are replayed with two credentials.

use std::collections::BTreeMap;

use crate::error::PlanError;
use crate::parse::fields::{Context, Fields};
use crate::parse::gates::{MINUTE_MS, SECONDS_MAX, argv, method, path};
use crate::parse::node::Node;
use crate::spec::{GateKind, ReplayCredentials, ReplayPlayer, ReplayRequest, SessionsSpec};

pub(super) const FIELDS: [&str; 10] = [
    "target",
    "requests",
    "recorded",
    "credentials",
    "credentials_command",
    "command_timeout_s",
    "together",
    "timeout_ms",
    "ignore_headers",
    "ignore_json",
];

const REQUESTS_MAX: usize = 1000;
const PLAYERS_MAX: usize = 1000;
const IGNORED_MAX: usize = 100;

pub(super) fn read(fields: &Fields<'_>) -> Result<GateKind, PlanError> {
    let context = &fields.context;
    let requests = match fields.get("requests") {
        None => Vec::new(),
        Some(node) => context
            .list(node, "requests", REQUESTS_MAX)?
            .iter()
            .map(|node| request(context, node))
            .collect::<Result<_, _>>()?,
    };
    let recorded = fields
        .get("recorded")
        .map(|node| context.template(node, "recorded"))
        .transpose()?;
    if requests.is_empty() && recorded.is_none() {
        return Err(fields.error(
            fields.get("requests").map_or(fields.place, |node| node.place),
            "nothing to replay",
            "`requests` with at least one `{ path: /… }`, or `recorded` with a file of them",
        ));
    }
    let mut ignore_json = Vec::new();
    for (node, pointer) in texts(fields, "ignore_json")? {
        if !pointer.starts_with('/') {
            return Err(fields.error(
                node.place,
                format!("`{pointer}` is not a JSON pointer"),
                "a JSON pointer (RFC 6901), in which `*` is any one name, e.g. `/items/*/id`",
            ));
        }
        ignore_json.push(pointer);
    }
    Ok(GateKind::Sessions(SessionsSpec {
        target: fields.template("target")?,
        requests,
        recorded,
        credentials: credentials(fields)?,
        together: fields.flag_or("together", true)?,
        timeout_ms: fields.whole_or("timeout_ms", 5000, 1, 10 * MINUTE_MS)?,
        ignore_headers: texts(fields, "ignore_headers")?
            .into_iter()
            .map(|(_, name)| name.to_ascii_lowercase())
            .collect(),
        ignore_json,
    }))
}

fn texts<'n>(fields: &Fields<'n>, name: &str) -> Result<Vec<(&'n Node, String)>, PlanError> {
    let Some(node) = fields.get(name) else {
        return Ok(Vec::new());
    };
    let items = fields.context.list(node, name, IGNORED_MAX)?;
    items
        .iter()
        .map(|node| Ok((node, fields.context.text(node, name)?)))
        .collect()
}

fn request(context: &Context, node: &Node) -> Result<ReplayRequest, PlanError> {
    let fields = Fields::new(context, node, "a request", &["method", "path", "headers", "body"])?;
    Ok(ReplayRequest {
        method: method(&fields, "GET")?,
        path: path(&fields)?,
        headers: fields.templates("headers")?,
        body: fields
            .get("body")
            .map(|node| context.template(node, "body"))
            .transpose()?,
    })
}

fn credentials(fields: &Fields<'_>) -> Result<ReplayCredentials, PlanError> {
    const EXPECTED: &str =
        "one of `credentials` (a list) and `credentials_command` (a program that prints them)";
    let context = &fields.context;
    match (fields.get("credentials"), fields.get("credentials_command")) {
        (None, None) => Err(fields.error(fields.place, "no credentials", EXPECTED)),
        (Some(_), Some(node)) => {
            Err(fields.error(node.place, "`credentials_command` beside `credentials`", EXPECTED))
        }
        (None, Some(node)) => Ok(ReplayCredentials::Command {
            argv: argv(fields, node, "credentials_command")?,
            timeout_s: fields.number_or("command_timeout_s", 60.0, 0.1, SECONDS_MAX)?,
        }),
        (Some(node), None) => {
            let players = context
                .list(node, "credentials", PLAYERS_MAX)?
                .iter()
                .map(|node| player(context, node))
                .collect::<Result<Vec<_>, _>>()?;
            if players.is_empty() {
                return Err(fields.error(node.place, "`credentials` is empty", EXPECTED));
            }
            Ok(ReplayCredentials::Listed(players))
        }
    }
}

fn player(context: &Context, node: &Node) -> Result<ReplayPlayer, PlanError> {
    let fields = Fields::new(context, node, "a player", &["player", "token", "session"])?;
    let headers = |name: &str| -> Result<BTreeMap<String, String>, PlanError> {
        let node = fields.required(name)?;
        let headers = context.templates(node, name)?;
        if headers.is_empty() {
            return Err(fields.error(
                node.place,
                format!("`{name}` has no header"),
                "the headers that show it, e.g. `{ x-session-id: \"${session}\" }`",
            ));
        }
        Ok(headers)
    };
    Ok(ReplayPlayer {
        player: fields.text("player")?,
        token: headers("token")?,
        session: headers("session")?,
    })
}
