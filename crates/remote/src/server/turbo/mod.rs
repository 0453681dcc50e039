//! Turborepo's HTTP cache API: artifacts of teams, by the hash of the task that made them.

mod artifact;
mod refusal;

use super::Shared;
use super::sending::chunks;
use crate::RemoteDigest;
use crate::store::Key;
use artifact::{Artifact, Notes};
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use refusal::Refusal;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The most bytes of a question or of events.
const JSON_BYTES_MAX: usize = 1 << 20;

/// The most artifacts in one question.
const QUERY_MAX: usize = 1000;

/// Whose artifact it is: Turborepo names a team by its id or by its slug.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Team {
    team_id: Option<String>,
    slug: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Question {
    hashes: Vec<String>,
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    let artifact = get(download).merge(head(look)).put(keep);
    Router::new()
        .route("/v8/artifacts/status", get(enabled))
        .route("/v8/artifacts/events", post(events))
        .route("/v8/artifacts", post(query))
        .route("/v8/artifacts/{hash}", artifact)
}

impl Team {
    fn key(&self, hash: &str) -> Result<Key, Refusal> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if hash.is_empty() || hash.len() > 128 || !hash.bytes().all(is_plain) {
            return Err(Refusal::Bad("this is no hash of an artifact"));
        }
        let team = self.team_id.as_ref().or(self.slug.as_ref());
        Ok(Key::artifact(team.map_or("", String::as_str), hash))
    }
}

async fn enabled() -> Json<Value> {
    Json(json!({"status": "enabled"}))
}

/// Statistics of the client. They are read, so that the connection can go on, and not kept.
async fn events(request: Request) -> Result<Json<Value>, Refusal> {
    let read = to_bytes(request.into_body(), JSON_BYTES_MAX).await;
    read.map_err(|_| Refusal::Bad("these are too many events"))?;
    Ok(Json(json!({})))
}

async fn query(
    State(shared): State<Arc<Shared>>,
    Query(team): Query<Team>,
    request: Request,
) -> Result<Json<Map<String, Value>>, Refusal> {
    let unreadable = || Refusal::Bad("`hashes` must be a list of hashes");
    let body = to_bytes(request.into_body(), JSON_BYTES_MAX).await;
    let body = body.map_err(|_| unreadable())?;
    let question: Question = serde_json::from_slice(&body).map_err(|_| unreadable())?;
    if question.hashes.len() > QUERY_MAX {
        return Err(Refusal::Bad("these are too many hashes"));
    }
    let keyed = question.hashes.into_iter().map(|hash| {
        let key = team.key(&hash)?;
        Ok((hash, key))
    });
    let keyed = keyed.collect::<Result<Vec<_>, Refusal>>()?;
    let answer = shared.store.run(move |store| {
        let mut answer = Map::new();
        for (hash, key) in keyed {
            let found = Artifact::find(store, &key)?;
            answer.insert(hash, found.map_or(Value::Null, described));
        }
        Ok(answer)
    });
    Ok(Json(answer.await?))
}

fn described(artifact: Artifact) -> Value {
    let tag = artifact.notes.tag;
    json!({
        "size": artifact.digest.size,
        "taskDurationMs": artifact.notes.duration.unwrap_or(0),
        "tag": tag.map(|tag| String::from_utf8_lossy(&tag).into_owned()),
    })
}

async fn look(
    State(shared): State<Arc<Shared>>,
    Path(hash): Path<String>,
    Query(team): Query<Team>,
) -> Result<Response, Refusal> {
    let key = team.key(&hash)?;
    let find = shared.store.run(move |store| Artifact::find(store, &key));
    let artifact = find.await?.ok_or(Refusal::Unknown)?;
    Ok(artifact.headers().into_response())
}

async fn download(
    State(shared): State<Arc<Shared>>,
    Path(hash): Path<String>,
    Query(team): Query<Team>,
) -> Result<Response, Refusal> {
    let key = team.key(&hash)?;
    let opened = shared.store.run(move |store| {
        let Some(artifact) = Artifact::find(store, &key)? else {
            return Ok(None);
        };
        let blob = store.open_blob(&artifact.digest)?;
        Ok(blob.map(|blob| (artifact, blob)))
    });
    let (artifact, blob) = opened.await?.ok_or(Refusal::Unknown)?;
    let body = Body::from_stream(chunks(blob, 0, artifact.digest.size));
    Ok((artifact.headers(), body).into_response())
}

async fn keep(
    State(shared): State<Arc<Shared>>,
    Path(hash): Path<String>,
    Query(team): Query<Team>,
    request: Request,
) -> Result<Response, Refusal> {
    let key = team.key(&hash)?;
    if shared.is_read_only {
        return Err(Refusal::ReadOnly);
    }
    let notes = Notes::read(request.headers())?;
    let digest = receive(&shared, request.into_body()).await?;
    let artifact = Artifact { digest, notes };
    let put = shared.store.run(move |store| artifact.put(store, key));
    put.await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"urls": []}))).into_response())
}

async fn receive(shared: &Shared, body: Body) -> Result<RemoteDigest, Refusal> {
    let mut upload = shared.store.begin_upload(u64::MAX).await?;
    let mut body = body.into_data_stream();
    loop {
        let chunk = tokio::time::timeout(shared.pause_max, body.next()).await;
        let Some(chunk) = chunk.map_err(|_| Refusal::Paused)? else {
            break;
        };
        let chunk = chunk.map_err(|_| Refusal::Bad("the artifact is cut short"))?;
        upload.write(&chunk).await?;
    }
    Ok(upload.finish(&shared.store, None).await?)
}
