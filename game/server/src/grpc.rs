//! The gRPC services: each method is one call of [`App`].

use std::sync::Arc;

use starvault_wire::v1::{
    self, GetProfileRequest, GetVersionRequest, SignInAsGuestRequest, SignInAsGuestResponse,
    player_service_server::PlayerService, system_service_server::SystemService,
};
use tonic::{Request, Response, Status};

use crate::app::App;

/// Answers `starvault.v1` over gRPC.
#[derive(Debug, Clone)]
pub struct Grpc(pub Arc<App>);

#[tonic::async_trait]
impl PlayerService for Grpc {
    async fn sign_in_as_guest(
        &self,
        request: Request<SignInAsGuestRequest>,
    ) -> Result<Response<SignInAsGuestResponse>, Status> {
        Ok(Response::new(
            self.0.sign_in_as_guest(request.into_inner()).await?,
        ))
    }

    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<v1::Profile>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.0.gatekeeper.identify(&metadata.into_headers(), None).await?;
        Ok(Response::new(self.0.get_profile(&caller, &request).await?))
    }

    async fn equip_item(
        &self,
        request: Request<v1::EquipItemRequest>,
    ) -> Result<Response<v1::Profile>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.0.gatekeeper.identify(&metadata.into_headers(), None).await?;
        Ok(Response::new(self.0.equip_item(&caller, &request).await?))
    }
}

#[tonic::async_trait]
impl SystemService for Grpc {
    async fn get_version(&self, _: Request<GetVersionRequest>) -> Result<Response<v1::Version>, Status> {
        Ok(Response::new(self.0.version()))
    }
}
