//! What `tminus contract check` takes.

use clap::Args;

use super::name_value;
use crate::conformance::Taken;

pub(super) const EXAMPLES: &str = "\
Examples:
  tminus contract check --spec openapi.json --url http://127.0.0.1:8080
  tminus contract check --spec http://127.0.0.1:8080/openapi.json --url http://127.0.0.1:8080 \\
      --bearer-from signIn#/accessToken --take playerId=signIn#/playerId
  tminus contract check --spec api.yaml --url https://staging.example.com \\
      --credential 'x-api-key: …' --value orderId=4711 --json

Every operation is called with a request as the document describes it, and with ones that should be refused: parameters and fields
missing or of another type, no credential, a torn body. Run it against a service whose data may change.

A finding is an undeclared status, media type or field, a body that its schema does not allow, a failure of the server, a valid
request that is refused, or something that should be refused and is not. Declared answers that never came are listed.

Exit codes: 0 no finding and every operation called, 1 otherwise, 2 the check could not run.";

#[derive(Debug, Clone, Args)]
pub struct ContractCheck {
    /// The OpenAPI document (3.0 or 3.1, JSON or YAML): a file, or an address
    #[arg(long, value_name = "FILE|URL")]
    pub spec: String,
    /// The service's address, without the path that the document's `servers` names
    #[arg(long, value_name = "URL")]
    pub url: reqwest::Url,
    /// A value for a parameter or a field of a body, for one operation alone as OPERATION.NAME; repeatable
    #[arg(long = "value", value_name = "NAME=VALUE", value_parser = name_value)]
    pub values: Vec<(String, String)>,
    /// Such a value out of the answer to another operation; repeatable
    #[arg(long = "take", value_name = "NAME=OPERATION#/POINTER", value_parser = name_taken)]
    pub taken: Vec<(String, Taken)>,
    /// A bearer token out of the answer to another operation
    #[arg(long, value_name = "OPERATION#/POINTER")]
    pub bearer_from: Option<Taken>,
    /// A header that carries the credential; left out where its absence is tried; repeatable
    #[arg(long = "credential", value_name = "NAME: VALUE", value_parser = header)]
    pub credentials: Vec<(String, String)>,
    /// A header of every request; repeatable
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Check this operation only; repeatable
    #[arg(long, value_name = "OPERATION")]
    pub only: Vec<String>,
    /// How long an answer may take (milliseconds)
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub timeout_ms: u64,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

fn name_taken(text: &str) -> Result<(String, Taken), String> {
    let (name, taken) = name_value(text)?;
    Ok((name, taken.parse()?))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("`{name}` is not a header name"));
    }
    if reqwest::header::HeaderValue::from_str(value).is_err() {
        return Err("the value holds characters that a header cannot".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}
