//! Pages, in Chinese and English: HTML and one style sheet, no script. Everything that comes from outside is escaped.

use std::fmt::Write as _;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::answer::{Refusal, of};
use super::{App, blocking};
use crate::links::{Grant, LinkEntry};
use crate::shelf::Entry;

const STYLE: &str = include_str!("style.css");

/// `GET /style.css`.
pub(super) async fn style() -> Response {
    of(StatusCode::OK, "text/css; charset=utf-8", STYLE)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Chinese,
    English,
}

impl Language {
    /// The query decides, else what the browser likes first of the two.
    fn of(query: Option<&str>, headers: &HeaderMap) -> Self {
        let liked = headers
            .get("accept-language")
            .and_then(|list| list.to_str().ok())
            .unwrap_or_default();
        let mut tags = query.into_iter().chain(liked.split(',').map(str::trim));
        tags.find_map(|tag| match tag.get(..2)? {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        })
        .unwrap_or(Self::English)
    }

    fn tag(self) -> &'static str {
        self.pick("zh", "en")
    }

    fn pick<T>(self, chinese: T, english: T) -> T {
        match self {
            Self::Chinese => chinese,
            Self::English => english,
        }
    }
}

/// What a person is told instead of a page.
#[derive(Debug, Clone, Copy)]
pub(super) enum Message {
    ProviderAway,
    TooMany,
    BeginAgain,
    NotAccepted,
    NoRole,
}

/// A page with one sentence, and the way back.
pub(super) fn message(headers: &HeaderMap, status: StatusCode, message: Message) -> Response {
    let language = Language::of(None, headers);
    let text = match message {
        Message::ProviderAway => language.pick(
            "登录服务暂时无法访问，请稍后再试。",
            "The sign-in service cannot be reached. Try again in a moment.",
        ),
        Message::TooMany => language.pick(
            "登录人数过多，请稍后再试。",
            "Too many people sign in. Try again in a moment.",
        ),
        Message::BeginAgain => language.pick(
            "此次登录已过期或不完整，请重新登录。",
            "This sign-in has run out or is not whole. Please begin again.",
        ),
        Message::NotAccepted => language.pick("登录未被接受。", "The sign-in was not accepted."),
        Message::NoRole => language.pick(
            "您已登录，但没有可下载资料的角色，请联系发布负责人。",
            "You have signed in, but no role of yours has packages here. Ask whoever runs the launch.",
        ),
    };
    let back = language.pick("返回", "Back");
    page(
        language,
        status,
        &format!("<p role=\"alert\">{text}</p><p><a href=\"/\">{back}</a></p>"),
    )
}

/// Answers with what a link is, which is shown this once.
pub(super) fn link_made(headers: &HeaderMap, url: &str, grant: &Grant) -> Response {
    let language = Language::of(None, headers);
    let body = format!(
        "<h2>{}</h2><p><bdi>{}</bdi></p><p class=\"link\"><a href=\"{url}\">{url}</a></p><p>{} {}</p><p><a href=\"/\">{}</a></p>",
        language.pick("链接已生成，仅显示一次", "The link, shown this once"),
        visible(&grant.file.to_string()),
        language.pick("有效至", "Good until"),
        time(grant.expires_at_ms),
        language.pick("返回", "Back"),
        url = escape(url),
    );
    page(language, StatusCode::CREATED, &body)
}

#[derive(Deserialize)]
pub(super) struct Choice {
    lang: Option<String>,
}

/// `GET /`: what the caller may have, or the way to sign in.
pub(super) async fn home(
    State(app): State<App>,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let language = Language::of(choice.lang.as_deref(), &headers);
    let Some(identity) = app.identify(&headers)? else {
        return Ok(page(
            language,
            StatusCode::OK,
            &sign_in(language, app.provider.is_some()),
        ));
    };
    let now_ms = app.now_ms();
    let mut body = String::new();
    let who = language.pick("当前身份", "Signed in as");
    let _ = write!(
        body,
        "<p>{who} <bdi>{}</bdi></p>",
        visible(&identity.who.to_string())
    );
    if identity.by_session {
        let out = language.pick("退出登录", "Sign out");
        let _ = write!(
            body,
            "<form method=\"post\" action=\"/logout\"><button>{out}</button></form>"
        );
    }
    for role in &identity.roles {
        let listed = role.clone();
        let files = blocking(&app, move |shared| shared.shelf.all_files(&listed)).await?;
        write_files(&mut body, language, role, &files, app.links.is_some());
        if let Some((_, book)) = &app.links {
            write_links(&mut body, language, role, &book.of_role(role, now_ms));
        }
    }
    Ok(page(language, StatusCode::OK, &body))
}

fn sign_in(language: Language, has_provider: bool) -> String {
    if has_provider {
        let text = language.pick(
            "请登录后查看您可以下载的资料。",
            "Sign in to see what you may download.",
        );
        let sign_in = language.pick("登录", "Sign in");
        return format!("<p>{text}</p><p><a class=\"button\" href=\"/login\">{sign_in}</a></p>");
    }
    let text = language.pick("请使用令牌访问。", "Access is by token only.");
    format!("<p>{text}</p>")
}

fn write_files(body: &mut String, language: Language, role: &str, files: &[Entry], links: bool) {
    let _ = write!(
        body,
        "<h2>{} <bdi>{}</bdi></h2>",
        language.pick("资料：", "Packages:"),
        escape(role)
    );
    if files.is_empty() {
        let _ = write!(
            body,
            "<p>{}</p>",
            language.pick("暂无文件。", "There are no files yet.")
        );
        return;
    }
    let heads = language.pick(["文件", "字节", "修改时间"], ["File", "Bytes", "Changed"]);
    let caption = language.pick("可下载的文件", "Files to download");
    let _ = write!(body, "<table><caption>{caption}</caption><thead><tr>");
    for head in heads {
        let _ = write!(body, "<th scope=\"col\">{head}</th>");
    }
    if links {
        let _ = write!(
            body,
            "<th scope=\"col\">{}</th>",
            language.pick("限时链接", "Link that ends")
        );
    }
    body.push_str("</tr></thead><tbody>");
    for file in files {
        let name = visible(&file.name);
        let _ = write!(
            body,
            "<tr><th scope=\"row\"><a href=\"{}\" download><bdi>{name}</bdi></a></th><td>{}</td><td>{}</td>",
            escape(&file_url(role, &file.name)),
            file.bytes,
            time(i64::from(file.modified_s) * 1_000),
        );
        if links {
            let make = language.pick("生成链接", "Make a link");
            let most = language.pick("最多下载次数（可不填）", "Downloads at most (may stay empty)");
            let _ = write!(
                body,
                "<td><form method=\"post\" action=\"/links\"><input type=\"hidden\" name=\"role\" value=\"{}\"><input type=\"hidden\" name=\"path\" value=\"{}\"><label>{most} <input type=\"number\" name=\"downloads_max\" min=\"1\" max=\"1000000\"></label> <button aria-label=\"{make}: {name}\">{make}</button></form></td>",
                escape(role),
                escape(&file.name),
            );
        }
        body.push_str("</tr>");
    }
    body.push_str("</tbody></table>");
}

fn write_links(body: &mut String, language: Language, role: &str, links: &[(String, LinkEntry)]) {
    if links.is_empty() {
        return;
    }
    let caption = language.pick("有效的链接：", "Links that are good:");
    let _ = write!(
        body,
        "<table><caption>{caption} <bdi>{}</bdi></caption><thead><tr>",
        escape(role)
    );
    let heads = language.pick(
        ["文件", "生成者", "有效至", "已下载", "撤销"],
        ["File", "Made by", "Good until", "Downloads", "Revoke"],
    );
    for head in heads {
        let _ = write!(body, "<th scope=\"col\">{head}</th>");
    }
    body.push_str("</tr></thead><tbody>");
    for (id, link) in links {
        let (name, revoke) = (visible(&link.file), language.pick("撤销", "Revoke"));
        let most = link
            .downloads_max
            .map_or_else(String::new, |most| format!(" / {most}"));
        let _ = write!(
            body,
            "<tr><th scope=\"row\"><bdi>{name}</bdi></th><td><bdi>{}</bdi></td><td>{}</td><td>{}{most}</td><td><form method=\"post\" action=\"/links/{}/revoke\"><button aria-label=\"{revoke}: {name}\">{revoke}</button></form></td></tr>",
            visible(&link.made_by),
            time(link.expires_at_ms),
            link.downloads,
            escape(id),
        );
    }
    body.push_str("</tbody></table>");
}

fn page(language: Language, status: StatusCode, body: &str) -> Response {
    let title = language.pick("发布资料", "Launch packages");
    let (other, other_tag) = language.pick(("English", "en"), ("中文", "zh"));
    let skip = language.pick("跳到内容", "Skip to the content");
    let html = format!(
        "<!doctype html>\n<html lang=\"{tag}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title><link rel=\"stylesheet\" href=\"/style.css\"></head><body><a class=\"skip\" href=\"#content\">{skip}</a><header><h1>{title}</h1><nav><a href=\"/?lang={other_tag}\" lang=\"{other_tag}\" hreflang=\"{other_tag}\">{other}</a></nav></header><main id=\"content\" tabindex=\"-1\">{body}</main></body></html>\n",
        tag = language.tag(),
    );
    let mut answer = of(status, "text/html; charset=utf-8", html);
    answer
        .headers_mut()
        .insert("content-language", http::HeaderValue::from_static(language.tag()));
    answer
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| "?".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escaped, and with what would turn the text around or hide in it written out.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => {
                let _ = write!(shown, "[U+{:04X}]", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    escape(&shown)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(super) fn url_part(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Where a file is, below the portal's address.
pub(super) fn file_url(role: &str, path: &str) -> String {
    let parts: Vec<String> = path.split('/').map(url_part).collect();
    format!("/files/{}/{}", url_part(role), parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_it_is_and_breaks_no_page() {
        assert_eq!(visible("<b>\"'&"), "&lt;b&gt;&quot;&#39;&amp;");
        assert_eq!(visible("in\u{202e}fdp.exe"), "in[U+202E]fdp.exe");
        assert_eq!(
            file_url("ops", "a b/报?#.pdf"),
            "/files/ops/a%20b/%E6%8A%A5%3F%23.pdf"
        );
    }

    #[test]
    fn the_language_is_the_query_s_or_the_browser_s() {
        let of = |query: Option<&str>, accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept-language", accept.parse().unwrap());
            Language::of(query, &headers).tag()
        };
        assert_eq!(of(None, "zh-CN,zh;q=0.9,en;q=0.8"), "zh");
        assert_eq!(of(None, "fr, en-GB;q=0.9, zh;q=0.5"), "en");
        assert_eq!(of(None, "fr"), "en");
        assert_eq!(of(Some("en"), "zh"), "en");
        assert_eq!(of(Some("报"), "zh"), "zh");
    }
}
