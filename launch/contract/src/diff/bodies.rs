//! Request bodies and responses: there or not, their media types, their schemas.

use super::media::{self, Content, MediaPair};
use super::operations::Operation;
use super::paths::PathPair;
use super::{Comparison, Said, Spot};
use crate::delta::Sought;
use crate::document::At;
use crate::error::ContractError;
use crate::schema;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// The body whose schema is looked at.
pub(super) struct Body<'a, 's> {
    pub(super) spot: &'a Spot,
    pub(super) side: Side,
    /// The response's status.
    pub(super) status: &'a str,
    pub(super) media: &'a str,
    /// Whether the media type has to be named to be clear.
    pub(super) names_media: bool,
    pub(super) operation: At<'s>,
    /// Whether stability levels of properties count.
    pub(super) watches_stability: bool,
}

impl<'s> Comparison<'s> {
    pub(super) fn request_body(
        &mut self,
        pair: &PathPair<'s>,
        operation: &Operation<'s>,
    ) -> Result<(), ContractError> {
        let spot = &operation.spot;
        let (from, to) = (
            resolved(operation.base.get("requestBody"))?,
            resolved(operation.revision.get("requestBody"))?,
        );
        let (from, to) = match (from, to) {
            (None, None) => return Ok(()),
            (None, Some(to)) => {
                let (rule, text) = if to.flag("required") {
                    (
                        "request-body-added-required",
                        "a request body is new and required",
                    )
                } else {
                    ("request-body-added-optional", "an optional request body is new")
                };
                let around = operation.base.mark();
                return self.say(spot, Said::new(rule, text, around, to.mark()));
            }
            (Some(from), None) => {
                let around = operation.revision.mark();
                let said = Said::new(
                    "request-body-removed",
                    "the request body is gone",
                    from.mark(),
                    around,
                );
                return self.say(spot, said);
            }
            (Some(from), Some(to)) => (from, to),
        };
        let marks = (from.mark_of("required"), to.mark_of("required"));
        match (from.flag("required"), to.flag("required")) {
            (false, true) => {
                let text = "the request body is now required";
                self.say(
                    spot,
                    Said::new("request-body-became-required", text, marks.0, marks.1),
                )?;
            }
            (true, false) => {
                let text = "the request body is now optional";
                self.say(
                    spot,
                    Said::new("request-body-became-optional", text, marks.0, marks.1),
                )?;
            }
            _ => {}
        }
        let content = Content::of(from, to);
        for (name, at) in &content.added {
            let text = format!("the request body may now be `{name}`");
            let around = from.mark_of("content");
            self.say(
                spot,
                Said::new("request-body-media-type-added", text, around, at.mark()),
            )?;
        }
        for (name, at) in &content.deleted {
            let text = format!("the request body may no longer be `{name}`");
            let around = to.mark_of("content");
            self.say(
                spot,
                Said::new("request-body-media-type-removed", text, at.mark(), around),
            )?;
        }
        for media in &content.pairs {
            let body = Body {
                spot,
                side: Side::Request,
                status: "",
                media: media.name,
                names_media: content.pairs.len() > 1,
                operation: operation.revision,
                watches_stability: !pair.is_webhook,
            };
            self.body_schema(&body, media)?;
        }
        Ok(())
    }

    pub(super) fn responses(
        &mut self,
        pair: &PathPair<'s>,
        operation: &Operation<'s>,
    ) -> Result<(), ContractError> {
        let (from, to) = (
            operation.base.get("responses"),
            operation.revision.get("responses"),
        );
        let both = |status: &str| -> (Option<At<'s>>, Option<At<'s>>) {
            (
                from.and_then(|from| from.entry(status)),
                to.and_then(|to| to.entry(status)),
            )
        };
        for (status, at) in from.into_iter().flat_map(At::members) {
            if status.starts_with("x-") {
                continue;
            }
            match both(status) {
                (_, Some(other)) => {
                    let (base, revision) = (at.spec.follow(at)?, other.spec.follow(other)?);
                    self.response_pair(pair, operation, status, base, revision)?;
                }
                (_, None) => self.status_on_one_side(operation, status, at, true)?,
            }
        }
        for (status, at) in to.into_iter().flat_map(At::members) {
            if both(status).0.is_none() {
                self.status_on_one_side(operation, status, at, false)?;
            }
        }
        Ok(())
    }

    /// Ranges and `default` stand for no status in particular: no rule speaks of them.
    fn status_on_one_side(
        &mut self,
        operation: &Operation<'s>,
        status: &str,
        at: At<'s>,
        removed: bool,
    ) -> Result<(), ContractError> {
        let Ok(code) = status.parse::<i32>() else {
            return Ok(());
        };
        let is_success = (200..=299).contains(&code);
        let rule = match (is_success, removed) {
            (true, true) => "response-success-status-removed",
            (true, false) => "response-success-status-added",
            (false, true) => "response-non-success-status-removed",
            (false, false) => "response-non-success-status-added",
        };
        let said = if removed {
            let text = format!("the response {status} is gone");
            Said::new(rule, text, at.mark(), operation.revision.mark_of("responses"))
        } else {
            let text = format!("the response {status} is new");
            Said::new(rule, text, operation.base.mark_of("responses"), at.mark())
        };
        self.say(&operation.spot, said)
    }

    fn response_pair(
        &mut self,
        pair: &PathPair<'s>,
        operation: &Operation<'s>,
        status: &str,
        from: At<'s>,
        to: At<'s>,
    ) -> Result<(), ContractError> {
        let spot = &operation.spot;
        self.response_headers(spot, status, from, to)?;
        let content = Content::of(from, to);
        for (name, at) in &content.deleted {
            let text = format!("the response {status} no longer comes as `{name}`");
            let around = to.mark_of("content");
            self.say(
                spot,
                Said::new("response-media-type-removed", text, at.mark(), around),
            )?;
        }
        for (name, at) in &content.added {
            let text = format!("the response {status} may now come as `{name}`");
            let around = from.mark_of("content");
            self.say(
                spot,
                Said::new("response-media-type-added", text, around, at.mark()),
            )?;
        }
        for media in &content.pairs {
            if media.base_name != media.name {
                let rule = if media::differ_in_parameters(media.base_name, media.name) {
                    "response-media-type-name-changed"
                } else if media::contains(media.base_name, media.name) {
                    "response-media-type-name-specialized"
                } else {
                    "response-media-type-name-generalized"
                };
                let text = format!(
                    "the response {status} comes as `{}` instead of `{}`",
                    media.name, media.base_name
                );
                let said = Said::new(rule, text, media.base.mark(), media.revision.mark());
                self.say(
                    spot,
                    said.with_values(media.base_name.to_owned(), media.name.to_owned()),
                )?;
            }
            let body = Body {
                spot,
                side: Side::Response,
                status,
                media: media.name,
                names_media: content.pairs.len() > 1,
                operation: operation.revision,
                watches_stability: !pair.is_webhook,
            };
            self.body_schema(&body, media)?;
        }
        Ok(())
    }

    fn body_schema(&mut self, body: &Body<'_, 's>, media: &MediaPair<'s>) -> Result<(), ContractError> {
        let (from, to) = (media.base.get("schema"), media.revision.get("schema"));
        let (from, to) = match (from, to) {
            (None, None) => return Ok(()),
            (Some(from), Some(to)) => (schema::schema_at(from)?, schema::schema_at(to)?),
            (from, _) => {
                let added = from.is_none();
                let rule = match (body.side, added) {
                    (Side::Request, true) => "request-body-media-type-schema-added",
                    (Side::Request, false) => "request-body-media-type-schema-removed",
                    (Side::Response, true) => "response-body-media-type-schema-added",
                    (Side::Response, false) => "response-body-media-type-schema-removed",
                };
                let word = if added {
                    "now has a schema"
                } else {
                    "no longer has a schema"
                };
                let text = format!("{}: `{}` {word}", body.subject(""), body.media);
                let marks = (media.base.mark_of("schema"), media.revision.mark_of("schema"));
                return self.say(body.spot, Said::new(rule, text, marks.0, marks.1));
            }
        };
        let root = self.graph.pair(from.schema.id, to.schema.id)?;
        if !self.graph.differs(root, Sought::Relevant)? {
            return Ok(());
        }
        let visits = self.visits(root, from.target(), to.target())?;
        for visit in &visits {
            self.schema_changes(body, visit, &visits[0].delta)?;
        }
        Ok(())
    }
}

impl Body<'_, '_> {
    /// Who a sentence speaks of.
    pub(super) fn subject(&self, path: &str) -> String {
        let media = if self.names_media {
            format!(" ({})", self.media)
        } else {
            String::new()
        };
        match (self.side, path) {
            (Side::Request, "") => format!("request body{media}"),
            (Side::Request, path) => format!("request property `{path}`{media}"),
            (Side::Response, "") => format!("body of response {}{media}", self.status),
            (Side::Response, path) => format!("property `{path}` of response {}{media}", self.status),
        }
    }
}

fn resolved(at: Option<At<'_>>) -> Result<Option<At<'_>>, ContractError> {
    match at {
        Some(at) => {
            let to = at.spec.follow(at)?;
            if to.is_object() {
                Ok(Some(to))
            } else {
                Err(to.spec.malformed(to, "no request body", "an object with content"))
            }
        }
        None => Ok(None),
    }
}
