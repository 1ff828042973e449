//! SFTP, and scp as it was before it used SFTP: public keys only, each of one role, whose folder is all there is.

mod files;
mod scp;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, SshId};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::config::{SftpConfig, SftpKey, SftpLimits};
use crate::connections::{Cut, accept};
use crate::serve::Shared;
use crate::shelf::{Name, Opened};
use crate::{DeliveryError, Download, secret};

/// Bytes of one request: all of them are short, since none carries a file.
const PACKET_BYTES_MAX: u32 = 64 * 1024;

/// All that connections share.
pub(crate) struct Server {
    config: SftpConfig,
    ssh: Arc<Config>,
    fingerprint: String,
    shared: Arc<Shared>,
}

impl Server {
    /// Reads or makes the host key.
    pub(crate) fn new(config: SftpConfig, shared: Arc<Shared>) -> Result<Self, DeliveryError> {
        let key = secret::host_key(&config.host_key, rand::random)?;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let ssh = Config {
            // The release of a library is nobody's business.
            server_id: SshId::Standard("SSH-2.0-tminus".into()),
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            auth_rejection_time_initial: Some(std::time::Duration::ZERO),
            // Clients first ask without a key, to hear what is taken. Keys are counted by the connection.
            max_auth_attempts: config.limits.auth_attempts_max + 1,
            inactivity_timeout: Some(config.limits.idle),
            keys: vec![key],
            ..Config::default()
        };
        Ok(Self {
            config,
            ssh: Arc::new(ssh),
            fingerprint,
            shared,
        })
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let server = Arc::new(self);
        let connections_max = server.config.limits.connections_max;
        accept(
            "sftp",
            listener,
            connections_max,
            stop.clone(),
            |stream, address| connection(Arc::clone(&server), stream, address, stop.clone()),
        )
        .await;
    }
}

async fn connection(
    server: Arc<Server>,
    stream: Cut<TcpStream>,
    address: SocketAddr,
    stop: CancellationToken,
) {
    let (cut, signed_in) = (stream.token(), CancellationToken::new());
    let handler = Connection {
        server: Arc::clone(&server),
        address: address.ip().to_canonical(),
        holder: None,
        offers: 0,
        sessions: HashMap::new(),
        signed_in: signed_in.clone(),
    };
    let session = async {
        match russh::server::run_stream(Arc::clone(&server.ssh), stream, handler).await {
            Ok(session) => session.await,
            Err(error) => Err(error),
        }
    };
    let watch = async {
        tokio::select! {
            () = signed_in.cancelled() => std::future::pending().await,
            () = tokio::time::sleep(server.config.limits.auth) => {}
        }
    };
    tokio::pin!(session);
    let ended = tokio::select! {
        ended = &mut session => ended,
        () = async { tokio::select! { () = watch => {}, () = stop.cancelled() => {} } } => {
            cut.cancel();
            session.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "an SSH connection ended");
    }
}

/// Whoever has signed in.
#[derive(Debug, Clone)]
struct Holder {
    fingerprint: String,
    role: String,
    address: IpAddr,
}

/// One connection.
struct Connection {
    server: Arc<Server>,
    address: IpAddr,
    holder: Option<Holder>,
    /// Keys that it has tried.
    offers: usize,
    sessions: HashMap<ChannelId, SessionKind>,
    signed_in: CancellationToken,
}

enum SessionKind {
    /// Opened, not yet used for anything.
    Idle(Channel<Msg>),
    Sftp,
    Scp,
}

impl Connection {
    fn key(&self, key: &PublicKey) -> Option<(String, &SftpKey)> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let known = self.server.config.keys.get(&fingerprint)?;
        (known.key.key_data() == key.key_data()).then_some((fingerprint, known))
    }

    /// Takes a session that is not in use, for whoever has signed in.
    fn take(&mut self, id: ChannelId, kind: SessionKind) -> Option<(Channel<Msg>, Access)> {
        let holder = self.holder.clone()?;
        let session = self.sessions.get_mut(&id)?;
        match std::mem::replace(session, kind) {
            SessionKind::Idle(channel) => {
                let access = Access {
                    holder,
                    limits: self.server.config.limits,
                    shared: Arc::clone(&self.server.shared),
                };
                Some((channel, access))
            }
            used => {
                *session = used;
                None
            }
        }
    }
}

/// What a session may do: read files of one role, each after its entry.
struct Access {
    holder: Holder,
    limits: SftpLimits,
    shared: Arc<Shared>,
}

impl Access {
    /// Runs what blocks on a file system elsewhere.
    async fn blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Shared, &str) -> Result<T, crate::shelf::ShelfError> + Send + 'static,
    ) -> Result<T, crate::shelf::ShelfError> {
        let (shared, role) = (Arc::clone(&self.shared), self.holder.role.clone());
        let done = tokio::task::spawn_blocking(move || run(&shared, &role)).await;
        done.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    /// Puts a file on record; only then may it be read.
    async fn record(&self, name: &Name, file: &Opened, channel: crate::Channel) -> Result<(), String> {
        let now_ms = self.shared.clock.now_ms();
        let opened = file.clone();
        let sha256 = self
            .blocking(move |shared, _| shared.shelf.sha256(&opened, now_ms))
            .await;
        let download = Download {
            who: crate::Who::Key(self.holder.fingerprint.clone()),
            role: self.holder.role.clone(),
            file: name.to_string(),
            sha256: sha256.map_err(|error| error.to_string())?,
            offset: 0,
            bytes: file.bytes(),
            address: self.holder.address,
            at_ms: now_ms,
            channel,
        };
        self.shared.log.append(download).await.map_err(|error| {
            tracing::warn!(role = self.holder.role, file = %name, %error, "a download was refused");
            "this download cannot be put on record, so it is refused; tell whoever runs the delivery"
                .to_owned()
        })
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.offers += 1;
        if self.offers > self.server.config.limits.auth_attempts_max {
            return Err(russh::Error::Disconnect);
        }
        let is_known = self.key(offer.public_key).is_some();
        Ok(if is_known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        // A signature over SHA-1 proves nothing any more.
        let is_sha1 = matches!(key.algorithm, Algorithm::Rsa { hash: None });
        let known = self.key(key.public_key).filter(|_| !is_sha1);
        let Some((fingerprint, SftpKey { role, .. })) = known else {
            return Ok(Auth::reject());
        };
        self.holder = Some(Holder {
            fingerprint,
            role: role.clone(),
            address: self.address,
        });
        self.signed_in.cancel();
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.sessions.len() >= self.server.config.limits.sessions_max {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.sessions.insert(channel.id(), SessionKind::Idle(channel));
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.sessions.remove(&id);
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        // scp takes an SFTP session without an exit status for a failure. The old scp tells its own.
        if !matches!(self.sessions.get(&id), Some(SessionKind::Scp)) {
            session.exit_status_request(id, 0)?;
            session.close(id)?;
        }
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let taken = if name == "sftp" {
            self.take(id, SessionKind::Sftp)
        } else {
            None
        };
        let Some((channel, access)) = taken else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let limits = russh_sftp::server::Config {
            max_client_packet_len: PACKET_BYTES_MAX,
        };
        russh_sftp::server::run_with_config(channel.into_stream(), files::Files::new(access), limits).await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = scp::Command::parse(data);
        let taken = command.and_then(|command| Some((command, self.take(id, SessionKind::Scp)?)));
        let Some((command, (channel, access))) = taken else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let handle = session.handle();
        tokio::spawn(async move {
            let status = scp::run(command, &access, channel).await;
            // An error means that the connection is gone.
            let _ = handle.exit_status_request(id, status).await;
            let _ = handle.eof(id).await;
            let _ = handle.close(id).await;
        });
        Ok(())
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }
}
