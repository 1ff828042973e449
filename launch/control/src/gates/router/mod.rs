//! Who splits the traffic between the releases, behind four methods.
//!
//! A router is told the canary's share and answers once the share is in force as far as it can say;
//! that traffic follows is counted, and never taken from the router's word where a probe is given.

pub mod gateway;
pub mod http_route;
pub mod nginx;
mod nginx_file;
mod nginx_process;
pub mod probe;
mod route_object;

use futures_util::future::BoxFuture;
use tminus_plan::{CanarySpec, Releases, RouterSpec};

use super::CouldNotRun;
use gateway::Gateway;
use http_route::HttpRoute;
use nginx::Nginx;
use probe::Probe;

/// An answer of a router.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, CouldNotRun>>;

/// One router that splits between two releases.
pub trait Router: Send {
    /// The canary's share now, percent.
    fn weight(&mut self) -> Answer<'_, u32>;

    /// Gives the canary this share, percent, and stable the rest; done when new requests are split so.
    fn set_weight(&mut self, canary_percent: u32) -> Answer<'_, ()>;

    /// Whether traffic follows; answers how that was found, in a sentence.
    fn verify(&mut self, canary_percent: u32) -> Answer<'_, String>;

    /// Takes the canary out of service, pinned and connected players included, or into it again;
    /// answers what became of its connections, in a sentence.
    fn set_draining(&mut self, draining: bool) -> Answer<'_, String>;
}

/// The router of a plan, and what its sides call themselves.
///
/// # Errors
/// It cannot be reached, or what the plan says of it cannot be.
pub async fn connect(spec: &CanarySpec, seed: u64) -> Result<(Box<dyn Router>, Releases), CouldNotRun> {
    let probe = |releases: &Releases| {
        spec.probe
            .as_ref()
            .map(|probe| Probe::new(probe, releases, seed))
            .transpose()
    };
    let given = || {
        spec.releases.clone().ok_or_else(|| {
            CouldNotRun::new("the plan does not say what the releases are called").hint("add `releases`")
        })
    };
    let sides = || (spec.stable.clone(), spec.canary.clone());
    Ok(match &spec.router {
        RouterSpec::Gateway { admin } => {
            let mut gateway = Gateway::new(admin, sides())?;
            let releases = match &spec.releases {
                Some(releases) => releases.clone(),
                None => gateway.releases().await?,
            };
            gateway.probe = probe(&releases)?;
            (Box::new(gateway), releases)
        }
        RouterSpec::Nginx(nginx) => {
            let releases = given()?;
            let nginx = Nginx::new(nginx.clone(), sides(), releases.clone(), probe(&releases)?)?;
            (Box::new(nginx), releases)
        }
        RouterSpec::HttpRoute(route) => {
            let releases = given()?;
            let route = HttpRoute::connect(route.clone(), sides(), probe(&releases)?).await?;
            (Box::new(route), releases)
        }
    })
}

/// Where a router takes its orders, for the evidence.
#[must_use]
pub fn address(router: &RouterSpec) -> String {
    match router {
        RouterSpec::Gateway { admin } => admin.clone(),
        RouterSpec::Nginx(nginx) => format!("nginx by {}", nginx.file),
        RouterSpec::HttpRoute(route) => format!("httproute {}/{}", route.namespace, route.route),
    }
}

/// What a router says that has nobody to count for it.
fn uncounted(canary_percent: u32, why: &str) -> String {
    format!("{canary_percent} % as the router says ({why}); not counted: the plan has no `probe`")
}
