//! CPU of one unary call, three ways to the same answer: HTTP/JSON through the transcoder to a tonic service, gRPC
//! to that service, and HTTP/JSON to a handler written by hand with the generated JSON form of the messages.
//!
//! All three are called in this process, as services: no connection, so nothing but their own work is measured. The
//! rounds take turns, and each figure is the median of its rounds, so that a busy machine touches all three alike.

use std::future::poll_fn;
use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::{Json, Router, body::Body, extract::State, routing::post};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use rustix::time::{ClockId, clock_gettime};
use starvault_wire::v1::{
    self, EquipItemRequest, GetProfileRequest, Profile, SignInAsGuestRequest, SignInAsGuestResponse,
    player_service_client::PlayerServiceClient,
    player_service_server::{PlayerService, PlayerServiceServer},
};
use tminus_transcode::{Options, TranscodeLayer, Transcoder};
use tonic::{Response, Status};
use tower::{Layer as _, Service};

use crate::report::{Limit, Report, quantile, sorted};

const ROUNDS: usize = 41;
const CALLS: u32 = 2_000;
const PATH: &str = "/v1/players/me/equipment";
const BODY: &[u8] = br#"{"itemId":"crest-spark","equip":true}"#;

/// Answers at once, so that the way to it is all there is.
#[derive(Debug, Clone)]
struct Fixed(Arc<Profile>);

#[tonic::async_trait]
impl PlayerService for Fixed {
    async fn sign_in_as_guest(
        &self,
        _: tonic::Request<SignInAsGuestRequest>,
    ) -> Result<Response<SignInAsGuestResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn get_profile(&self, _: tonic::Request<GetProfileRequest>) -> Result<Response<Profile>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn equip_item(
        &self,
        request: tonic::Request<EquipItemRequest>,
    ) -> Result<Response<Profile>, Status> {
        black_box(request.into_inner());
        Ok(Response::new(Profile::clone(&self.0)))
    }
}

async fn handler(State(fixed): State<Fixed>, Json(request): Json<EquipItemRequest>) -> Json<Profile> {
    black_box(request);
    Json(Profile::clone(&fixed.0))
}

pub fn run() -> anyhow::Result<Report> {
    crate::runtime()?.block_on(measure())
}

async fn measure() -> anyhow::Result<Report> {
    let fixed = Fixed(Arc::new(profile()));
    let transcoder = Arc::new(Transcoder::new(v1::FILE_DESCRIPTOR_SET, Options::default())?);
    let mut transcoded = TranscodeLayer(transcoder).layer(PlayerServiceServer::new(fixed.clone()));
    let mut grpc = PlayerServiceClient::new(PlayerServiceServer::new(fixed.clone()));
    let mut by_hand = Router::new().route(PATH, post(handler)).with_state(fixed);

    let (ours, theirs) = (
        over_http(&mut transcoded, Full::new(Bytes::from_static(BODY))).await?,
        over_http(&mut by_hand, Body::from(BODY)).await?,
    );
    let json = |bytes: &Bytes| serde_json::from_slice::<serde_json::Value>(bytes);
    ensure!(
        json(&ours)? == json(&theirs)?,
        "the two answers differ: {ours:?} and {theirs:?}"
    );

    let mut figures: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        let began = cpu_us();
        for _ in 0..CALLS {
            black_box(over_http(&mut transcoded, Full::new(Bytes::from_static(BODY))).await?);
        }
        let second = cpu_us();
        for _ in 0..CALLS {
            let request = EquipItemRequest {
                item_id: "crest-spark".into(),
                equip: true,
            };
            black_box(grpc.equip_item(request).await?);
        }
        let third = cpu_us();
        for _ in 0..CALLS {
            black_box(over_http(&mut by_hand, Body::from(BODY)).await?);
        }
        let end = cpu_us();
        for (figure, us) in figures
            .iter_mut()
            .zip([second - began, third - second, end - third])
        {
            figure.push(us / f64::from(CALLS));
        }
    }
    let ratios = figures[0]
        .iter()
        .zip(&figures[2])
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    let [transcoded, grpc, by_hand] = figures.map(|rounds| quantile(&sorted(rounds), 0.5));
    let mut report = Report::default();
    report.add("cpu_us_transcoded", transcoded, "us", Limit::None);
    report.add("cpu_us_grpc", grpc, "us", Limit::None);
    report.add("cpu_us_handler", by_hand, "us", Limit::None);
    let ratio = quantile(&sorted(ratios), 0.5);
    report.add("ratio_vs_handler", ratio, "times", Limit::AtMost(2.0));
    report.note(format!(
        "median of {ROUNDS} rounds of {CALLS} calls each, in this process, without a connection"
    ));
    Ok(report)
}

async fn over_http<S, B, R>(service: &mut S, body: B) -> anyhow::Result<Bytes>
where
    S: Service<Request<B>, Response = http::Response<R>>,
    S::Error: std::error::Error + Send + Sync + 'static,
    R: BodyExt,
    R::Error: std::fmt::Debug,
{
    let request = Request::post(PATH)
        .header("content-type", "application/json")
        .body(body)?;
    poll_fn(|cx| service.poll_ready(cx)).await?;
    let response = service.call(request).await?;
    ensure!(response.status() == 200, "the answer is {}", response.status());
    let body = response
        .into_body()
        .collect()
        .await
        .ok()
        .context("the answer broke off")?;
    Ok(body.to_bytes())
}

/// CPU time of this thread, which is the only one that works here.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn profile() -> Profile {
    Profile {
        player_id: "p-0198c1d2e3f470718293a4b5c6d7e8f9".into(),
        display_name: "Vega 星穹".into(),
        rating: 1_612,
        games_played: 240,
        wins: 120,
        losses: 100,
        draws: 20,
        version: 481,
        active_game_id: String::new(),
        rating_deviation: 62,
        level: 12,
        xp: 7_260,
        xp_next_level: 7_800,
        stage: "first-light".into(),
        items: [
            "crest-spark",
            "crest-comet",
            "board-dusk",
            "board-dawn",
            "pieces-glass",
        ]
        .map(Into::into)
        .into(),
        equipped: ["crest-spark", "board-dusk"].map(Into::into).into(),
    }
}
