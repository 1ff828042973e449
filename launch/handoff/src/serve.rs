//! From a configuration to a running delivery.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::download::DownloadLog;
use crate::shelf::Shelf;
use crate::{Clock, DeliveryConfig, DeliveryError, portal, sftp};

/// Where clients come in. What the configuration does not have is not listened to.
#[derive(Debug, Default)]
pub struct Listeners {
    pub sftp: Option<TcpListener>,
    pub portal: Option<TcpListener>,
}

impl Listeners {
    /// Binds what a configuration names.
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub async fn bind(config: &DeliveryConfig) -> Result<Self, DeliveryError> {
        let bind = async |address: Option<SocketAddr>| match address {
            None => Ok(None),
            Some(address) => TcpListener::bind(address).await.map(Some).map_err(|error| {
                DeliveryError::Listener(std::io::Error::new(error.kind(), format!("{address}: {error}")))
            }),
        };
        Ok(Self {
            sftp: bind(config.sftp.as_ref().map(|sftp| sftp.listen)).await?,
            portal: bind(config.portal.as_ref().map(|portal| portal.listen)).await?,
        })
    }
}

/// What every way out shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub shelf: Shelf,
    pub log: Arc<dyn DownloadLog>,
    pub clock: Arc<dyn Clock>,
}

/// A delivery that runs.
#[derive(Debug)]
pub struct Delivery {
    /// Where SFTP listens.
    pub sftp: Option<SocketAddr>,
    /// `SHA256:…` of the host key, to be told to people by another way.
    pub host_key_fingerprint: Option<String>,
    /// Where the portal listens.
    pub portal: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

impl Delivery {
    /// Waits until all has ended, which is after `shutdown`.
    pub async fn finished(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Serves until `shutdown`: no new connections then; those that there are have five seconds.
///
/// # Errors
/// A secret, the state of links or the folder of packages cannot be used, or a listener is missing or reachable from
/// other machines against the configuration. Nothing is served then.
pub async fn serve(
    config: DeliveryConfig,
    clock: Arc<dyn Clock>,
    listeners: Listeners,
    shutdown: CancellationToken,
    download_log: Arc<dyn DownloadLog>,
) -> Result<Delivery, DeliveryError> {
    if !config.packages.is_dir() {
        return Err(DeliveryError::NoPackages {
            path: config.packages,
        });
    }
    let checked = |listener: Option<TcpListener>, what| {
        let listener = listener.ok_or(DeliveryError::NoListener { what })?;
        let address = listener.local_addr().map_err(DeliveryError::Listener)?;
        if !address.ip().is_loopback() && !config.allow_remote {
            return Err(DeliveryError::Remote { address });
        }
        Ok((listener, address))
    };
    let shared = Arc::new(Shared {
        shelf: Shelf::new(config.packages),
        log: download_log,
        clock,
    });
    // Both are made before one of them begins.
    let sftp = match config.sftp {
        None => None,
        Some(sftp) => Some((
            checked(listeners.sftp, "sftp")?,
            sftp::Server::new(sftp, Arc::clone(&shared))?,
        )),
    };
    let portal = match config.portal {
        None => None,
        Some(portal) => Some((
            checked(listeners.portal, "portal")?,
            portal::Server::new(portal, shared)?,
        )),
    };
    let mut delivery = Delivery {
        sftp: None,
        host_key_fingerprint: None,
        portal: None,
        tasks: JoinSet::new(),
    };
    if let Some(((listener, address), server)) = sftp {
        tracing::info!(%address, host_key = server.fingerprint(), "SFTP");
        delivery.sftp = Some(address);
        delivery.host_key_fingerprint = Some(server.fingerprint().to_owned());
        delivery.tasks.spawn(server.run(listener, shutdown.clone()));
    }
    if let Some(((listener, address), server)) = portal {
        tracing::info!(%address, "portal");
        delivery.portal = Some(address);
        delivery.tasks.spawn(server.run(listener, shutdown));
    }
    Ok(delivery)
}
