use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use crate::serve::Shared;
use crate::config::PortalConfig;
pub(crate) struct Server;
impl Server { pub(crate) fn new(_: PortalConfig, _: Arc<Shared>) -> Result<Self, crate::DeliveryError> { Ok(Self) } pub(crate) async fn run(self, _l: TcpListener, _s: CancellationToken) {} }
