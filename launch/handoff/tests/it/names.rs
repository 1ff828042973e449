//! Names that try to be something else, as bytes on the wire: a client's library would tidy them up.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{House, OPS_TOKEN};

async fn raw(house: &House, target: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(house.delivery.portal.unwrap())
        .await
        .unwrap();
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {OPS_TOKEN}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer[9..12].parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_out_of_the_role_s_folder() {
    let house = House::start().await;
    let long = format!("/files/ops/{}", "a".repeat(5_000));
    for target in [
        "/files/ops/../security/sbom.json",
        "/files/ops/%2e%2e%2fsecurity%2fsbom.json",
        "/files/ops/%2e%2e/security/sbom.json",
        "/files/ops/..%5c..%5coutside.txt",
        "/files/ops/..\\security\\sbom.json",
        "/files/ops/%252e%252e%252fsecurity",
        "/files/ops/runbook.pdf%00.txt",
        "/files/ops/%00",
        "/files/ops/runbook.pdf/",
        "/files/ops//runbook.pdf",
        "/files/ops/./runbook.pdf",
        "/files/ops//etc/passwd",
        "/files/ops/%2fetc%2fpasswd",
        "/files/ops/escape.txt",
        "/files/ops/inside.pdf",
        "/files/ops/etc/passwd",
        "/files/ops/security/sbom.json",
        "/files/ops/sub",
        "/files/ops/%ff%fe",
        "/files/ops/run%0d%0abook.pdf",
        "/files/../ops/runbook.pdf",
        "/files/%2e%2e/x",
        "/files/security/sbom.json",
        "/files/ops%2fsub/x",
        "/files/OPS/runbook.pdf",
        long.as_str(),
    ] {
        let (status, answer) = raw(&house, target).await;
        assert_eq!(status, 404, "{target}: {answer}");
        assert!(
            !answer.contains("secret") && !answer.contains("nobody's") && !answer.contains("root:"),
            "{target}"
        );
    }
    assert!(house.recorded().is_empty());
    let (status, answer) = raw(&house, "/files/ops/sub/%E6%8A%A5%E5%91%8A%20%F0%9F%9A%80.txt").await;
    assert!(status == 200 && answer.contains("中文"), "{answer}");
    let (status, answer) = raw(&house, "/files/ops/in%E2%80%AEfdp.exe").await;
    assert!(
        status == 200 && answer.contains("filename=\"in_fdp.exe\""),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_turns_around_is_shown_as_it_is() {
    let house = House::start().await;
    let page = house.get("/").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("in[U+202E]fdp.exe"), "{page}");
    assert_eq!(
        page.matches('\u{202e}').count(),
        1,
        "only where the form names the file, which is not shown"
    );
    assert!(page.contains("<html lang=\"en\">") && !page.contains("<script"));
    let page = house
        .get("/")
        .header("accept-language", "zh-CN")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("<html lang=\"zh\">") && page.contains("可下载的文件"));
    for hidden in ["escape.txt", "sbom", "letter", "security"] {
        assert!(!page.contains(hidden), "{hidden}");
    }
}
