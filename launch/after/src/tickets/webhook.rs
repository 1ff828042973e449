//! Any receiver of a signed POST.
//!
//! `X-Tminus-Signature: sha256=<hex>` is HMAC-SHA256 over `<X-Tminus-Timestamp>.<body>`, the timestamp in seconds.
//! `Idempotency-Key: tminus-<id>` is the same in every attempt: the receiver makes one ticket per key.

use hmac::{Hmac, Mac as _};
use reqwest::Method;
use serde_json::json;
use sha2::Sha256;

use crate::tickets::courier::Clock;
use crate::tickets::http::{Http, Kind, SetupError, SinkSetup};
use crate::tickets::{Answer, Made, Secret, Ticket, TicketSink};

/// Posts tickets to one URL.
pub struct Webhook {
    http: Http,
    clock: Clock,
}

/// The signature's header, `sha256=<hex>`.
pub fn signature(key: &Secret, timestamp_s: u64, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
        // HMAC takes keys of every length.
        return String::new();
    };
    mac.update(format!("{timestamp_s}.").as_bytes());
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl Webhook {
    /// The base URL is posted to as it stands.
    ///
    /// # Errors
    /// A URL or account that cannot be one.
    pub fn new(setup: SinkSetup, key: Secret, clock: Clock) -> Result<Self, SetupError> {
        let http = Http::new(setup, key)?;
        Ok(Self { http, clock })
    }
}

impl TicketSink for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn search_lag_ms(&self) -> u64 {
        0
    }

    /// The receiver keeps the key.
    fn find<'a>(&'a self, _: &'a Ticket) -> Answer<'a, Option<Made>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn create<'a>(&'a self, ticket: &'a Ticket) -> Answer<'a, Made> {
        Box::pin(async move {
            let owners: Vec<_> = ticket
                .owners
                .iter()
                .map(|role| json!({"role": role, "account": self.http.accounts.get(role)}))
                .collect();
            let facts: serde_json::Map<_, _> = ticket
                .facts
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect();
            let body = json!({
                "id": ticket.id, "title": ticket.title, "text": ticket.text, "facts": facts,
                "owners": owners, "labels": ticket.all_labels(),
            })
            .to_string();
            let timestamp_s = (self.clock)() / 1000;
            let request = self
                .http
                .request(Method::POST, "")
                .header("content-type", "application/json")
                .header("idempotency-key", ticket.label())
                .header("x-tminus-timestamp", timestamp_s.to_string())
                .header(
                    "x-tminus-signature",
                    signature(self.http.secret(), timestamp_s, body.as_bytes()),
                )
                .body(body);
            let answer = self.http.call(request, Kind::Posts).await?;
            let text = |name: &str, most| {
                answer[name]
                    .as_str()
                    .map(|text| crate::text::one_line(text, most))
            };
            Ok(Made {
                key: text("key", 100).unwrap_or_else(|| ticket.label()),
                url: text("url", 500),
            })
        })
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}
