//! What people see and say after a launch: the form, the page of figures, scans, the configuration.

use std::process::Command;

use tminus_control::after::{self, AfterConfig, Listeners};
use tokio_util::sync::CancellationToken;

use crate::after_stage::{
    HOUR_MS, Stage, client, link, now_ms, page, pdf, png, private, rfc3339, said, text,
};
use crate::dashboard::IntoEvents as _;
use crate::desk::TOKEN;

#[tokio::test]
async fn an_answered_form_moves_the_figures_on_the_admin_page() {
    let stage = Stage::served(false).await;
    let running = stage.start().await;
    let events = client()
        .get(format!("{}feedback/events", running.admin()))
        .send()
        .await
        .unwrap();
    let mut events = events.bytes_stream_of();
    assert!(events.next_event().await.contains("\"launches\":[]"));

    let form = format!("{}{}", running.public(), link(&stage.launch));
    assert!(
        text(&form, &[("accept-language", "zh")])
            .await
            .contains("这次上线怎么样")
    );
    let sent = client()
        .post(&form)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("s0=4&s1=2&text=%3Cscript%3Ex%3C%2Fscript%3E&lang=en")
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 303);
    let event = events.next_event().await;
    assert!(
        event.contains("\"count\":1") && event.contains("预演 Rehearsal") && !event.contains("script"),
        "{event}"
    );

    let shown = text(&running.admin(), &[("accept-language", "zh-CN")]).await;
    assert!(
        shown.contains("lang=\"zh-Hans\"") && shown.contains("还写道"),
        "{shown}"
    );
    assert!(shown.contains("&lt;b&gt;Canary&lt;/b&gt;") && !shown.contains("<b>Canary"));
    assert!(shown.contains("&lt;script&gt;x&lt;/script&gt;") && !shown.contains("<script>x"));
    assert!(
        shown.contains("<td>4.00</td>") && shown.contains("<td>2.00</td>"),
        "{shown}"
    );
    running.stop().await;

    // The answer is there after a restart.
    let running = stage.start().await;
    assert!(text(&running.admin(), &[]).await.contains("<td>4.00</td>"));
    running.stop().await;
}

#[tokio::test]
async fn every_time_on_the_page_is_in_two_zones_and_says_which() {
    let stage = Stage::served(true).await;
    std::fs::write(stage.path("city.mmdb"), crate::geo_file::geo_file()).unwrap();
    stage.configure("geoip: city.mmdb\n");
    let running = stage.start().await;
    running.until_made(1).await;
    let live = format!("{}live", running.admin());
    let zones = |shown: &str, zone: &str| {
        // As many times as readings of both zones.
        let (utc, there) = (shown.matches(" UTC · ").count(), shown.matches(zone).count());
        assert!(
            utc >= 2 && utc == there && shown.matches("UTC").count() == utc,
            "{shown}"
        );
    };
    zones(&text(&live, &[]).await, " Asia/Shanghai (+08:00)");
    let berlin = ("cookie", "a=b; tminus_zone=America%2FSao_Paulo");
    zones(&text(&live, &[berlin]).await, " America/Sao_Paulo (-03:00)");
    // A file's place for the address goes before the browser; only the proxy says whose address it is.
    let shanghai = ("x-forwarded-for", "1.2.3.4");
    zones(&text(&live, &[berlin, shanghai]).await, " Asia/Shanghai (+08:00)");
    zones(
        &text(&format!("{live}?zone=Asia%2FTokyo"), &[]).await,
        " Asia/Tokyo (+09:00)",
    );
    let chosen = client()
        .get(format!("{}?zone=Asia%2FTokyo&lang=en", running.admin()))
        .send()
        .await
        .unwrap();
    let cookie = chosen.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("tminus_zone=Asia/Tokyo; Path=/;"), "{cookie}");
    let unknown = text(&format!("{}?zone=Mars%2FBase&lang=en", running.admin()), &[]).await;
    assert!(unknown.contains("no zone of that name") && unknown.contains("Asia/Shanghai"));
    running.stop().await;
}

#[tokio::test]
async fn the_page_is_under_a_strict_policy_and_other_web_pages_are_kept_out() {
    let stage = Stage::served(false).await;
    let running = stage.start().await;
    let admin = running.admin();
    let answer = client().get(&admin).send().await.unwrap();
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let shown = answer.text().await.unwrap();
    assert!(!shown.contains("http://") && !shown.contains("https://") && !shown.contains("style="));
    for part in ["after.css", "after.js", "favicon.svg"] {
        assert!(shown.contains(part));
        text(&format!("{admin}{part}"), &[]).await;
    }
    let status = async |url: String, host: Option<&str>| {
        let request = client().get(url);
        let request = match host {
            Some(host) => request.header("host", host),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        status(format!("{admin}api/status"), Some("evil.example")).await,
        403
    );
    assert_eq!(
        status(format!("{admin}feedback/events"), Some("evil.example")).await,
        403
    );
    // Each listener has its own half.
    assert_eq!(status(format!("{admin}{}", link(&stage.launch)), None).await, 404);
    for inner in ["", "live", "api/status", "feedback/events"] {
        assert_eq!(
            status(format!("{}{inner}", running.public()), None).await,
            404,
            "{inner}"
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn a_box_that_cannot_be_told_is_for_a_person_and_the_clear_ones_are_handed_over() {
    let stage = Stage::new(false).await;
    let scan = stage.path("page.jpg");
    std::fs::write(&scan, png(&page(&["operation-done"], &["edited-by-hand"]))).unwrap();
    let noise = stage.path("noise.png");
    std::fs::write(&noise, png(&image::GrayImage::new(1654, 2339))).unwrap();
    let output = stage.tminus(&["scan", "--json", scan.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["pages"][0]["unclear"][0], "edited-by-hand");
    assert_eq!(
        (&told["events"][0]["event"], &told["events"][0]["file"]),
        (&"operation_done".into(), &"ops.zip".into())
    );
    let output = stage.tminus(&["scan", noise.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("corner marks were found"),
        "{}",
        said(&output)
    );
    let output = stage.tminus(&["scan", "/nowhere/page.png"]);
    assert_eq!(output.status.code(), Some(2));
    // Nothing is ticked, and all is clear.
    std::fs::write(&scan, png(&page(&[], &[]))).unwrap();
    assert_eq!(
        stage.told(&["scan", scan.to_str().unwrap()])["events"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn a_scanned_pdf_is_read_page_by_page() {
    let _ = starvault_testing::program("pdftoppm", "poppler-utils");
    let stage = Stage::new(false).await;
    let file = stage.path("-scan.pdf");
    let by_hand = page(&["emergency-rollback"], &[]);
    std::fs::write(&file, pdf(&[None, Some(&by_hand)])).unwrap();
    let told = stage.told(&["scan", file.to_str().unwrap()]);
    assert_eq!(told["pages"].as_array().unwrap().len(), 2);
    assert!(told["pages"][0]["ticks"].is_null(), "{told}");
    assert_eq!(told["events"][0]["zone"], "emergency-rollback");

    // No page by hand at all, and a page of it that is cut off.
    std::fs::write(&file, pdf(&[None, None])).unwrap();
    let output = stage.tminus(&["scan", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("none of the 2 pages"), "{}", said(&output));
    let mut cut = by_hand.clone();
    for y in 2000..cut.height() {
        for x in 0..cut.width() {
            cut.put_pixel(x, y, image::Luma([255]));
        }
    }
    std::fs::write(&file, pdf(&[None, Some(&by_hand), Some(&cut)])).unwrap();
    let output = stage.tminus(&["scan", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));

    std::fs::write(&file, "%PDF-1.4 and nothing more").unwrap();
    assert_eq!(
        stage.tminus(&["scan", file.to_str().unwrap()]).status.code(),
        Some(2)
    );
    let alone = Command::new(env!("CARGO_BIN_EXE_tminus"))
        .args(["after", "scan", "--config"])
        .arg(stage.config_file())
        .arg(&file)
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(alone.status.code(), Some(2));
    assert!(said(&alone).contains("poppler-utils"), "{}", said(&alone));
}

#[tokio::test]
async fn two_processes_never_share_a_state_folder() {
    let stage = Stage::served(false).await;
    let running = stage.start().await;
    let config = stage.config();
    let listeners = Listeners::bind(&config).await.unwrap();
    let error = after::serve(&config, stage.outside(), listeners, CancellationToken::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("in use by another `tminus after serve`")
            && error.contains(&std::process::id().to_string()),
        "{error}"
    );
    let output = stage.tminus(&["serve"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("in use by another"), "{}", said(&output));
    // The one that runs is not disturbed.
    stage.edited_thrice("v2");
    running.until_made(1).await;
    running.stop().await;
    stage.start().await.stop().await;
}

#[tokio::test]
async fn the_page_of_figures_does_not_listen_for_other_machines() {
    let stage = Stage::served(false).await;
    let config = stage.config();
    let open = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let public = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listeners = Listeners { public, admin: open };
    let error = after::serve(&config, stage.outside(), listeners, CancellationToken::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("admin_allow_remote"), "{error}");

    let at = |yaml: &str| {
        let error = AfterConfig::parse(yaml, "x/after.yaml").unwrap_err();
        (error.line, error.what)
    };
    let (line, what) = at("launch: .\nadmin: 0.0.0.0:8091\n");
    assert!(line == 2 && what.contains("no sign-in"), "{line} {what}");
    assert!(AfterConfig::parse("launch: .\nadmin: 0.0.0.0:8091\nadmin_allow_remote: true\n", "x").is_ok());
    assert!(AfterConfig::parse("launch: .\nlisten: 0.0.0.0:8090\n", "x").is_ok());
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_its_line() {
    let at = |yaml: &str| {
        let error = AfterConfig::parse(yaml, "x/after.yaml").unwrap_err();
        (error.line, error.what)
    };
    for (yaml, line, word) in [
        ("lunch: .\n", 1, "lunch"),
        ("launch: .\nzone: CET+1\n", 2, "IANA"),
        ("launch: .\nlisten: 8090\n", 2, "127.0.0.1:8090"),
        ("launch: .\ntrusted_proxies: [10.0.0.0/8, proxy]\n", 2, "network"),
        ("launch: .\ntickets:\n  slack: {}\n", 3, "slack"),
        (
            "launch: .\ntickets:\n  jira:\n    url: http://jira.example\n    email: a@b.c\n    project: OPS\n    token_file: t\n",
            4,
            "https",
        ),
        (
            "launch: .\ntickets:\n  github:\n    repository: ours\n    token_file: t\n",
            4,
            "repository",
        ),
    ] {
        let (found, what) = at(yaml);
        assert!(found == line && what.contains(word), "{yaml}: {found} {what}");
    }
    let config = AfterConfig::parse(
        "launch: out\nrecord: /r\nops_package: { role: night }\n",
        "x/after.yaml",
    )
    .unwrap();
    assert_eq!(config.downloads, std::path::Path::new("x/out/downloads"));
    assert_eq!(config.record, std::path::Path::new("/r"));
    assert_eq!(
        config.feedback_key,
        std::path::Path::new("x/out/keys/feedback.key")
    );
    assert_eq!(config.ops_package.file, "night.zip");
    assert!(config.admin.ip().is_loopback() && config.listen.ip().is_loopback());
}

#[tokio::test]
async fn check_reads_all_that_is_named_and_says_what_is_wrong() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::new(false).await;
    let check = || {
        let output = Command::new(env!("CARGO_BIN_EXE_tminus"))
            .args(["after", "check", "--json"])
            .arg(stage.config_file())
            .output()
            .unwrap();
        (output.status.code().unwrap(), said(&output))
    };
    let (code, told) = check();
    assert!(code == 0 && told.contains(&stage.launch), "{told}");
    assert!(!stage.path("after").exists(), "nothing is made");

    let open = |name: &str, mode| {
        std::fs::set_permissions(stage.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["sink.token", "keys/feedback.key"] {
        open(name, 0o644);
        let (code, told) = check();
        assert!(
            code == 2 && told.contains("chmod 600") && told.contains(name),
            "{told}"
        );
        assert!(!told.contains(TOKEN));
        open(name, 0o600);
    }
    private(&stage.path("keys/feedback.key"), "short");
    assert!(check().1.contains("64 hexadecimal digits"));
    std::fs::remove_file(stage.path("keys/feedback.key")).unwrap();
    let (code, told) = check();
    assert!(code == 2 && told.contains("feedback_key"), "{told}");
    std::fs::rename(stage.path("record"), stage.path("moved")).unwrap();
    let (code, told) = check();
    assert!(code == 2 && told.contains("the launch's record in"), "{told}");
}

#[tokio::test]
async fn a_time_out_of_reach_and_a_letter_that_says_nothing_are_told() {
    let stage = Stage::served(false).await;
    for (at, word) in [
        (now_ms() + HOUR_MS, "not come yet"),
        (now_ms() - 61 * 24 * HOUR_MS, "60 days"),
    ] {
        let output = stage.tminus(&["event", "operation-done", "--at", &rfc3339(at)]);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(word), "{}", said(&output));
    }
    let running = stage.start().await;
    let inbox = stage.path("after/inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    std::fs::write(inbox.join("x.json"), "[]").unwrap();
    running
        .until("it is told", |seen| seen.troubles.contains_key("inbox"))
        .await;
    assert!(inbox.join("x.refused").exists() && !inbox.join("x.json").exists());
    assert!(text(&running.admin(), &[]).await.contains("x.refused"));
    stage.edited_thrice("v2");
    running.until_made(1).await;
    running.stop().await;
}
