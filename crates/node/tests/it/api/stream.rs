//! The event stream: resumable from any place, without a gap and without a repetition.

use super::client::Wire;
use super::place::{Place, Served, TURNS};
use serde_json::{Value, json};

const SCRIPT: &str = "- text: one\n- text: two\n- text: three\n- text: four\n";
const EVENTS: &str = "/api/sessions/s/events";

#[derive(Debug, PartialEq)]
struct Frame {
    id: Option<u64>,
    kind: String,
    data: Value,
}

/// Reads events and skips comments, until the stream ends.
async fn rest(wire: &mut Wire) -> Vec<Frame> {
    let (mut frames, mut text) = (Vec::new(), String::new());
    while let Some(frame) = wire.frame(&mut text).await {
        frames.extend(parse(&frame));
    }
    frames
}

fn parse(frame: &str) -> Option<Frame> {
    let field = |name: &str| {
        frame
            .lines()
            .find_map(|line| line.strip_prefix(name).map(str::trim))
    };
    let data = serde_json::from_str(field("data:")?).unwrap();
    let id = field("id:").map(|id| id.parse().unwrap());
    Some(Frame {
        id,
        kind: field("event:").unwrap().to_owned(),
        data,
    })
}

fn durable(frames: &[Frame]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame.id).collect()
}

async fn stored(served: &Served) -> Vec<Value> {
    served.get(EVENTS).await.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn a_stream_resumes_from_any_place() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    served.turn("t").await;
    let stored = stored(&served).await;
    let last = stored.len() as u64;
    assert!(last >= 3, "{stored:?}");
    for after in 0..=last {
        let query = format!("{EVENTS}?until=idle&after={after}");
        let frames = rest(&mut served.stream(&query, "").await).await;
        assert_eq!(durable(&frames), (after + 1..=last).collect::<Vec<_>>());
        for frame in &frames {
            let id = frame.id.unwrap();
            assert_eq!(frame.data, stored[usize::try_from(id).unwrap() - 1]);
            assert_eq!(frame.data["kind"], frame.kind.as_str());
        }
        let header = format!("last-event-id: {after}\r\n");
        let query = format!("{EVENTS}?until=idle&after=0");
        assert_eq!(
            rest(&mut served.stream(&query, &header).await).await,
            frames
        );
        let array = served.get(&format!("{EVENTS}?after={after}")).await.json();
        assert_eq!(array.as_array().unwrap().len() as u64, last - after);
    }
    let two = served
        .get(&format!("{EVENTS}?after=1&limit=2"))
        .await
        .json();
    assert_eq!(
        (
            &two[0]["seq"],
            &two[1]["seq"],
            two.as_array().unwrap().len()
        ),
        (&json!(2), &json!(3), 2)
    );
    served
        .get(&format!("{EVENTS}?after={}", last + 1))
        .await
        .refused("runtime.invalid_request");
    served.stop().await;
}

#[tokio::test]
async fn a_stream_follows_what_comes_and_goes_on_after_a_restart() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    served.turn("t").await;
    let mut wire = served.stream(EVENTS, "").await;
    let (mut frames, mut text) = (Vec::new(), String::new());
    let body = json!({ "agent": "fixer", "input": "go", "turn_id": "u" });
    assert_eq!(served.post(TURNS, &body).await.status, 202);
    while !is_end(&frames, "u") {
        let frame = wire.frame(&mut text).await.expect("the stream goes on");
        frames.extend(parse(&frame));
    }
    let seen = durable(&frames);
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    let ended = async {
        let mut last = String::new();
        while let Some(frame) = wire.frame(&mut text).await {
            last = frame;
        }
        last
    };
    let (last, ()) = tokio::join!(ended, served.stop());
    assert!(
        last.starts_with(':'),
        "a stream ends with a comment: {last:?}"
    );

    let served = place.serve().await;
    served.turn("v").await;
    let header = format!("last-event-id: {}\r\n", seen.len());
    let query = format!("{EVENTS}?until=idle");
    frames.extend(rest(&mut served.stream(&query, &header).await).await);
    let all: Vec<u64> = (1..=stored(&served).await.len() as u64).collect();
    assert_eq!(durable(&frames), all);
    assert!(is_end(&frames, "v"));
    served.stop().await;
}

fn is_end(frames: &[Frame], turn: &str) -> bool {
    frames
        .iter()
        .any(|frame| frame.kind == "turn_completed" && frame.data["turn"] == turn)
}

#[tokio::test]
async fn many_readers_see_the_same_while_it_happens() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    served.turn("t").await;
    let mut wires = Vec::new();
    for after in [0, 1, 2] {
        wires.push((
            after,
            served.stream(&format!("{EVENTS}?after={after}"), "").await,
        ));
    }
    for turn in ["u", "v"] {
        served.turn(turn).await;
    }
    let last = stored(&served).await.len() as u64;
    for (after, mut wire) in wires {
        let (mut frames, mut text) = (Vec::new(), String::new());
        while !is_end(&frames, "v") {
            frames.extend(parse(
                &wire.frame(&mut text).await.expect("the stream goes on"),
            ));
        }
        assert_eq!(durable(&frames), (after + 1..=last).collect::<Vec<_>>());
    }
    served.stop().await;
}

#[tokio::test]
async fn until_idle_waits_for_the_turn_that_runs() {
    let place = Place::new("- {text: slow, delay: 300ms}\n");
    let served = place.serve().await;
    let body = json!({ "agent": "fixer", "input": "go", "turn_id": "t" });
    served.post(TURNS, &body).await;
    let frames = rest(&mut served.stream(&format!("{EVENTS}?until=idle"), "").await).await;
    assert!(is_end(&frames, "t"), "{frames:?}");
    served.stop().await;
}
