//! The router of a canary gate: which one, and how to count who answers.

use std::collections::BTreeMap;

use crate::error::PlanError;
use crate::parse::fields::{Context, Fields};
use crate::parse::gates::{MINUTE_MS, argv};
use crate::parse::node::{Node, Value};
use crate::steering::{
    HttpRouteSpec, KEY, NginxServers, NginxSpec, NginxSpread, ProbeSpec, Releases, RouterSpec,
};

const SERVERS_MAX: usize = 100;
const HEADERS_MAX: usize = 20;
const NAME: &str = "1 to 63 of a-z, 0-9, `-` and `.`, e.g. `shop`";

/// What the gate says of its router.
pub(super) struct Routing {
    pub router: RouterSpec,
    pub probe: Option<ProbeSpec>,
    pub releases: Option<Releases>,
}

/// Reads `gateway_admin`, `router` and `releases`.
pub(super) fn read(fields: &Fields<'_>) -> Result<Routing, PlanError> {
    let context = &fields.context;
    let releases = fields
        .get("releases")
        .map(|node| releases(context, node))
        .transpose()?;
    let Some(node) = fields.get("router") else {
        let admin = fields.get("gateway_admin").ok_or_else(|| {
            fields.error(
                fields.place,
                "the canary gate has no router",
                "`gateway_admin` of a tminus-gateway, or `router` with `nginx` or `http_route`",
            )
        })?;
        return Ok(Routing {
            router: RouterSpec::Gateway {
                admin: context.template(admin, "gateway_admin")?,
            },
            probe: None,
            releases,
        });
    };
    let block = Fields::new(context, node, "`router`", &["nginx", "http_route", "probe"])?;
    let (nginx, route) = (block.get("nginx"), block.get("http_route"));
    let given = [nginx, route, fields.get("gateway_admin")];
    let probe = block.get("probe").map(|node| probe(context, node)).transpose()?;
    let router = match (nginx, route, fields.get("gateway_admin")) {
        (Some(node), None, None) => RouterSpec::Nginx(self::nginx(context, node)?),
        (None, Some(node), None) => RouterSpec::HttpRoute(http_route(context, node)?),
        (None, None, Some(admin)) => RouterSpec::Gateway {
            admin: context.template(admin, "gateway_admin")?,
        },
        _ => {
            let count = given.iter().flatten().count();
            return Err(fields.error(
                node.place,
                format!("a gate with {count} routers"),
                "one of `gateway_admin`, `router.nginx` and `router.http_route`",
            ));
        }
    };
    if releases.is_none() && !matches!(router, RouterSpec::Gateway { .. }) {
        return Err(fields.error(
            node.place,
            "a router that does not say what its sides are called, and no `releases`",
            "`releases: { stable: v1.2, canary: v1.3 }`, as answers and counters name them",
        ));
    }
    if let (Some(probe), Some(at)) = (&probe, block.get("probe")) {
        let by_request = match &router {
            RouterSpec::HttpRoute(_) => true,
            RouterSpec::Nginx(nginx) => nginx.spread == NginxSpread::Requests,
            RouterSpec::Gateway { .. } => false,
        };
        if !by_request && !probe.headers.values().any(|value| value.contains(KEY)) {
            return Err(fields.error(
                at.place,
                "every probe would come from the same player",
                format!("`headers` with `{KEY}` in the one that says who the player is, e.g. {{ x-player-id: \"{KEY}\" }}"),
            ));
        }
    }
    Ok(Routing {
        router,
        probe,
        releases,
    })
}

fn releases(context: &Context, node: &Node) -> Result<Releases, PlanError> {
    let fields = Fields::new(context, node, "`releases`", &["stable", "canary"])?;
    let releases = Releases {
        stable: fields.template("stable")?,
        canary: fields.template("canary")?,
    };
    if releases.stable == releases.canary {
        return Err(fields.error(
            node.place,
            format!("both sides are called `{}`", releases.stable),
            "two names, by which the sides can be told apart",
        ));
    }
    Ok(releases)
}

fn probe(context: &Context, node: &Node) -> Result<ProbeSpec, PlanError> {
    let fields = Fields::new(
        context,
        node,
        "`probe`",
        &["url", "headers", "answered_by", "requests", "timeout_ms"],
    )?;
    let headers = fields.templates("headers")?;
    if headers.len() > HEADERS_MAX {
        return Err(fields.error(
            node.place,
            format!("`headers` has {} entries", headers.len()),
            format!("at most {HEADERS_MAX}"),
        ));
    }
    Ok(ProbeSpec {
        url: fields.template("url")?,
        headers,
        answered_by: fields.text("answered_by")?.to_ascii_lowercase(),
        requests: fields.whole_or("requests", 1_000, 10, 1_000_000)?,
        timeout_ms: fields.whole_or("timeout_ms", 2_000, 1, MINUTE_MS)?,
    })
}

fn nginx(context: &Context, node: &Node) -> Result<NginxSpec, PlanError> {
    let fields = Fields::new(
        context,
        node,
        "`nginx`",
        &[
            "file",
            "config",
            "program",
            "pid",
            "name",
            "key",
            "pin_header",
            "servers",
            "force",
        ],
    )?;
    let path = |name: &str| {
        fields
            .get(name)
            .map(|node| absolute(&fields, node, name))
            .transpose()
    };
    let file = absolute(&fields, fields.required("file")?, "file")?;
    let spread = spread(&fields)?;
    let addresses = fields
        .get("servers")
        .map(|node| {
            let fields = Fields::new(context, node, "`servers`", &["stable", "canary"])?;
            Ok::<_, PlanError>(NginxServers {
                stable: servers(&fields, "stable")?,
                canary: servers(&fields, "canary")?,
            })
        })
        .transpose()?;
    if spread == NginxSpread::Requests && addresses.is_none() {
        return Err(fields.error(
            node.place,
            "`key: request`, which needs both sides in one upstream, and no `servers`",
            "`servers: { stable: [HOST:PORT], canary: [HOST:PORT] }`",
        ));
    }
    Ok(NginxSpec {
        file,
        config: path("config")?.unwrap_or_else(|| "/etc/nginx/nginx.conf".to_owned()),
        program: match fields.get("program") {
            None => vec!["nginx".to_owned()],
            Some(node) => argv(&fields, node, "program")?,
        },
        pid: path("pid")?,
        name: match fields.get("name") {
            None => "tminus".to_owned(),
            Some(node) => {
                let text = context.text(node, "name")?;
                if !is_word(&text) || text.starts_with(|c: char| c.is_ascii_digit()) {
                    return Err(fields.error(
                        node.place,
                        format!("`name` is `{text}`"),
                        "1 to 40 of a-z, 0-9 and `_`, beginning with a letter, e.g. `shop`",
                    ));
                }
                text
            }
        },
        spread,
        pin_header: fields
            .get("pin_header")
            .map(|node| header_name(&fields, node, "pin_header"))
            .transpose()?,
        servers: addresses,
        force: fields.flag_or("force", false)?,
    })
}

fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn spread(fields: &Fields<'_>) -> Result<NginxSpread, PlanError> {
    let node = fields.required("key")?;
    let text = fields.context.text(node, "key")?;
    if text == "request" {
        return Ok(NginxSpread::Requests);
    }
    match text.strip_prefix('$') {
        Some(variable) if is_word(variable) => Ok(NginxSpread::By {
            variable: variable.to_owned(),
        }),
        _ => Err(fields.error(
            node.place,
            format!("`key` is `{text}`"),
            "a variable of nginx that says who the player is, e.g. `$http_x_player_id`, `$cookie_player`, `$remote_addr`; \
             or `request`, to split requests and not players",
        )),
    }
}

fn absolute(fields: &Fields<'_>, node: &Node, name: &str) -> Result<String, PlanError> {
    let text = fields.context.template(node, name)?;
    if text.starts_with('/') || text.starts_with("${") {
        Ok(text)
    } else {
        Err(fields.error(
            node.place,
            format!("`{name}` is `{text}`"),
            "a path that begins with `/`, or with a variable",
        ))
    }
}

fn header_name(fields: &Fields<'_>, node: &Node, name: &str) -> Result<String, PlanError> {
    let text = fields.context.text(node, name)?.to_ascii_lowercase();
    let good = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if good && text.len() <= 100 {
        Ok(text)
    } else {
        Err(fields.error(
            node.place,
            format!("`{name}` is `{text}`"),
            "a header of letters, digits and `-`, e.g. `x-version`",
        ))
    }
}

/// What ends a word in nginx's configuration stands in no address.
fn servers(fields: &Fields<'_>, name: &str) -> Result<Vec<String>, PlanError> {
    let node = fields.required(name)?;
    let list = fields
        .context
        .list(node, name, SERVERS_MAX)?
        .iter()
        .map(|node| {
            let text = fields.context.template(node, name)?;
            let written = text.replace("${", "").replace('}', "");
            if written
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".:-_[]/".contains(c))
            {
                Ok(text)
            } else {
                Err(fields.error(
                    node.place,
                    format!("`{text}` is not a server's address"),
                    "HOST:PORT, or `unix:/PATH`",
                ))
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    if list.is_empty() {
        return Err(fields.error(
            node.place,
            format!("`{name}` has no server"),
            "at least one HOST:PORT",
        ));
    }
    Ok(list)
}

fn http_route(context: &Context, node: &Node) -> Result<HttpRouteSpec, PlanError> {
    let fields = Fields::new(
        context,
        node,
        "`http_route`",
        &["namespace", "route", "rule", "kubeconfig", "context", "ready_ms"],
    )?;
    let optional = |name: &str| {
        fields
            .get(name)
            .map(|node| context.template(node, name))
            .transpose()
    };
    Ok(HttpRouteSpec {
        namespace: match fields.get("namespace") {
            None => "default".to_owned(),
            Some(node) => kubernetes_name(&fields, node, "namespace")?,
        },
        route: kubernetes_name(&fields, fields.required("route")?, "route")?,
        rule: fields
            .get("rule")
            .map(|node| kubernetes_name(&fields, node, "rule"))
            .transpose()?,
        kubeconfig: optional("kubeconfig")?,
        context: optional("context")?,
        ready_ms: fields.whole_or("ready_ms", 30_000, 100, 10 * MINUTE_MS)?,
    })
}

fn kubernetes_name(fields: &Fields<'_>, node: &Node, name: &str) -> Result<String, PlanError> {
    let text = fields.context.template(node, name)?;
    let good = text.contains("${")
        || (text.len() <= 253
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c)));
    if good {
        Ok(text)
    } else {
        Err(fields.error(node.place, format!("`{name}` is `{text}`"), NAME))
    }
}

/// A mapping of names to mappings, as `business` has it.
pub(super) fn named<'n>(
    fields: &Fields<'_>,
    node: &'n Node,
    name: &str,
    most: usize,
) -> Result<BTreeMap<String, &'n Node>, PlanError> {
    let entries = fields.context.entries(node, name)?;
    if entries.len() > most {
        return Err(fields.error(
            node.place,
            format!("`{name}` has {} entries", entries.len()),
            format!("at most {most}"),
        ));
    }
    entries
        .iter()
        .map(|entry| {
            if is_word(&entry.key) && matches!(entry.node.value, Value::Map(_)) {
                Ok((entry.key.clone(), &entry.node))
            } else {
                Err(fields.error(
                    entry.place,
                    format!("`{}` in `{name}`", entry.key),
                    "a name of a-z, 0-9 and `_` with a mapping, e.g. `purchases: { bad: …, total: … }`",
                ))
            }
        })
        .collect()
}
