//! Runs beside each other, and how much a node keeps of them.

use super::{RUNS, WAITS, begin, frames, over};
use crate::harness::assert_complete;
use crate::tasks::Tasks;
use serde_json::{Value, json};

#[tokio::test]
async fn two_runs_do_not_work_on_the_same_files() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{WAITS}', cache: false}}\n"));
    let server = tasks.place.serve();
    let first = begin(&server, "t").await;
    assert_eq!(frames(&server, &first, None, 1).await[0].kind, "started");
    let second = begin(&server, "t").await;
    assert_eq!(frames(&server, &second, None, 1).await[0].kind, "waiting");
    tasks.write("go", "");
    for run in [first, second] {
        assert_eq!(over(&server, &run).await["state"], "succeeded");
    }
}

#[tokio::test]
async fn one_key_means_one_run() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{WAITS}'}}\n"));
    let server = tasks.place.serve();
    let keyed = async |body: Value| {
        let request = server.client().post(format!("{}{RUNS}", server.url));
        let request = request
            .bearer_auth(&server.key)
            .header("idempotency-key", "k");
        let response = request.json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap())
    };
    let body = json!({ "tasks": ["t"] });
    let (first, second) = tokio::join!(keyed(body.clone()), keyed(body.clone()));
    assert_eq!((first.0, second.0), (202, 202), "{first:?}");
    assert_eq!(first.1["id"], second.1["id"]);
    let (status, report) = keyed(json!({ "tasks": ["t"], "options": { "force": true } })).await;
    assert_eq!(
        (status, &report["code"]),
        (422, &json!("runtime.idempotency_conflict"))
    );
    tasks.write("go", "");
    over(&server, first.1["id"].as_str().unwrap()).await;
    let (status, third) = keyed(body).await;
    assert_eq!((status, &third["state"]), (200, &json!("succeeded")));
    assert_eq!(server.get(RUNS).await.1.as_array().unwrap().len(), 1);
    let other = json!({ "tasks": ["none"] });
    let request = server.client().post(format!("{}{RUNS}", server.url));
    let refused = request
        .bearer_auth(&server.key)
        .header("idempotency-key", "l")
        .json(&other);
    assert_eq!(refused.send().await.unwrap().status().as_u16(), 404);
}

#[tokio::test]
async fn events_that_are_gone_are_told_of() {
    let tasks =
        Tasks::new("  t: {shell: 'head -c 20000000 /dev/zero | tr \"\\\\0\" x; echo end'}\n");
    let server = tasks.place.serve();
    let body = json!({ "tasks": ["t"] });
    let (_, run) = server.post(&format!("{RUNS}?wait=60"), &body).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    let id = run["id"].as_str().unwrap();
    let told = frames(&server, id, None, usize::MAX).await;
    let gone = run["events_dropped"].as_u64().unwrap();
    assert!(gone > 0);
    assert_eq!((told[0].id, told[0].kind.as_str()), (gone, "dropped"));
    assert_eq!(
        told[0].data,
        json!({ "event": "dropped", "from": 1, "to": gone })
    );
    assert_eq!(told[1].id, gone + 1);
    assert_eq!(told.last().unwrap().id, run["last_seq"].as_u64().unwrap());
    let (_, listed) = server.get(&format!("{RUNS}/{id}/events")).await;
    assert_eq!(
        listed[0],
        json!({ "event": "dropped", "from": 1, "to": gone, "seq": gone })
    );
    let resumed = frames(&server, id, Some(gone), 1).await;
    assert_eq!(resumed[0].id, gone + 1);
}

#[tokio::test]
async fn a_node_takes_no_more_than_it_can() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{WAITS}'}}\n"));
    let server = tasks.place.serve();
    for _ in 0..32 {
        begin(&server, "t").await;
    }
    let (status, report) = server.post(RUNS, &json!({ "tasks": ["t"] })).await;
    assert_eq!(
        (status, &report["code"]),
        (429, &json!("node.busy")),
        "{report}"
    );
    assert_complete(&report);
    tasks.write("go", "");
    let (_, runs) = server.get(RUNS).await;
    for run in runs.as_array().unwrap() {
        assert_eq!(
            over(&server, run["id"].as_str().unwrap()).await["state"],
            "succeeded"
        );
    }
    begin(&server, "t").await;
}
