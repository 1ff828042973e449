use futures_util::StreamExt as _;
use tminus_control::board::SharedBoard;
use tminus_control::dashboard;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

async fn open() -> (
    String,
    SharedBoard,
    CancellationToken,
    mpsc::Receiver<dashboard::SignOffRequest>,
) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let board = SharedBoard::new();
    let stop = CancellationToken::new();
    let (sender, receiver) = mpsc::channel(1);
    let address = "127.0.0.1:0".parse().unwrap();
    let served = dashboard::serve(address, board.clone(), sender, stop.clone())
        .await
        .unwrap();
    (served.url(), board, stop, receiver)
}

fn client() -> reqwest::Client {
    tminus_control::gates::http::client().unwrap()
}

#[tokio::test]
async fn the_page_is_served_under_a_strict_policy_and_loads_only_its_own_parts() {
    let (url, _board, stop, _sign_offs) = open().await;
    let page = client().get(&url).send().await.unwrap();
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let html = page.text().await.unwrap();
    assert!(
        !html.contains("http://") && !html.contains("https://") && !html.contains("style="),
        "{html}"
    );
    for part in ["dashboard.css", "dashboard.js", "favicon.svg"] {
        assert!(html.contains(part));
        assert_eq!(
            client()
                .get(format!("{url}{part}"))
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
    }
    stop.cancel();
}

#[tokio::test]
async fn other_web_pages_are_kept_out() {
    let (url, _board, stop, _sign_offs) = open().await;
    let status = client().get(format!("{url}api/status"));
    assert_eq!(status.try_clone().unwrap().send().await.unwrap().status(), 200);
    // A name that somebody points at 127.0.0.1, and a request that another site makes.
    let foreign_name = status.try_clone().unwrap().header("host", "evil.example");
    assert_eq!(foreign_name.send().await.unwrap().status(), 403);
    let foreign_site = client()
        .post(format!("{url}api/sign-offs"))
        .header("origin", "http://evil.example");
    assert_eq!(foreign_site.send().await.unwrap().status(), 403);
    stop.cancel();
}

#[tokio::test]
async fn a_change_of_the_board_reaches_the_page() {
    let (url, board, stop, _sign_offs) = open().await;
    let mut events = client()
        .get(format!("{url}api/events"))
        .send()
        .await
        .unwrap()
        .bytes_stream_of();
    assert!(events.next_event().await.contains("\"ticked\":0"));
    board.change(|b| b.ticked = 4);
    assert!(events.next_event().await.contains("\"ticked\":4"));
    stop.cancel();
}

#[tokio::test]
async fn a_signature_goes_to_the_records_owner_and_its_answer_comes_back() {
    let (url, _board, stop, mut sign_offs) = open().await;
    let owner = tokio::spawn(async move {
        let request = sign_offs.recv().await.unwrap();
        assert_eq!(request.envelope, b"{}");
        request.answer.send(Err("not yet".into())).unwrap();
    });
    let answer = client()
        .post(format!("{url}api/sign-offs"))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 409);
    assert_eq!(answer.text().await.unwrap(), "{\"error\":\"not yet\"}");
    owner.await.unwrap();
    let long = client()
        .post(format!("{url}api/sign-offs"))
        .body(vec![b'x'; 70_000])
        .send()
        .await
        .unwrap();
    assert_eq!(long.status(), 413);
    stop.cancel();
}

/// Server-sent events of an answer, one by one.
pub struct Events {
    pieces: futures_util::stream::BoxStream<'static, Vec<u8>>,
    text: String,
}

pub trait IntoEvents {
    fn bytes_stream_of(self) -> Events;
}

impl IntoEvents for reqwest::Response {
    fn bytes_stream_of(self) -> Events {
        let pieces = futures_util::stream::unfold(self, |mut response| async move {
            let piece = response.chunk().await.ok()??;
            Some((piece.to_vec(), response))
        });
        Events {
            pieces: pieces.boxed(),
            text: String::new(),
        }
    }
}

impl Events {
    pub async fn next_event(&mut self) -> String {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event = self.text[..end].to_owned();
                self.text.drain(..end + 2);
                if event.contains("data:") {
                    return event;
                }
                continue;
            }
            let piece = self.pieces.next().await.expect("the stream goes on");
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
    }
}
