//! Where a snapshot store is. Parsed once; shown only without its password.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::SnapshotError;

/// `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, `tidb://…` (the same driver) or `sqlite:PATH`.
///
/// Queries of the first two: `ssl-mode` (`DISABLED`, `PREFERRED`, `REQUIRED`, `VERIFY_CA`, `VERIFY_IDENTITY`),
/// `ssl-ca`, `ssl-cert`, `ssl-key` (paths of PEM files). Without `ssl-mode` it is `REQUIRED`, and `PREFERRED`
/// where the database is on this machine: nothing crosses a network in the clear unless asked for.
#[derive(Clone)]
pub struct StoreUrl {
    pub(crate) target: Target,
    shown: String,
}

#[derive(Clone)]
pub(crate) enum Target {
    MySql(Box<MySqlConnectOptions>),
    Sqlite(PathBuf),
}

const QUERIES: [&str; 4] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key"];

impl FromStr for StoreUrl {
    type Err = SnapshotError;

    fn from_str(text: &str) -> Result<StoreUrl, SnapshotError> {
        let wrong = |what: &str| SnapshotError::Url { what: what.into() };
        if let Some(path) = text.strip_prefix("sqlite:") {
            if path.is_empty() {
                return Err(wrong("the path is missing"));
            }
            return Ok(StoreUrl {
                target: Target::Sqlite(path.into()),
                shown: text.to_owned(),
            });
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("the scheme is missing"))?;
        if !matches!(scheme, "mysql" | "tidb") {
            return Err(wrong("the scheme is neither mysql nor tidb nor sqlite"));
        }
        let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut has_ssl_mode = false;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let key = pair.split_once('=').map_or(pair, |(key, _)| key);
            if !QUERIES.contains(&key) {
                return Err(wrong("a query is none of ssl-mode, ssl-ca, ssl-cert, ssl-key"));
            }
            has_ssl_mode |= key == "ssl-mode";
        }
        // What the driver says of a URL that it cannot read may quote it: that is not passed on.
        let options: MySqlConnectOptions = format!("mysql://{rest}").parse().map_err(|_| {
            wrong("it cannot be read; in user and password, percent-encode everything but letters and digits")
        })?;
        let database = options.get_database().unwrap_or_default().to_owned();
        if database.is_empty() || !location.contains('@') {
            return Err(wrong("the user or the database is missing"));
        }
        let host = options.get_host().to_owned();
        let here = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]" | "::1");
        let options = match (has_ssl_mode, here) {
            (true, _) => options,
            (false, true) => options.ssl_mode(MySqlSslMode::Preferred),
            (false, false) => options.ssl_mode(MySqlSslMode::Required),
        };
        let shown = format!(
            "{scheme}://{}@{host}:{}/{database}",
            options.get_username(),
            options.get_port()
        );
        Ok(StoreUrl {
            target: Target::MySql(Box::new(options)),
            shown,
        })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "mysql://star:s3cret@db.example:3306/star",
            "tidb://star:s3cret@10.0.0.7:4000/star?ssl-mode=VERIFY_IDENTITY",
            "mysql://s%33cret:s3cret@localhost/star",
        ] {
            let url: StoreUrl = text.parse().expect(text);
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains(":s3cret") && shown.contains("/star"), "{shown}");
        }
        for text in [
            "mysql://star:s3cret@db.example:port/star",
            "mysql://star:s3cret@db.example:3306",
            "mysql://star:s3cret@db.example:3306/",
            "mysql://star:s3cret@db.example/star?s3cret=1",
            "mysql://star:s3cret@db.example/star?ssl-mode=s3cret",
            "postgres://star:s3cret@db.example/star",
            "star:s3cret@db.example/star",
            "mysql://star:s3cret#@db.example/star",
            "",
            "sqlite:",
        ] {
            let error = text.parse::<StoreUrl>().expect_err(text);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn nothing_crosses_a_network_in_the_clear_unless_asked_for() {
        let mode = |text: &str| match text.parse::<StoreUrl>().expect(text).target {
            Target::MySql(options) => format!("{:?}", options.get_ssl_mode()),
            Target::Sqlite(_) => String::new(),
        };
        assert_eq!(mode("mysql://u@db.example/d"), "Required");
        assert_eq!(mode("mysql://u@127.0.0.1/d"), "Preferred");
        assert_eq!(mode("tidb://u@db.example/d?ssl-mode=DISABLED"), "Disabled");
        assert_eq!(
            mode("tidb://u@db.example/d?ssl-mode=VERIFY_IDENTITY"),
            "VerifyIdentity"
        );
    }
}
