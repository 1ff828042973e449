//! The gate `http`: sends a request, once or many times, and compares every answer with the plan.
//!
//! With `split`, every request comes from another player, and the releases that answered are counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use tminus_plan::{HttpSpec, mismatches, split_sigmas};

use super::{CouldNotRun, Hands, Measured, shorten, unless_stopped};

/// Requests under way at once.
const CONCURRENT_MAX: usize = 16;
/// An answer's body is read up to this length.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Mismatches that go into the evidence word by word.
const NOTED_MAX: usize = 10;

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    took: Duration,
}

/// A client for gates: the target is meant as written, so no proxy and no redirects.
///
/// # Errors
/// TLS cannot be set up.
pub fn client() -> Result<Client, CouldNotRun> {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("tminus/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| CouldNotRun::new(format!("cannot make an HTTP client: {}", words(&e))))
}

/// Sends the requests and compares the answers.
///
/// # Errors
/// The request cannot be built, or nothing answered at all.
pub async fn run(spec: &HttpSpec, hands: &Hands) -> Result<Measured, CouldNotRun> {
    let client = client()?;
    let method = Method::from_bytes(spec.method.as_bytes())
        .map_err(|_| CouldNotRun::new(format!("`{}` is not an HTTP method", spec.method)))?;
    let url =
        Url::parse(&spec.url).map_err(|e| CouldNotRun::new(format!("`{}` is not a URL: {e}", spec.url)))?;
    for (name, value) in &spec.headers {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| CouldNotRun::new(format!("`{name}` is not a header name")))?;
        HeaderValue::from_str(value)
            .map_err(|_| CouldNotRun::new(format!("`{value}` is not a header value")))?;
    }
    let total = spec.split.as_ref().map_or(spec.repeat, |split| split.keys).max(1);

    let requests = stream::iter(0..total).map(|n| {
        let mut request = client
            .request(method.clone(), url.clone())
            .timeout(Duration::from_millis(u64::from(spec.timeout_ms)));
        for (name, value) in &spec.headers {
            request = request.header(name, value);
        }
        if let Some(split) = &spec.split {
            request = request.header(&split.key_header, format!("player-{n}"));
        }
        if let Some(body) = &spec.body {
            request = request.body(body.clone());
        }
        send(request)
    });
    let mut answers = requests.buffer_unordered(CONCURRENT_MAX);

    let (mut done, mut wrong, mut no_answer) = (0_u32, 0_u32, 0_u32);
    let mut notes: BTreeMap<String, u32> = BTreeMap::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut took_ms: Vec<f64> = Vec::with_capacity(total as usize);
    let mut last_error = String::new();
    while let Some(answer) = unless_stopped(&hands.stop, answers.next()).await? {
        done += 1;
        match answer {
            Err(why) => {
                no_answer += 1;
                wrong += 1;
                last_error.clone_from(&why);
                *notes.entry(format!("no answer: {why}")).or_default() += 1;
            }
            Ok(answer) => {
                took_ms.push(answer.took.as_secs_f64() * 1_000.0);
                let found = mismatches(spec, answer.status, &answer.headers, &answer.body);
                if !found.is_empty() {
                    wrong += 1;
                    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
                    if notes.len() < 100 {
                        *notes.entry(text.join("; ")).or_default() += 1;
                    }
                }
                if let Some(split) = &spec.split {
                    let who = answer.headers.get(&split.header.to_ascii_lowercase());
                    *counts
                        .entry(who.cloned().unwrap_or_else(|| "(no header)".to_owned()))
                        .or_default() += 1;
                }
            }
        }
        if done.is_multiple_of(32) || done == total {
            hands.progress(
                Some(f64::from(done) / f64::from(total)),
                format!("{done} of {total} requests, {wrong} wrong"),
            );
        }
    }
    if no_answer == total {
        return Err(
            CouldNotRun::new(format!("{} gives no answer: {last_error}", spec.url))
                .hint("is it running, and is the address in the plan (or in --var) right?"),
        );
    }

    let mut measured = Measured {
        target: spec.url.clone(),
        command: vec![spec.method.clone(), spec.url.clone()],
        ..Measured::default()
    };
    for (name, value) in &spec.headers {
        // The value may be a secret; that it was sent, and which, is what a digest tells.
        measured.input(&format!("header {name}"), shown_header(name, value));
    }
    measured.input("repeat", total);
    measured.input("expect_status", spec.expect_status);
    measured.measure("requests", f64::from(total), "1");
    measured.measure("mismatches", f64::from(wrong), "1");
    measured.measure("no_answer", f64::from(no_answer), "1");
    took_ms.sort_by(f64::total_cmp);
    for (name, share) in [("p50_ms", 0.50), ("p99_ms", 0.99), ("max_ms", 1.0)] {
        measured.measure(name, quantile(&took_ms, share), "ms");
    }
    if let Some(split) = &spec.split {
        let sigmas = split_sigmas(split, &counts);
        measured.measure("split_sigmas", sigmas, "1");
        measured.input("key_header", &split.key_header);
        let answered: u64 = counts.values().sum();
        for (release, count) in &counts {
            let wanted = split.shares.get(release).copied().unwrap_or(0.0);
            let share = 100.0 * *count as f64 / answered.max(1) as f64;
            measured.notes.push(format!(
                "{release}: {count} of {answered} players ({share:.2} %), wanted {wanted} %"
            ));
        }
        measured.measure("players", answered as f64, "1");
    }
    let mut wrongs: Vec<(String, u32)> = notes.into_iter().collect();
    wrongs.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for (what, times) in wrongs.into_iter().take(NOTED_MAX) {
        measured.notes.push(format!("{times} × {}", shorten(&what, 400)));
    }
    Ok(measured)
}

async fn send(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    let started = Instant::now();
    let mut response = request.send().await.map_err(|e| words(&e))?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| words(&e))? {
        if body.len() + piece.len() > BODY_BYTES_MAX {
            return Err(format!("the body is longer than {BODY_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer {
        status,
        headers,
        body,
        took: started.elapsed(),
    })
}

/// A transport error in the words of its innermost cause.
pub fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) => crate::error::io_words(io),
        None => cause.to_string(),
    }
}

fn shown_header(name: &str, value: &str) -> String {
    let secret = matches!(
        name.to_ascii_lowercase().as_str(),
        "authorization" | "cookie" | "proxy-authorization"
    ) || name.to_ascii_lowercase().contains("token")
        || name.to_ascii_lowercase().contains("key");
    if secret {
        use sha2::Digest as _;
        return format!(
            "(secret, sha256 {})",
            hex::encode(sha2::Sha256::digest(value.as_bytes()))
        );
    }
    shorten(value, 200)
}

/// The smallest value that at least `share` of all are not above; `sorted` ascending.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 50.0);
        assert_eq!(quantile(&values, 0.99), 99.0);
        assert_eq!(quantile(&values, 1.0), 100.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn secrets_of_a_request_are_shown_as_digests_only() {
        assert!(!shown_header("Authorization", "Bearer abc").contains("abc"));
        assert_eq!(shown_header("x-version", "v1.2"), "v1.2");
    }
}
