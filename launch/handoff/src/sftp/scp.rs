//! scp's own protocol, for clients that do not use SFTP (`scp -O`): one file from here to there.

use russh::Channel;
use russh::server::Msg;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Access;
use crate::shelf::{Name, ShelfError};

const COMMAND_BYTES_MAX: usize = 4_096;

/// What a client wants of the program that it believes to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `scp -f PATH`: send a file, with `-p` its times as well.
    Send { path: String, times: bool },
    /// Anything else that scp does: take files, or send whole folders.
    Other,
}

impl Command {
    /// None for another program.
    pub(super) fn parse(command: &[u8]) -> Option<Self> {
        let command = std::str::from_utf8(command)
            .ok()
            .filter(|command| command.len() <= COMMAND_BYTES_MAX)?;
        let mut rest = command.strip_prefix("scp ")?.trim_start();
        let mut flags = String::new();
        while let Some(flag) = rest.strip_prefix('-') {
            let (flag, left) = flag.split_once(' ').unwrap_or((flag, ""));
            rest = left.trim_start();
            if flag == "-" {
                break;
            }
            flags.push_str(flag);
        }
        let is_send = flags.contains('f') && flags.chars().all(|flag| matches!(flag, 'f' | 'p' | 'v'));
        if !is_send || rest.is_empty() {
            return Some(Self::Other);
        }
        Some(Self::Send {
            path: unquoted(rest),
            times: flags.contains('p'),
        })
    }
}

/// A path as a shell would read it, as far as clients quote one.
fn unquoted(path: &str) -> String {
    let inner = path.strip_prefix('\'').and_then(|path| path.strip_suffix('\''));
    inner
        .filter(|inner| !inner.contains('\''))
        .unwrap_or(path)
        .to_owned()
}

/// The exit status.
pub(super) async fn run(command: Command, access: &Access, channel: Channel<Msg>) -> u32 {
    let mut stream = channel.into_stream();
    let sent = match command {
        Command::Send { path, times } => send(&path, times, access, &mut stream).await,
        Command::Other => Err("this server gives single files out, and takes none".to_owned()),
    };
    let Err(what) = sent else { return 0 };
    // 1 is scp's own mark for an error that it shows to its user.
    let told = stream.write_all(format!("\x01scp: {what}\n").as_bytes()).await;
    let _ = told.and(stream.flush().await);
    1
}

async fn send<S>(path: &str, times: bool, access: &Access, stream: &mut S) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let refusal = |error: ShelfError| match error {
        ShelfError::Missing => "No such file or directory".to_owned(),
        ShelfError::Refused => "Permission denied".to_owned(),
        ShelfError::Changed | ShelfError::Io(_) => "the file cannot be read now; try again".to_owned(),
    };
    let name = Name::parse(path).map_err(refusal)?;
    let wanted = name.clone();
    let file = access
        .blocking(move |shared, role| shared.shelf.open(role, &wanted))
        .await
        .map_err(refusal)?;
    acknowledged(stream).await?;
    access.record(&name, &file, crate::Channel::Scp).await?;
    if times {
        let modified_s = file.modified_s();
        say(stream, format!("T{modified_s} 0 {modified_s} 0\n").as_bytes()).await?;
        acknowledged(stream).await?;
    }
    say(
        stream,
        format!("C0444 {} {}\n", file.bytes(), name.file_name()).as_bytes(),
    )
    .await?;
    acknowledged(stream).await?;
    let (mut offset, length) = (0, access.limits.read_bytes_max as usize);
    while offset < file.bytes() {
        let reader = file.clone();
        let chunk = access
            .blocking(move |_, _| reader.read_at(offset, length))
            .await
            .map_err(refusal)?;
        offset += chunk.len() as u64;
        say(stream, &chunk).await?;
    }
    say(stream, &[0]).await?;
    acknowledged(stream).await
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), String> {
    let said = stream.write_all(bytes).await;
    said.and(stream.flush().await).map_err(|error| error.to_string())
}

async fn acknowledged(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), String> {
    match stream.read_u8().await {
        Ok(0) => Ok(()),
        Ok(_) => Err("the client has refused".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_file_is_sent() {
        let send = |path: &str, times| {
            Some(Command::Send {
                path: path.to_owned(),
                times,
            })
        };
        assert_eq!(Command::parse(b"scp -f a.pdf"), send("a.pdf", false));
        assert_eq!(
            Command::parse(b"scp -v -p -f -- /sub/a b.pdf"),
            send("/sub/a b.pdf", true)
        );
        assert_eq!(Command::parse(b"scp -pf 'a b.pdf'"), send("a b.pdf", true));
        for other in ["scp -t .", "scp -r -f .", "scp -f", "scp a b", "scp -f -t x"] {
            assert_eq!(Command::parse(other.as_bytes()), Some(Command::Other), "{other}");
        }
        for none in [&b"sh -c id"[..], b"scp", b"", b"\xff", b"/bin/scp -f x"] {
            assert_eq!(Command::parse(none), None);
        }
    }
}
