//! What a rule asks of a request. All of its conditions must hold; of alternatives within one, any.
//!
//! Values are compared as the client sent them, without decoding: a rule routes, it does not protect. A backend must
//! not rely on a rule to keep a path from it.

use http::{HeaderMap, HeaderName, Method};
use regex::Regex;

use crate::headers::is_grpc;

/// What rules look at in a request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, without its query.
    pub path: &'a str,
    /// `Host`, or the target's authority.
    pub host: Option<&'a str>,
    /// The headers as they came.
    pub headers: &'a HeaderMap,
}

/// How a text is compared.
#[derive(Clone, Debug)]
pub enum Text {
    /// It is this.
    Exact(String),
    /// It begins so.
    Prefix(String),
    /// This matches all of it.
    Regex(Regex),
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) | (Self::Prefix(one), Self::Prefix(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            _ => false,
        }
    }
}

impl Eq for Text {}

/// A compiled expression takes at most so many bytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;

impl Text {
    /// An expression that has to match the whole text. Its time grows with the text's length alone.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn regex(expression: &str) -> Result<Self, String> {
        let build = |text: &str| regex::RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
        // By itself first: a parenthesis of its own must not close ours.
        build(expression)
            .and_then(|_| build(&format!("^(?:{expression})$")))
            .map(Self::Regex)
            .map_err(|error| {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!(
                    "{expression:?} is no regular expression: {}",
                    last.trim_start_matches("error: ")
                )
            })
    }

    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(wanted) => text == wanted.as_bytes(),
            Self::Prefix(wanted) => text.starts_with(wanted.as_bytes()),
            Self::Regex(wanted) => std::str::from_utf8(text).is_ok_and(|text| wanted.is_match(text)),
        }
    }
}

/// What is asked of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValueMatch {
    /// One of its values is like this.
    Text(Text),
    /// It is there, or it is not.
    Present(bool),
}

/// A host as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// This one.
    Exact(String),
    /// Any below this one, which begins with a dot.
    Below(String),
}

impl Host {
    /// Parses `play.example.com` or `*.example.com`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (below, name) = match lower.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, lower.as_str()),
        };
        let labels = if below { name.strip_prefix('.')? } else { name };
        let sane = labels.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        });
        // An IPv6 address in its brackets is one name.
        let address = !below && labels.starts_with('[') && labels.ends_with(']');
        (sane || address).then(|| {
            if below {
                Self::Below(name.to_owned())
            } else {
                Self::Exact(name.to_owned())
            }
        })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(wanted) => host.eq_ignore_ascii_case(wanted),
            Self::Below(wanted) => host
                .len()
                .checked_sub(wanted.len())
                .filter(|at| *at > 0)
                .and_then(|at| host.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(wanted)),
        }
    }
}

/// Without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What a rule asks of a request's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// It is like this.
    Text(Text),
    /// It is this, or lies below it: `/v1` holds `/v1` and `/v1/play`, not `/v10`.
    Below(String),
}

impl Path {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Text(text) => text.matches(path.as_bytes()),
            Self::Below(folder) => path
                .strip_prefix(folder.trim_end_matches('/'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// A gRPC service, or one method of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// Its full name: `starvault.v1.PlayerService`.
    pub service: String,
    /// The method's name.
    pub method: Option<String>,
}

impl Grpc {
    /// Parses `package.Service` or `package.Service/Method`.
    pub fn parse(text: &str) -> Option<Self> {
        let (service, method) = match text.split_once('/') {
            Some((service, method)) => (service, Some(method)),
            None => (text, None),
        };
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        (service.split('.').all(is_name) && method.is_none_or(is_name)).then(|| Self {
            service: service.to_owned(),
            method: method.map(str::to_owned),
        })
    }

    fn matches(&self, asked: &Asked<'_>) -> bool {
        let Some((service, method)) = asked.path.strip_prefix('/').and_then(|path| path.split_once('/'))
        else {
            return false;
        };
        is_grpc(asked.headers)
            && service == self.service
            && self.method.as_ref().is_none_or(|wanted| wanted == method)
    }
}

/// Everything that a rule asks; what is empty asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Any of these hosts.
    pub hosts: Vec<Host>,
    /// Any of these paths.
    pub paths: Vec<Path>,
    /// Any of these methods.
    pub methods: Vec<Method>,
    /// Any of these services.
    pub grpc: Vec<Grpc>,
    /// All of these headers.
    pub headers: Vec<(HeaderName, HeaderValueMatch)>,
}

impl Conditions {
    /// Asks nothing, and so matches everything.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Whether all of it holds.
    pub fn match_request(&self, asked: &Asked<'_>) -> bool {
        let host = || asked.host.map(host_name);
        any(&self.hosts, |wanted| {
            host().is_some_and(|host| wanted.matches(host))
        }) && any(&self.paths, |wanted| wanted.matches(asked.path))
            && any(&self.methods, |wanted| wanted == asked.method)
            && any(&self.grpc, |wanted| wanted.matches(asked))
            && self.headers.iter().all(|(name, wanted)| match wanted {
                HeaderValueMatch::Present(present) => asked.headers.contains_key(name) == *present,
                HeaderValueMatch::Text(text) => asked
                    .headers
                    .get_all(name)
                    .iter()
                    .any(|value| text.matches(value.as_bytes())),
            })
    }
}

fn any<T>(wanted: &[T], matches: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(conditions: &Conditions, method: &str, url: &str, headers: &[(&'static str, &str)]) -> bool {
        let uri: http::Uri = url.parse().unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        conditions.match_request(&Asked {
            method: &method.parse().unwrap(),
            path: uri.path(),
            host: uri.authority().map(http::uri::Authority::as_str),
            headers: &headers,
        })
    }

    #[test]
    fn hosts_are_compared_without_case_and_port() {
        let of = |host: &str| Conditions {
            hosts: vec![Host::parse(host).unwrap()],
            ..Conditions::default()
        };
        for (rule, host, expected) in [
            ("play.example.com", "play.example.com", true),
            ("Play.example.com", "PLAY.EXAMPLE.COM:8443", true),
            ("play.example.com", "xplay.example.com", false),
            ("*.example.com", "eu.play.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("[::1]", "[::1]:80", true),
            ("localhost", "localhost:1", true),
        ] {
            assert_eq!(
                matches(&of(rule), "GET", &format!("http://{host}/"), &[]),
                expected,
                "{rule} {host}"
            );
        }
        assert!(!matches(&of("localhost"), "GET", "/", &[]), "no host is no host");
        for wrong in ["", "*", "*example.com", "a..b", "a b", "a/b", "*.", "http://a"] {
            assert_eq!(Host::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn paths_match_whole_segments_texts_or_expressions() {
        let of = |path: Path| Conditions {
            paths: vec![path],
            ..Conditions::default()
        };
        let below = |folder: &str| of(Path::Below(folder.to_owned()));
        let exact = of(Path::Text(Text::Exact("/v1/play".to_owned())));
        let regex = of(Path::Text(Text::regex("/v[12]/play|/play").unwrap()));
        for (conditions, path, expected) in [
            (&below("/v1"), "/v1", true),
            (&below("/v1"), "/v1/play", true),
            (&below("/v1/"), "/v1/play", true),
            (&below("/v1"), "/v10", false),
            (&below("/"), "/anything", true),
            (&exact, "/v1/play?x=/v1", true),
            (&exact, "/v1/play/", false),
            (&regex, "/v2/play", true),
            (&regex, "/play", true),
            (&regex, "/v2/player", false),
            (&regex, "/x/play", false),
        ] {
            assert_eq!(
                matches(conditions, "GET", path, &[]),
                expected,
                "{conditions:?} {path}"
            );
        }
    }

    #[test]
    fn headers_match_by_value_beginning_expression_or_presence() {
        let of = |wanted| Conditions {
            headers: vec![(HeaderName::from_static("x-version"), wanted)],
            ..Conditions::default()
        };
        let exact = of(HeaderValueMatch::Text(Text::Exact("v1.3".to_owned())));
        let prefix = of(HeaderValueMatch::Text(Text::Prefix("v1.".to_owned())));
        let regex = of(HeaderValueMatch::Text(Text::regex(r"v1\.[0-9]+").unwrap()));
        let (there, not_there) = (
            of(HeaderValueMatch::Present(true)),
            of(HeaderValueMatch::Present(false)),
        );
        for (value, expected) in [
            ("v1.3", [true, true, true, true, false]),
            ("v1.30", [false, true, true, true, false]),
            ("v1.x", [false, true, false, true, false]),
            ("xv1.3", [false, false, false, true, false]),
            ("", [false, false, false, true, false]),
        ] {
            for (conditions, expected) in [&exact, &prefix, &regex, &there, &not_there]
                .into_iter()
                .zip(expected)
            {
                let found = matches(conditions, "GET", "/", &[("x-version", value)]);
                assert_eq!(found, expected, "{conditions:?} {value:?}");
            }
        }
        let without = [&exact, &prefix, &regex, &there, &not_there].map(|of| matches(of, "GET", "/", &[]));
        assert_eq!(without, [false, false, false, false, true]);
    }

    #[test]
    fn methods_services_and_all_together() {
        let conditions = Conditions {
            methods: vec![Method::GET, Method::POST],
            grpc: vec![Grpc::parse("starvault.v1.PlayerService/GetProfile").unwrap()],
            ..Conditions::default()
        };
        let grpc = [("content-type", "application/grpc")];
        let path = "/starvault.v1.PlayerService/GetProfile";
        assert!(matches(&conditions, "POST", path, &grpc));
        assert!(!matches(&conditions, "PUT", path, &grpc));
        assert!(!matches(&conditions, "POST", path, &[]), "it is no gRPC");
        assert!(!matches(
            &conditions,
            "POST",
            "/starvault.v1.PlayerService/Equip",
            &grpc
        ));
        let service = Conditions {
            grpc: vec![Grpc::parse("starvault.v1.PlayerService").unwrap()],
            ..Conditions::default()
        };
        assert!(matches(
            &service,
            "POST",
            "/starvault.v1.PlayerService/Equip",
            &grpc
        ));
        assert!(!matches(
            &service,
            "POST",
            "/starvault.v1.PlayerService2/Equip",
            &grpc
        ));
        for wrong in ["", "a.", "a/b/c", "a/", "a b", "/a"] {
            assert_eq!(Grpc::parse(wrong), None, "{wrong}");
        }
        assert!(matches(&Conditions::default(), "GET", "/", &[]));
    }

    #[test]
    fn an_expression_that_is_none_or_too_large_is_refused_in_one_line() {
        for wrong in ["(", "a)(b", "a{1000}{1000}{1000}", "(?<n"] {
            let error = Text::regex(wrong).unwrap_err();
            assert!(
                !error.contains('\n') && error.contains("regular expression"),
                "{error}"
            );
        }
        // An alternative does not escape the anchors.
        let Text::Regex(regex) = Text::regex("a|b").unwrap() else {
            unreachable!()
        };
        assert!(!regex.is_match("ab") && regex.is_match("b"));
    }
}
