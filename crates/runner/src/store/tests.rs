use super::*;
use mainstay_tasks::{Bytes, Command, Content, Ingredients, Output, Platform, TaskKey, TaskResult};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

fn ingredients(argument: &str) -> Ingredients {
    Ingredients {
        task: "p:t".parse().unwrap(),
        cwd: Bytes::default(),
        command: Command::Arguments(vec![Bytes::from(argument)]),
        inputs: BTreeMap::new(),
        outputs: BTreeSet::new(),
        environment: BTreeMap::new(),
        tools: BTreeMap::new(),
        platform: Platform {
            os: "linux".to_owned(),
            architecture: "x86_64".to_owned(),
        },
    }
}

/// Adds a result with one output of so many bytes.
fn add(store: &Store, argument: &str, bytes: usize) -> (TaskKey, Content) {
    let _adding = store.adding().unwrap();
    let parcel = Parcel::default();
    let content = store
        .put(
            argument.repeat(bytes / argument.len()).into_bytes(),
            &parcel,
        )
        .unwrap();
    let result = TaskResult {
        ingredients: ingredients(argument),
        outputs: BTreeMap::from([(
            Bytes::from("o"),
            Output::File {
                content,
                mode: 0o644,
            },
        )]),
        stdout: Content::empty(),
        stderr: Content::empty(),
        ran_ms: 1,
        made_ms: 1,
    };
    let key = result.ingredients.key();
    store.add(&key, &result, &parcel.into_small()).unwrap();
    (key, content)
}

fn read(store: &Store, key: &TaskKey, content: &Content) -> Vec<u8> {
    let kept = store.find(key).unwrap().unwrap();
    let mut bytes = Vec::new();
    kept.contents
        .read_pieces(content, &mut |piece| bytes.write_all(piece))
        .unwrap();
    bytes
}

#[test]
fn small_and_large_contents_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    for bytes in [1, 100, 16 << 10, (16 << 10) + 1, 300 << 10, 2 << 20] {
        let (key, content) = add(&store, "x", bytes);
        assert_eq!(read(&store, &key, &content), "x".repeat(bytes).into_bytes());
        store.purge().unwrap();
        assert!(store.find(&key).unwrap().is_none());
    }
}

#[test]
fn the_least_used_goes_first_and_what_is_shared_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let results: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| add(&store, name, 100_000))
        .collect();
    for (age, (key, _)) in (1..).zip(results.iter().rev()) {
        let used = std::time::SystemTime::now() - Duration::from_secs(age * 1000);
        std::fs::File::open(store.result(key))
            .unwrap()
            .set_modified(used)
            .unwrap();
    }
    for (_, content) in &results {
        let old = std::time::SystemTime::now() - Duration::from_secs(9000);
        let times = std::fs::FileTimes::new().set_accessed(old);
        std::fs::File::open(store.blob(&content.digest))
            .unwrap()
            .set_times(times)
            .unwrap();
    }
    let budget = Budget {
        bytes: 250_000,
        age: Duration::from_secs(100_000),
    };
    let collected = store.collect(budget).unwrap();
    assert_eq!((collected.results, collected.blobs), (1, 1));
    assert!(store.find(&results[0].0).unwrap().is_none());
    assert!(matches!(
        store.entry(&results[0].0).unwrap(),
        Some(Entry::Evicted(_))
    ));
    for (key, content) in &results[1..] {
        assert_eq!(read(&store, key, content).len(), 100_000);
    }
}

#[test]
fn what_is_added_while_it_collects_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let nothing = Budget {
        bytes: 0,
        age: Duration::ZERO,
    };
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            for _ in 0..40 {
                store.collect(nothing).unwrap();
            }
        });
        let mut round = 0;
        while !collector.is_finished() {
            let _adding = store.adding().unwrap();
            let parcel = Parcel::default();
            let bytes = format!("{} ", round % 7).repeat(20_000).into_bytes();
            let content = store.put(bytes, &parcel).unwrap();
            // As long as somebody adds, nothing goes away under his hands.
            assert!(store.has(&content), "round {round}");
            round += 1;
        }
    });
}
