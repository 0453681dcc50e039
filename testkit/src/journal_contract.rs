//! What every journal promises, as one suite: the fake and the real ones pass the same checks.

#![expect(
    clippy::unwrap_used,
    reason = "a failed check ends the test that runs the suite"
)]

use crate::journal_steps::Steps;
use mainstay_contract::{Digest, Seq, SessionId, Timestamp, TurnId};
use mainstay_sessions::{Blob, BlobContent, Journal, JournalBatch, StoreError, TurnState, digest};
use std::path::Path;

/// Runs every check, each on a new journal. `scratch` is an empty folder for files.
///
/// # Panics
/// Where a promise is broken.
pub async fn journal_contract<J: Journal>(make: impl Fn() -> J, scratch: &Path) {
    what_is_appended_is_read(&make()).await;
    nothing_of_a_refused_batch_is_visible(&make()).await;
    a_turn_belongs_to_one_session(&make()).await;
    rows_follow_the_records(&make()).await;
    blobs_of_every_size_come_back(&make(), scratch).await;
    other_bytes_are_refused(&make(), scratch).await;
    a_removed_session_takes_only_its_own_blobs(&make()).await;
    what_is_unknown_is_empty(&make(), scratch);
}

async fn what_is_appended_is_read(journal: &impl Journal) {
    let mut steps = Steps::new("s");
    let mut all = Vec::new();
    for _ in 0..5 {
        let batch = steps.step();
        all.extend(batch.records.clone());
        journal.append(batch).await.unwrap();
    }
    let session = steps.session();
    let read = |after, limit| journal.records(session, Seq(after), limit).unwrap();
    assert_eq!(read(0, usize::MAX), all);
    assert_eq!(read(0, 3), all[..3]);
    assert_eq!(read(2, 2), all[2..4]);
    assert_eq!(read(all.len() as u64, 9), []);
}

async fn nothing_of_a_refused_batch_is_visible(journal: &impl Journal) {
    let mut steps = Steps::new("s");
    let first = steps.step();
    journal.append(first.clone()).await.unwrap();
    steps.step();
    let too_far = steps.step();
    for batch in [first, too_far] {
        let mut batch = with_blob(batch, b"of a refused batch");
        batch
            .turns
            .iter_mut()
            .for_each(|turn| turn.state = TurnState::Failed);
        let error = journal.append(batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    }
    let mut gap = Steps::new("new");
    gap.step();
    let error = journal.append(gap.step()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");

    let row = journal.session(steps.session()).unwrap().unwrap();
    assert_eq!(row.last_seq, Seq(2));
    assert_eq!(row.turn.unwrap().state, TurnState::Running);
    assert_eq!(journal.session(gap.session()).unwrap(), None);
    let blob = journal.blob(&digest(b"of a refused batch")).unwrap();
    assert_eq!(blob, None);
}

async fn a_turn_belongs_to_one_session(journal: &impl Journal) {
    let mut ours = Steps::new("ours");
    journal.append(ours.step()).await.unwrap();
    let mut theirs = Steps::new("theirs").with_turn(ours.turn());
    let error = journal.append(theirs.step()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert_eq!(journal.session(theirs.session()).unwrap(), None);
    let row = journal.turn(&ours.turn()).unwrap().unwrap();
    assert_eq!(row.session, *ours.session());
}

async fn rows_follow_the_records(journal: &impl Journal) {
    let (mut a, mut b) = (Steps::new("a"), Steps::new("b").starting_at(Timestamp(50)));
    for steps in [&mut a, &mut b] {
        journal.append(steps.step()).await.unwrap();
    }
    let names = || {
        let rows = journal.sessions().unwrap().into_iter();
        rows.map(|row| row.session.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["b", "a"]);
    let open = journal.open_turns().unwrap();
    let open: Vec<&TurnId> = open.iter().map(|row| &row.turn).collect();
    assert_eq!(open, [&a.turn(), &b.turn()]);

    let last = a.end(Timestamp(90));
    journal.append(last.clone()).await.unwrap();
    assert_eq!(names(), ["a", "b"]);
    let row = journal.session(a.session()).unwrap().unwrap();
    assert_eq!(
        Some(row.last_seq),
        last.records.last().map(|record| record.seq)
    );
    assert_eq!(
        (row.created_at, row.changed_at),
        (Timestamp(1), Timestamp(90))
    );
    assert_eq!(row.turn.as_ref(), last.turns.first());
    assert_eq!(journal.turn(&a.turn()).unwrap(), row.turn);
    let open = journal.open_turns().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].session, *b.session());
}

async fn blobs_of_every_size_come_back(journal: &impl Journal, scratch: &Path) {
    let mut steps = Steps::new("s");
    for size in [0, 1, 199, 200, 65_535, 65_536, 65_537, 3_000_000] {
        for noise in [false, true] {
            let bytes = content(size, noise);
            let name = digest(&bytes);
            let mut batch = with_blob(steps.step(), &bytes);
            if noise {
                let path = scratch.join(format!("in-{size}"));
                std::fs::write(&path, &bytes).unwrap();
                batch.blobs.retain(|blob| blob.digest != name);
                let content = BlobContent::File(path);
                batch.blobs.push(Blob {
                    digest: name,
                    content,
                });
            }
            // Handed over twice in one batch, and once more in the next.
            batch.blobs.push(Blob::bytes(bytes.clone()));
            journal.append(batch).await.unwrap();
            let again = with_blob(steps.step(), &bytes);
            journal.append(again).await.unwrap();

            assert_eq!(journal.blob(&name).unwrap(), Some(bytes.clone()), "{size}");
            let out = scratch.join(format!("out-{size}-{noise}"));
            assert!(journal.blob_to_file(&name, &out).unwrap());
            assert_eq!(std::fs::read(&out).unwrap(), bytes, "{size}");
            // Never over a file that is there.
            journal.blob_to_file(&name, &out).unwrap_err();
            std::fs::remove_file(&out).unwrap();
        }
    }
}

async fn other_bytes_are_refused(journal: &impl Journal, scratch: &Path) {
    let mut steps = Steps::new("s");
    let promised = content(100_000, true);
    let path = scratch.join("changed");
    std::fs::write(&path, &promised[1..]).unwrap();
    for content in [
        BlobContent::Bytes(b"other".to_vec()),
        BlobContent::Bytes(promised[1..].to_vec()),
        BlobContent::File(path.clone()),
    ] {
        let digest = digest(&promised);
        let mut batch = Steps::new("s").step();
        batch.blobs.push(Blob { digest, content });
        let error = journal.append(batch).await.unwrap_err();
        let StoreError::Corrupt { what } = &error else {
            unreachable!("refused as damaged, not as {error:?}");
        };
        assert!(what.contains(&digest.to_string()), "{what}");
        assert_eq!(journal.blob(&digest).unwrap(), None);
        assert_eq!(journal.session(steps.session()).unwrap(), None);
    }
    std::fs::remove_file(&path).unwrap();
    journal.append(steps.step()).await.unwrap();
}

async fn a_removed_session_takes_only_its_own_blobs(journal: &impl Journal) {
    let (mut gone, mut kept) = (Steps::new("gone"), Steps::new("kept"));
    let (own, own_large) = (
        b"only of the removed session".to_vec(),
        content(90_000, true),
    );
    let shared = b"of both sessions".to_vec();
    // Named by nothing but the content of another blob: in quotes, in a sentence, in a large blob.
    let far = b"named by a large blob".to_vec();
    let large = format!("{}\n{}", "x".repeat(100_000), digest(&far)).into_bytes();
    let near = b"named by a sentence".to_vec();
    let text = format!(
        "[all of it is stored as {}] {{\"digest\":\"{}\"}}",
        digest(&near),
        digest(&large)
    );
    for bytes in [&own, &own_large, &shared] {
        journal.append(naming(&mut gone, bytes)).await.unwrap();
    }
    journal.append(naming(&mut kept, &shared)).await.unwrap();
    let mut batch = naming(&mut kept, text.as_bytes());
    for bytes in [&far, &large, &near] {
        batch.blobs.push(Blob::bytes(bytes.clone()));
    }
    journal.append(batch).await.unwrap();
    let turn = gone.turn();
    journal.remove_session(gone.session()).await.unwrap();

    let has = |bytes: &[u8]| journal.blob(&digest(bytes)).unwrap().is_some();
    assert!(!has(&own) && !has(&own_large));
    for bytes in [&shared, &far, &large, &near] {
        assert!(
            has(bytes),
            "{}",
            String::from_utf8_lossy(&bytes[..20.min(bytes.len())])
        );
    }
    assert!(has(text.as_bytes()));
    assert_eq!(journal.session(gone.session()).unwrap(), None);
    assert_eq!(journal.turn(&turn).unwrap(), None);
    assert_eq!(journal.records(gone.session(), Seq(0), 9).unwrap(), []);
    // Its name, its turn and its blobs can be used again, and a second removal does no harm.
    journal.remove_session(gone.session()).await.unwrap();
    let mut again = Steps::new("gone");
    journal.append(naming(&mut again, &own)).await.unwrap();
    assert!(has(&own));
}

fn what_is_unknown_is_empty(journal: &impl Journal, scratch: &Path) {
    let session = SessionId::new("nobody").unwrap();
    let turn = TurnId::new("nobody.1").unwrap();
    assert_eq!(journal.records(&session, Seq(0), 9).unwrap(), []);
    assert_eq!(journal.session(&session).unwrap(), None);
    assert_eq!(journal.turn(&turn).unwrap(), None);
    assert_eq!(journal.sessions().unwrap(), []);
    assert_eq!(journal.open_turns().unwrap(), []);
    let nothing = Digest([7; 32]);
    assert_eq!(journal.blob(&nothing).unwrap(), None);
    let path = scratch.join("nothing");
    assert!(!journal.blob_to_file(&nothing, &path).unwrap());
    assert!(!path.exists());
}

fn with_blob(mut batch: JournalBatch, bytes: &[u8]) -> JournalBatch {
    batch.blobs.push(Blob::bytes(bytes.to_vec()));
    batch
}

/// The next step, whose message is this content.
fn naming(steps: &mut Steps, bytes: &[u8]) -> JournalBatch {
    steps.step_with(bytes)
}

/// Bytes that compress well, or not at all.
fn content(size: usize, noise: bool) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..size)
        .map(|at| if noise { next() } else { b'a' + (at % 7) as u8 })
        .collect()
}
