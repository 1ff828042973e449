//! A rule of an HTTPRoute of the Kubernetes Gateway API as a router.
//!
//! Of the route it changes the two weights and nothing else, and only of the version that it has read. A share is in
//! force once every gateway of the route reports that it has taken that generation in.

use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tminus_plan::HttpRouteSpec;

use super::probe::Probe;
use super::route_object::{Wanted, find, generation, patch, settled, share, version};
use super::{Answer, Router, uncounted};
use crate::gates::{CouldNotRun, shorten};

/// One call of the API server.
const CALL_MAX: Duration = Duration::from_secs(10);
/// Somebody else may write the route at the same time, so often.
const CONFLICTS_MAX: u32 = 8;
/// Asked again, and not watched: a watch would need one more right.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
const WORDS_BYTES_MAX: usize = 800;

/// See the module.
pub struct HttpRoute {
    client: Client,
    /// Where the API server is, for errors.
    server: String,
    spec: HttpRouteSpec,
    stable: String,
    canary: String,
    probe: Option<Probe>,
}

impl std::fmt::Debug for HttpRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRoute")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

/// What a call came to, where the call itself was answered.
enum Called {
    Done(Box<Value>),
    /// The route is no longer as it was read, or the patch does not fit it.
    Refused {
        words: String,
    },
}

impl HttpRoute {
    /// # Errors
    /// There is no usable kubeconfig.
    pub async fn connect(
        spec: HttpRouteSpec,
        (stable, canary): (String, String),
        probe: Option<Probe>,
    ) -> Result<Self, CouldNotRun> {
        let config = config(&spec).await?;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|e| {
            CouldNotRun::new(format!("cannot make a client of Kubernetes: {}", innermost(&e)))
        })?;
        Ok(Self {
            client,
            server,
            spec,
            stable,
            canary,
            probe,
        })
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            rule: self.spec.rule.as_deref(),
            stable: &self.stable,
            canary: &self.canary,
        }
    }

    fn name(&self) -> String {
        format!("httproute {}/{}", self.spec.namespace, self.spec.route)
    }

    fn cannot(&self, why: &str) -> CouldNotRun {
        CouldNotRun::new(format!("{}: {why}", self.name()))
    }

    async fn get(&self) -> Result<Value, CouldNotRun> {
        match self.call(Method::GET, Vec::new()).await? {
            Called::Done(route) => Ok(*route),
            Called::Refused { words } => Err(self.cannot(&words)),
        }
    }

    async fn call(&self, method: Method, body: Vec<u8>) -> Result<Called, CouldNotRun> {
        let verb = if method == Method::GET { "get" } else { "patch" };
        let uri = format!(
            "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes/{}{}",
            self.spec.namespace,
            self.spec.route,
            if verb == "patch" {
                "?fieldManager=tminus"
            } else {
                ""
            }
        );
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json-patch+json")
            .body(body)
            .map_err(|e| self.cannot(&e.to_string()))?;
        let silent = |why: &str| {
            CouldNotRun::new(format!(
                "the API server at {} does not answer: {why}",
                self.server
            ))
            .hint("is the cluster running, and is the kubeconfig (or `context`) the right one?")
        };
        match tokio::time::timeout(CALL_MAX, self.client.request::<Value>(request)).await {
            Err(_) => Err(silent("no answer in time")),
            Ok(Ok(route)) => Ok(Called::Done(Box::new(route))),
            Ok(Err(kube::Error::Api(status))) => self.refused(verb, status.code, &status.message),
            Ok(Err(error)) => Err(silent(&innermost(&error))),
        }
    }

    fn refused(&self, verb: &str, code: u16, words: &str) -> Result<Called, CouldNotRun> {
        let words = shorten(words.trim(), WORDS_BYTES_MAX);
        let (namespace, route) = (&self.spec.namespace, &self.spec.route);
        Err(match StatusCode::from_u16(code).unwrap_or_default() {
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY if verb == "patch" => {
                return Ok(Called::Refused { words });
            }
            StatusCode::FORBIDDEN => self
                .cannot(&format!(
                    "the API server forbids to {verb} httproutes.gateway.networking.k8s.io: {words}"
                ))
                .hint(format!(
                    "bind this role to whoever runs tminus:\n{}",
                    role(namespace, route)
                )),
            StatusCode::UNAUTHORIZED => self
                .cannot(&format!(
                    "the API server does not accept the credentials: {words}"
                ))
                .hint("sign in again, or renew the token of the kubeconfig"),
            StatusCode::NOT_FOUND if words.contains(route.as_str()) => self
                .cannot(&format!("there is no such route: {words}"))
                .hint(format!(
                    "`kubectl get httproutes --namespace {namespace}` shows those that there are"
                )),
            StatusCode::NOT_FOUND => self
                .cannot(&format!(
                    "the cluster knows no HTTPRoute of gateway.networking.k8s.io/v1: {words}"
                ))
                .hint("install the Gateway API's definitions, standard channel, 1.0 or later"),
            _ => self.cannot(&format!("the API server answers {verb} with {code}: {words}")),
        })
    }

    /// Writes the weights; somebody else's change in between is read and kept.
    async fn write(&self, percent: u32) -> Result<(), CouldNotRun> {
        let mut refused = String::new();
        for _ in 0..CONFLICTS_MAX {
            let route = self.get().await?;
            let place = find(&route, self.wanted()).map_err(|why| self.cannot(&why))?;
            if share(&route, place) == (percent, true) {
                return Ok(());
            }
            let body = patch(&route, place, percent).to_string().into_bytes();
            match self.call(Method::PATCH, body).await? {
                Called::Done(_) => return Ok(()),
                Called::Refused { words } => {
                    // Unless it was changed meanwhile, it is the patch that the server does not want.
                    if version(&self.get().await?) == version(&route) {
                        return Err(
                            self.cannot(&format!("the API server does not take the weights: {words}"))
                        );
                    }
                    refused = words;
                }
            }
        }
        Err(self
            .cannot(&format!(
                "somebody else has changed it {CONFLICTS_MAX} times in a row: {refused}"
            ))
            .hint("which controller writes it all the time?"))
    }

    /// Waits until the gateways have taken the route in.
    async fn taken_in(&self) -> Result<i64, CouldNotRun> {
        let limit = Duration::from_millis(u64::from(self.spec.ready_ms));
        let began = Instant::now();
        loop {
            let route = self.get().await?;
            let Err(why) = settled(&route) else {
                return Ok(generation(&route));
            };
            if began.elapsed() >= limit {
                return Err(self
                    .cannot(&format!("not in force after {} s: {why}", limit.as_secs_f64()))
                    .hint(
                        "the gateway's controller says more; `ready_ms` in the plan is how long it may take",
                    ));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}

async fn config(spec: &HttpRouteSpec) -> Result<Config, CouldNotRun> {
    let options = KubeConfigOptions {
        context: spec.context.clone(),
        ..KubeConfigOptions::default()
    };
    let none = |why: String| {
        CouldNotRun::new(format!("no usable kubeconfig: {why}"))
            .hint("KUBECONFIG, ~/.kube/config or, in a pod, its service account; or `kubeconfig` and `context` in the plan")
    };
    if let Some(path) = &spec.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(|e| none(format!("{path}: {}", innermost(&e))))?;
        return Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|e| none(format!("{path}: {}", innermost(&e))));
    }
    if spec.context.is_some() {
        return Config::from_kubeconfig(&options)
            .await
            .map_err(|e| none(innermost(&e)));
    }
    Config::infer().await.map_err(|e| none(innermost(&e)))
}

/// The role that steering needs, as `kubectl apply` takes it.
fn role(namespace: &str, route: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{ name: tminus-canary, namespace: {namespace} }}\n\
         rules:\n  - apiGroups: [gateway.networking.k8s.io]\n    resources: [httproutes]\n    \
         resourceNames: [{route}]\n    verbs: [get, patch]"
    )
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) => crate::error::io_words(io),
        None => cause.to_string(),
    }
}

impl Router for HttpRoute {
    fn weight(&mut self) -> Answer<'_, u32> {
        Box::pin(async {
            let route = self.get().await?;
            let place = find(&route, self.wanted()).map_err(|why| self.cannot(&why))?;
            Ok(share(&route, place).0)
        })
    }

    fn set_weight(&mut self, canary_percent: u32) -> Answer<'_, ()> {
        Box::pin(async move {
            self.write(canary_percent).await?;
            self.taken_in().await?;
            Ok(())
        })
    }

    fn verify(&mut self, canary_percent: u32) -> Answer<'_, String> {
        Box::pin(async move {
            if let Some(probe) = &mut self.probe {
                return probe.verify(canary_percent).await;
            }
            let weight = self.weight().await?;
            if weight != canary_percent {
                return Err(self.cannot(&format!(
                    "it was given {canary_percent} % and has {weight} %: somebody else sets its weights"
                )));
            }
            let generation = self.taken_in().await?;
            Ok(uncounted(
                canary_percent,
                &format!("Accepted and ResolvedRefs at generation {generation}"),
            ))
        })
    }

    fn set_draining(&mut self, draining: bool) -> Answer<'_, String> {
        Box::pin(async move {
            Ok(if draining {
                "an HTTPRoute ends no connection: those to the canary stay until they end by themselves, or with its pods"
            } else {
                "an HTTPRoute drains nothing"
            }
            .to_owned())
        })
    }
}
