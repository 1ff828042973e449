//! The script that takes a canary out of service, made from what the router said of itself.

/// How a gateway split its traffic when the script was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySplit {
    /// Base URL of the admin interface.
    pub admin: String,
    /// Name of the backend, its release, and its share in percent.
    pub stable: (String, String, String),
    pub canary: (String, String, String),
    /// `2026-11-28 21:00:00 UTC`
    pub at: String,
}

/// A POSIX shell script: all weight to stable, the canary drained, and both looked at afterwards. Exit 0: the gateway
/// says so itself; 1: it does not.
#[must_use]
pub fn rollback_script(split: &GatewaySplit, launch_id: &str) -> String {
    let (stable, stable_version, stable_share) = &split.stable;
    let (canary, canary_version, canary_share) = &split.canary;
    let comment = |text: &str| text.replace(['\n', '\r'], " ");
    let body = format!("{{\"{}\":100,\"{}\":0}}", json(stable), json(canary));
    format!(
        "#!/bin/sh
# Takes {canary_version} out of service: all new players to {stable_version}, those on {canary_version} are told to reconnect.
# Launch {launch}. Made {at} from what the gateway said: {stable} ({stable_version}) {stable_share} %,
# {canary} ({canary_version}) {canary_share} %.
#
# usage: ./rollback.sh            the gateway of the launch
#        ADMIN=http://127.0.0.1:8081 ./rollback.sh
# Needs curl. May be run again: it says the same.
set -eu
ADMIN=${{ADMIN:-{admin}}}
ADMIN=${{ADMIN%/}}
STABLE={stable_word}
CANARY={canary_word}

say() {{ printf '%s\\n' \"$*\"; }}
call() {{ curl --silent --show-error --fail --max-time 20 \"$@\"; }}

say \"weights: $STABLE 100 %, $CANARY 0 %\"
call --request PUT --header 'content-type: application/json' --data {body_word} \"$ADMIN/weights\" >/dev/null
say \"drain: $CANARY\"
call --request POST \"$ADMIN/backends/$CANARY/drain\" >/dev/null

# The gateway's own word, in one line.
now=$(call \"$ADMIN/weights\" | tr -d ' \\n\\r\\t')
case $now in
  *\"\\\"$CANARY\\\":0\"[,}}]* | *\"\\\"$CANARY\\\":0.0\"[,}}]*) say \"rolled back: $now\" ;;
  *) say \"NOT rolled back, the gateway says: $now\" >&2; exit 1 ;;
esac
",
        launch = comment(launch_id),
        at = comment(&split.at),
        canary_version = comment(canary_version),
        stable_version = comment(stable_version),
        stable = comment(stable),
        canary = comment(canary),
        stable_share = comment(stable_share),
        canary_share = comment(canary_share),
        admin = in_default(&split.admin),
        stable_word = word(stable),
        canary_word = word(canary),
        body_word = word(&body),
    )
}

/// One word of a shell, whatever is in it.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What may stand in `${NAME:-…}` without being looked at: the characters of an address.
fn in_default(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-._~:/?#[]@!,;=%+".contains(*c))
        .collect()
}

fn json(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
