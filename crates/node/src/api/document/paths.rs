//! What can be asked.

use serde_json::{Map, Value, json};

/// Every path with its operations.
pub(super) fn paths() -> Value {
    let mut paths = Map::new();
    let all = [
        turns(),
        sessions(),
        super::tasks::operations(),
        super::models::operations(),
        super::gateway::operations(),
        node(),
    ];
    for (path, method, operation) in all.into_iter().flatten() {
        let methods = paths
            .entry(path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(methods) = methods {
            methods.insert(method.to_owned(), operation);
        }
    }
    Value::Object(paths)
}

/// A path, a method and what it does.
pub(super) type Entry = (&'static str, &'static str, Value);

fn turns() -> Vec<Entry> {
    let start = Operation::new("startTurn", "Start a turn; durable before it is answered")
        .path("session")
        .query("wait", json!({ "type": "number", "minimum": 0, "maximum": 600 }),
            "Wait so many seconds for the turn's end; 202 where it is still running then")
        .header("Idempotency-Key",
            "Names the turn where the body does not: the same key in the same session is the same turn")
        .body("StartTurn", true)
        .answers("200", "The turn has ended", "TurnView")
        .answers("202", "The turn is accepted, and will run whatever happens", "AcceptedTurn")
        .done();
    let show = Operation::new("getTurn", "One turn, wherever it is")
        .path("turn")
        .answers("200", "The turn", "TurnView")
        .done();
    let cancel = Operation::new("cancelTurn", "End a turn, whatever it is doing")
        .path("session")
        .body("CancelTurn", false)
        .answers("202", "The turn will end", "Done")
        .done();
    let replay = Operation::new(
        "replayTurn",
        "Decide a turn again from its journal, offline",
    )
    .path("turn")
    .answers("200", "Every decision was the same", "ReplayReport")
    .done();
    let resolve = |id: &str, summary| {
        Operation::new(id, summary)
            .path_if(id == "resolveStep", "session")
            .path("step")
            .body("ResolveStep", true)
            .answers("200", "The turn goes on", "Done")
            .done()
    };
    vec![
        ("/api/sessions/{session}/turns", "post", start),
        ("/api/sessions/{session}/cancel", "post", cancel),
        (
            "/api/sessions/{session}/steps/{step}/resolve",
            "post",
            resolve(
                "resolveStep",
                "Say what became of a step in doubt, or release a quarantined turn",
            ),
        ),
        (
            "/api/steps/{step}/resolve",
            "post",
            resolve(
                "resolveStepById",
                "The same; a step's id is unique on its node",
            ),
        ),
        ("/api/turns/{turn}", "get", show),
        ("/api/turns/{turn}/replay", "post", replay),
    ]
}

fn sessions() -> Vec<Entry> {
    let list = Operation::new("listSessions", "Sessions, newest change first")
        .answers_list("200", "The sessions", "SessionRow")
        .done();
    let show = Operation::new("getSession", "A session with its turns and steps")
        .path("session")
        .query(
            "messages",
            json!({ "type": "boolean" }),
            "Put the messages beside their digests",
        )
        .answers("200", "The session", "SessionView")
        .done();
    let remove = Operation::new(
        "removeSession",
        "Remove a session and all that only it needs",
    )
    .path("session")
    .answers("200", "It is gone", "Done")
    .done();
    let events = Operation::new("sessionEvents",
        "The durable tape of a session; as a stream where text/event-stream is accepted")
        .path("session")
        .query("after", json!({ "type": "integer", "minimum": 0 }), "Begin after this sequence")
        .query("limit", json!({ "type": "integer", "minimum": 1 }), "At most so many; not for streams")
        .query("until", json!({ "type": "string", "enum": ["idle"] }),
            "End the stream once the session has nothing to do")
        .header("Last-Event-ID", "Begin after this sequence; wins over `after`")
        .answers_list("200", "The events", "Event")
        .also("200", "text/event-stream", json!({ "type": "string", "description":
            "`id` is the durable sequence, `event` the kind, `data` an Event. Live previews have no id." }))
        .done();
    let diff = Operation::new(
        "sessionDiff",
        "What the agent changed in its view of the workspace",
    )
    .path("session")
    .answers("200", "The changes", "Diff")
    .also("200", "text/x-diff", json!({ "type": "string" }))
    .done();
    let apply = Operation::new("applySession", "Bring the changes home into the folder")
        .path("session")
        .body("ApplySession", false)
        .answers("200", "They are applied", "Applied")
        .done();
    let export = Operation::new("exportSession", "All of a session, one JSON value a line")
        .path("session")
        .also("200", "application/jsonl", json!({ "type": "string" }))
        .done();
    vec![
        ("/api/sessions", "get", list),
        ("/api/sessions/{session}", "get", show),
        ("/api/sessions/{session}", "delete", remove),
        ("/api/sessions/{session}/events", "get", events),
        ("/api/sessions/{session}/diff", "get", diff),
        ("/api/sessions/{session}/apply", "post", apply),
        ("/api/sessions/{session}/export", "get", export),
    ]
}

fn node() -> Vec<Entry> {
    let doctor = Operation::new(
        "doctor",
        "What this host can do, and whether the store is sound",
    )
    .answers("200", "The findings", "DoctorReport")
    .done();
    let document = Operation::new("openapi", "This document")
        .also("200", "application/json", json!({ "type": "object" }))
        .done();
    let health = Operation::new("health", "Whether the node answers; needs no key")
        .answers("200", "It does", "Health")
        .done();
    let ready = Operation::new(
        "ready",
        "Whether requests may be sent here: its manifest can be used, and it does not stop; needs no key",
    )
    .answers("200", "They may", "Health")
    .done();
    let metrics = Operation::new("metrics", "Figures for Prometheus")
        .also("200", "text/plain", json!({ "type": "string" }))
        .also(
            "200",
            "application/openmetrics-text",
            json!({ "type": "string" }),
        )
        .done();
    vec![
        ("/api/doctor", "get", doctor),
        ("/openapi.json", "get", document),
        ("/healthz", "get", health),
        ("/readyz", "get", ready),
        ("/metrics", "get", metrics),
    ]
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// One operation, put together.
pub(super) struct Operation {
    id: String,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Map<String, Value>,
}

impl Operation {
    pub(super) fn new(id: &str, summary: &'static str) -> Self {
        let failure = json!({
            "description": "A failure; its code says which status",
            "content": { "application/problem+json": { "schema": schema("ErrorReport") } },
        });
        let responses = Map::from_iter([("default".to_owned(), failure)]);
        Self {
            id: id.to_owned(),
            summary,
            parameters: Vec::new(),
            body: None,
            responses,
        }
    }

    pub(super) fn path(mut self, name: &str) -> Self {
        let id = schema("Id");
        self.parameters
            .push(json!({ "name": name, "in": "path", "required": true, "schema": id }));
        self
    }

    fn path_if(self, is_there: bool, name: &str) -> Self {
        if is_there { self.path(name) } else { self }
    }

    pub(super) fn query(mut self, name: &str, schema: Value, description: &str) -> Self {
        self.parameters.push(
            json!({ "name": name, "in": "query", "description": description, "schema": schema }),
        );
        self
    }

    pub(super) fn header(mut self, name: &str, description: &str) -> Self {
        let schema = json!({ "type": "string" });
        self.parameters.push(
            json!({ "name": name, "in": "header", "description": description, "schema": schema }),
        );
        self
    }

    pub(super) fn body(mut self, name: &str, is_required: bool) -> Self {
        let content = json!({ "application/json": { "schema": schema(name) } });
        self.body = Some(json!({ "required": is_required, "content": content }));
        self
    }

    pub(super) fn answers(self, status: &str, description: &str, name: &str) -> Self {
        self.responds(status, description, "application/json", schema(name))
    }

    pub(super) fn answers_list(self, status: &str, description: &str, name: &str) -> Self {
        let list = json!({ "type": "array", "items": schema(name) });
        self.responds(status, description, "application/json", list)
    }

    pub(super) fn also(self, status: &str, media: &str, schema: Value) -> Self {
        self.responds(status, "Done", media, schema)
    }

    fn responds(mut self, status: &str, description: &str, media: &str, schema: Value) -> Self {
        let response = self
            .responses
            .entry(status)
            .or_insert_with(|| json!({ "description": description, "content": {} }));
        response["content"][media] = json!({ "schema": schema });
        self
    }

    pub(super) fn done(self) -> Value {
        let Self {
            id,
            summary,
            parameters,
            body,
            responses,
        } = self;
        let mut operation =
            json!({ "operationId": id, "summary": summary, "responses": responses });
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        if let Some(body) = body {
            operation["requestBody"] = body;
        }
        operation
    }
}
