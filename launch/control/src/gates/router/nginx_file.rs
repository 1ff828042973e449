//! The file that nginx includes: written from the weights, read back, and known as ours.
//!
//! Its second line holds a digest of all that follows, so that a change by hand shows.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use tminus_plan::{NginxSpec, NginxSpread, Releases};

const MARK: &str = "# Written by T-minus, anew with every step of a rollout: a change made here is lost or stops the rollout.";
const DIGEST: &str = "# sha256 of what follows: ";
const SHARE: &str = "# the canary's share in percent: ";

/// What lies where our file should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// As we wrote it, with the canary's share in percent.
    Ours {
        percent: u32,
    },
    /// It was ours, and somebody has changed it since.
    Changed,
    Foreign,
}

/// What stands in the file.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    pub spec: &'a NginxSpec,
    /// Upstreams by name.
    pub stable: &'a str,
    pub canary: &'a str,
    pub releases: &'a Releases,
    pub percent: u32,
    /// Pins to the canary lead to stable.
    pub draining: bool,
}

/// Tells our file from those of others.
pub fn read(text: &str) -> Found {
    if text.trim().is_empty() {
        return Found::Nothing;
    }
    let Some(rest) = text.strip_prefix(MARK).and_then(|rest| rest.strip_prefix('\n')) else {
        return Found::Foreign;
    };
    let percent = rest.split_once('\n').and_then(|(line, body)| {
        let digest = line.strip_prefix(DIGEST)?;
        let percent = body.lines().next()?.strip_prefix(SHARE)?.parse().ok()?;
        (digest == digest_of(body)).then_some(percent)
    });
    percent.map_or(Found::Changed, |percent| Found::Ours { percent })
}

fn digest_of(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

impl Contents<'_> {
    /// The whole file.
    ///
    /// `split_clients` gives each side a range of a hash, the canary's from 0 on: a greater share
    /// only ever takes players from stable. (A consistent hash over weighted servers of one upstream
    /// would do that too, but misses small shares by a tenth.)
    pub fn render(&self) -> String {
        let body = self.body();
        format!("{MARK}\n{DIGEST}{}\n{body}", digest_of(&body))
    }

    fn body(&self) -> String {
        let Self {
            spec, stable, canary, ..
        } = self;
        let name = &spec.name;
        let percent = self.percent.min(100);
        let mut text = format!("{SHARE}{percent}\n");
        let mut line = |words: std::fmt::Arguments<'_>| {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{words}");
        };
        if let Some(servers) = &spec.servers {
            for (upstream, servers) in [(stable, &servers.stable), (canary, &servers.canary)] {
                line(format_args!("upstream {upstream} {{"));
                for server in servers {
                    line(format_args!("    server {server};"));
                }
                line(format_args!("}}"));
            }
        }
        match &spec.spread {
            NginxSpread::By { variable } => {
                // Who says no name is told apart by the address: all of them would be one player.
                line(format_args!("map ${variable} ${name}_key {{"));
                line(format_args!("    \"\" $remote_addr;"));
                line(format_args!("    default ${variable};"));
                line(format_args!("}}"));
                line(format_args!("split_clients ${name}_key ${name}_split {{"));
                match percent {
                    0 => line(format_args!("    * {stable};")),
                    100 => line(format_args!("    * {canary};")),
                    _ => {
                        line(format_args!("    {percent}% {canary};"));
                        line(format_args!("    * {stable};"));
                    }
                }
                line(format_args!("}}"));
            }
            NginxSpread::Requests => {
                line(format_args!("upstream {name}_both {{"));
                line(format_args!("    zone {name}_both 64k;"));
                if let Some(servers) = &spec.servers {
                    let (stables, canaries) = (servers.stable.len() as u32, servers.canary.len() as u32);
                    let sides = [
                        (&servers.stable, (100 - percent) * canaries),
                        (&servers.canary, percent * stables),
                    ];
                    for (servers, weight) in sides.iter().filter(|(_, weight)| *weight > 0) {
                        let weight = weight / divisor(sides[0].1, sides[1].1);
                        for server in *servers {
                            line(format_args!("    server {server} weight={weight};"));
                        }
                    }
                }
                line(format_args!("}}"));
                line(format_args!("map \"\" ${name}_split {{"));
                line(format_args!("    default {name}_both;"));
                line(format_args!("}}"));
            }
        }
        let pins = spec.pin_header.as_ref().map_or_else(
            || "\"\"".to_owned(),
            |header| format!("$http_{}", header.replace('-', "_")),
        );
        line(format_args!("map {pins} ${name}_upstream {{"));
        line(format_args!("    default ${name}_split;"));
        if spec.pin_header.is_some() {
            line(format_args!("    {} {stable};", quoted(&self.releases.stable)));
            let pinned = if self.draining { stable } else { canary };
            line(format_args!("    {} {pinned};", quoted(&self.releases.canary)));
        }
        line(format_args!("}}"));
        line(format_args!("map ${name}_upstream ${name}_release {{"));
        line(format_args!("    {stable} {};", quoted(&self.releases.stable)));
        line(format_args!("    {canary} {};", quoted(&self.releases.canary)));
        line(format_args!("}}"));
        text
    }
}

/// A release's name as a value of a map, which reads some words as settings of its own.
fn quoted(release: &str) -> String {
    let special = ["default", "hostnames", "include", "volatile"].contains(&release);
    format!("\"{}{release}\"", if special { "\\" } else { "" })
}

/// Whether a name can stand in nginx's configuration as it is.
pub fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { divisor(b, a % b) }
}

/// What `nginx -T` shows of a configuration.
#[derive(Debug)]
pub struct Dump<'a>(pub &'a str);

impl<'a> Dump<'a> {
    /// The files of the configuration with their texts.
    fn files(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        const BEGIN: &str = "# configuration file ";
        self.0.split(BEGIN).skip(1).filter_map(|part| {
            let (path, text) = part.split_once('\n')?;
            Some((path.trim_end().strip_suffix(':')?, text))
        })
    }

    /// The lines of a text without comments.
    fn lines(text: &str) -> impl Iterator<Item = &str> {
        text.lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .filter(|line| !line.is_empty())
    }

    pub fn includes(&self, is_file: impl Fn(&str) -> bool) -> bool {
        self.files().any(|(path, _)| is_file(path))
    }

    /// Whether a variable is used outside a file.
    pub fn uses(&self, variable: &str, is_file: impl Fn(&str) -> bool) -> bool {
        self.files().filter(|(path, _)| !is_file(path)).any(|(_, text)| {
            Self::lines(text).any(|line| {
                line.match_indices(variable).any(|(at, _)| {
                    !line[at + variable.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                })
            })
        })
    }

    pub fn has_upstream(&self, name: &str) -> bool {
        self.files().any(|(_, text)| {
            Self::lines(text).any(|line| {
                line.strip_prefix("upstream")
                    .filter(|rest| rest.starts_with(char::is_whitespace))
                    .is_some_and(|rest| {
                        let named = rest.split(|c: char| c == '{' || c.is_whitespace());
                        named.into_iter().find(|word| !word.is_empty()) == Some(name)
                    })
            })
        })
    }

    /// The file of the master's process id, if the configuration names one.
    pub fn pid_file(&self) -> Option<&'a str> {
        self.files().find_map(|(_, text)| {
            Self::lines(text).find_map(|line| {
                let rest = line.strip_prefix("pid")?;
                let value = rest.strip_prefix(char::is_whitespace)?.trim();
                Some(value.strip_suffix(';')?.trim().trim_matches(['"', '\'']))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use tminus_plan::NginxServers;

    use super::*;

    fn spec(spread: NginxSpread) -> NginxSpec {
        NginxSpec {
            file: "/etc/nginx/split.conf".into(),
            config: "/etc/nginx/nginx.conf".into(),
            program: vec!["nginx".into()],
            pid: None,
            name: "shop".into(),
            spread,
            pin_header: Some("x-version".into()),
            servers: Some(NginxServers {
                stable: vec!["10.0.0.1:80".into(), "10.0.0.2:80".into(), "10.0.0.3:80".into()],
                canary: vec!["10.0.1.1:80".into()],
            }),
            force: false,
        }
    }

    fn render(spec: &NginxSpec, percent: u32, draining: bool) -> String {
        let releases = Releases {
            stable: "v1.2".into(),
            canary: "v1.3".into(),
        };
        let contents = Contents {
            spec,
            stable: "old",
            canary: "new",
            releases: &releases,
            percent,
            draining,
        };
        contents.render()
    }

    fn by_player() -> NginxSpec {
        spec(NginxSpread::By {
            variable: "http_x_player_id".into(),
        })
    }

    #[test]
    fn a_file_of_ours_is_known_with_its_share_and_any_change_shows() {
        let text = render(&by_player(), 30, false);
        assert_eq!(read(&text), Found::Ours { percent: 30 });
        for (from, to) in [
            ("30% new", "40% new"),
            ("percent: 30", "percent: 0"),
            ("10.0.0.1", "10.0.0.9"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            assert_eq!(read(&changed), Found::Changed, "{from}");
        }
        assert_eq!(read(&format!("{text}# a note\n")), Found::Changed);
        assert_eq!(read(" \n"), Found::Nothing);
        assert_eq!(read("upstream old { server 10.0.0.1; }\n"), Found::Foreign);
    }

    #[test]
    fn the_canarys_range_begins_at_0_and_its_ends_are_whole() {
        let has = |percent, line: &str| render(&by_player(), percent, false).contains(line);
        assert!(has(30, "    30% new;\n    * old;\n"));
        assert!(has(0, "$shop_split {\n    * old;\n}"));
        assert!(has(100, "$shop_split {\n    * new;\n}"));
    }

    #[test]
    fn a_side_with_more_servers_gets_no_more_than_its_share() {
        let text = render(&spec(NginxSpread::Requests), 30, false);
        // 3 × 7 against 1 × 9: 70 to 30.
        assert_eq!(text.matches("weight=7;").count(), 3, "{text}");
        assert_eq!(text.matches("weight=9;").count(), 1, "{text}");
        let text = render(&spec(NginxSpread::Requests), 0, false);
        assert_eq!(text.matches("weight=1;").count(), 3, "{text}");
        assert_eq!(text.matches("server 10.0.1.1:80 weight").count(), 0, "{text}");
    }

    #[test]
    fn a_pin_to_a_canary_that_drains_leads_to_stable() {
        assert!(render(&by_player(), 0, false).contains("\"v1.3\" new;"));
        let draining = render(&by_player(), 0, true);
        assert!(draining.contains("\"v1.3\" old;"), "{draining}");
    }

    #[test]
    fn a_dump_tells_files_variables_upstreams_and_the_pid_file() {
        let dump = Dump(
            "# configuration file /etc/nginx/nginx.conf:\n\
             # pid /not/this;\n  pid /run/n.pid; \nhttp {\n include split.conf;\n upstream  a{ }\n\
             proxy_pass http://$shop_upstream2;\n # $shop_upstream\n}\n\
             # configuration file /etc/nginx/split.conf:\nmap a $shop_upstream {\n}\nupstream b {\n",
        );
        let ours = |path: &str| path == "/etc/nginx/split.conf";
        assert!(dump.includes(ours));
        assert!(!dump.includes(|path| path == "/etc/nginx/other.conf"));
        assert!(!dump.uses("$shop_upstream", ours));
        assert!(dump.uses("$shop_upstream2", ours));
        assert!(dump.has_upstream("b") && dump.has_upstream("a") && !dump.has_upstream("c"));
        assert_eq!(dump.pid_file(), Some("/run/n.pid"));
    }
}
