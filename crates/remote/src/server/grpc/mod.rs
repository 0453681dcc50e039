//! The remote execution API, as far as a cache goes.

mod actions;
mod blobs;
mod capabilities;
mod streams;
mod tree;

use super::Shared;
use crate::RemoteDigest;
use crate::protocol::messages::Digest;
use crate::protocol::{MESSAGE_BYTES_MAX, SHA256, method};
use crate::store::StoreError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::{MethodRouter, post};
use futures_util::stream::BoxStream;
use prost::Message;
use std::future::Future;
use std::sync::Arc;
use tonic::server::Grpc;
use tonic::{Code, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

type Answers<O> = BoxStream<'static, Result<O, Status>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(method::CAPABILITIES, unary(capabilities::get))
        .route(method::GET_ACTION, unary(actions::get))
        .route(method::UPDATE_ACTION, unary(actions::update))
        .route(method::FIND_MISSING, unary(blobs::find_missing))
        .route(method::BATCH_UPDATE, unary(blobs::update))
        .route(method::BATCH_READ, unary(blobs::read))
        .route(method::GET_TREE, streaming(tree::get))
        .route(method::READ, streaming(streams::read))
        .route(method::QUERY_WRITE, unary(streams::query_write))
        .route(method::WRITE, upload(streams::write))
}

/// A method with one message each way.
fn unary<I, O, F, A>(handler: F) -> MethodRouter<Arc<Shared>>
where
    I: Message + Default + 'static,
    O: Message + Default + 'static,
    F: Fn(Arc<Shared>, I) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<O, Status>> + Send + 'static,
{
    post(
        move |State(shared): State<Arc<Shared>>, request: Request| async move {
            let service = service_fn(|request: tonic::Request<I>| {
                let answer = handler(Arc::clone(&shared), request.into_inner());
                async { answer.await.map(Response::new) }
            });
            let mut grpc = Grpc::new(ProstCodec::<O, I>::default())
                .max_decoding_message_size(MESSAGE_BYTES_MAX);
            grpc.unary(service, request).await.map(Body::new)
        },
    )
}

/// A method with one message in and several out.
fn streaming<I, O, F, A>(handler: F) -> MethodRouter<Arc<Shared>>
where
    I: Message + Default + 'static,
    O: Message + Default + 'static,
    F: Fn(Arc<Shared>, I) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Answers<O>, Status>> + Send + 'static,
{
    post(
        move |State(shared): State<Arc<Shared>>, request: Request| async move {
            let service = service_fn(|request: tonic::Request<I>| {
                let answer = handler(Arc::clone(&shared), request.into_inner());
                async { answer.await.map(Response::new) }
            });
            let mut grpc = Grpc::new(ProstCodec::<O, I>::default())
                .max_decoding_message_size(MESSAGE_BYTES_MAX);
            grpc.server_streaming(service, request).await.map(Body::new)
        },
    )
}

/// A method with several messages in and one out.
fn upload<I, O, F, A>(handler: F) -> MethodRouter<Arc<Shared>>
where
    I: Message + Default + 'static,
    O: Message + Default + 'static,
    F: Fn(Arc<Shared>, Streaming<I>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<O, Status>> + Send + 'static,
{
    post(
        move |State(shared): State<Arc<Shared>>, request: Request| async move {
            let service = service_fn(|request: tonic::Request<Streaming<I>>| {
                let answer = handler(Arc::clone(&shared), request.into_inner());
                async { answer.await.map(Response::new) }
            });
            let mut grpc = Grpc::new(ProstCodec::<O, I>::default())
                .max_decoding_message_size(MESSAGE_BYTES_MAX);
            grpc.client_streaming(service, request).await.map(Body::new)
        },
    )
}

fn digest(digest: Option<&Digest>) -> Result<RemoteDigest, Status> {
    let digest = digest.ok_or_else(|| Status::invalid_argument("a digest is missing"))?;
    RemoteDigest::try_from(digest).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Refuses digests of another kind. 0 is what old clients send, and is told by the length.
fn check_function(function: i32) -> Result<(), Status> {
    if function == 0 || function == SHA256 {
        return Ok(());
    }
    let said = format!("digest function {function}: this cache knows SHA-256 only");
    Err(Status::invalid_argument(said))
}

fn check_writable(shared: &Shared) -> Result<(), Status> {
    if shared.is_read_only {
        return Err(Status::permission_denied("this cache is read-only"));
    }
    Ok(())
}

/// What a failure of the store is to the client. Paths of this machine stay in the log.
fn status(error: &StoreError) -> Status {
    match error {
        StoreError::Mismatch { .. } | StoreError::TooLarge { .. } => {
            Status::invalid_argument(error.to_string())
        }
        StoreError::Full { .. } => {
            tracing::error!(%error, "the disk is full");
            Status::resource_exhausted("no space is left")
        }
        StoreError::Busy => Status::resource_exhausted(error.to_string()),
        StoreError::Io { source, .. } => {
            tracing::error!(%error, cause = %source, "the store failed");
            Status::new(Code::Internal, "the store failed")
        }
        StoreError::InUse { .. } => Status::internal("the store failed"),
    }
}
