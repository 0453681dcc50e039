//! Disks that are full, broken or read-only. Nothing that was acknowledged is lost, nothing of a failed
//! batch is visible, and the journal goes on when the cause is gone.

use crate::filter::{fail_syncs, fail_writes_from};
use crate::store::{child_folder, noise, open, params, run, run_child, write};
use mainstay_contract::Seq;
use mainstay_sessions::{Blob, Journal, StoreError, digest};
use mainstay_storage::SqliteJournal;
use mainstay_testkit::journal_steps::Steps;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use std::path::{Path, PathBuf};

/// A small file system of its own; `None` where this user may not mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(folder: &Path) -> Option<Self> {
        let at = folder.join("disk");
        std::fs::create_dir(&at).unwrap();
        match mount(
            "tmpfs",
            &at,
            "tmpfs",
            MountFlags::empty(),
            c"size=3m,mode=700",
        ) {
            Ok(()) => Some(Self(at)),
            Err(error) => {
                println!("skipped: no small file system can be mounted here: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// Whether a session is exactly what its acknowledged batches made it.
fn assert_holds(journal: &SqliteJournal, steps: &Steps, batches: u64) {
    let row = journal.session(steps.session()).unwrap();
    let last = row.map_or(Seq(0), |row| row.last_seq);
    assert_eq!(last, Seq(2 * batches));
    let records = journal.records(steps.session(), Seq(0), usize::MAX);
    assert_eq!(records.unwrap().len() as u64, 2 * batches);
}

#[test]
fn a_full_disk_is_told_and_overcome() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new(folder.path()) else {
        return;
    };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let journal = open(&disk.0);
    let mut steps = Steps::new("s");
    let mut batches = 0;
    let (failed, error) = loop {
        let next = {
            let mut ahead = steps.clone();
            (ahead.step_with(&noise(batches, 40_000)), ahead)
        };
        match run(journal.append(next.0.clone())) {
            Ok(()) => (batches, steps) = (batches + 1, next.1),
            Err(error) => break (next.0, error),
        }
        assert!(batches < 1000, "the disk never fills");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert_holds(&journal, &steps, batches);
    // A large blob has no room either, and leaves nothing behind.
    let mut large = Steps::new("large");
    let error = run(journal.append(large.step_with(&noise(1, 2 << 20)))).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    let incoming = std::fs::read_dir(disk.0.join("blobs/incoming")).unwrap();
    assert_eq!(incoming.count(), 0);
    assert_eq!(journal.session(large.session()).unwrap(), None);

    std::fs::remove_file(&ballast).unwrap();
    run(journal.append(failed)).unwrap();
    steps.step();
    assert_holds(&journal, &steps, batches + 1);
    write(&journal, &mut steps, 3);
    drop(journal);
    let journal = open(&disk.0);
    assert_holds(&journal, &steps, batches + 4);
    assert_eq!(journal.verify().unwrap().findings, []);
}

#[test]
fn a_batch_too_large_for_the_disk_takes_no_neighbour_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new(folder.path()) else {
        return;
    };
    let journal = open(&disk.0);
    let mut sessions: Vec<Steps> = (0..8).map(|n| Steps::new(&format!("s{n}"))).collect();
    // The first keeps the thread busy, so that the others share a commit.
    let mut sent = vec![journal.append(sessions[0].step_with(&noise(7, 60_000)))];
    for steps in &mut sessions[1..4] {
        sent.push(journal.append(steps.step()));
    }
    let mut large = sessions[4].step();
    let blobs = (100..170).map(|seed| Blob::bytes(noise(seed, 60_000)));
    large.blobs.extend(blobs);
    let large_name = large.blobs[5].digest;
    let refused = journal.append(large);
    for steps in &mut sessions[5..] {
        sent.push(journal.append(steps.step()));
    }
    run(async {
        for answer in sent {
            answer.await.unwrap();
        }
        let error = refused.await.unwrap_err();
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    });
    assert_eq!(journal.blob(&large_name).unwrap(), None);
    for (number, steps) in sessions.iter().enumerate() {
        assert_holds(&journal, steps, u64::from(number != 4));
    }
    assert_eq!(journal.verify().unwrap().findings, []);
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |folder: &Path| {
        let error = SqliteJournal::open(params(folder)).err().unwrap();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    };
    if rustix::process::geteuid().is_root() {
        // Permissions do not stop root; a mount does.
        let Some(disk) = SmallDisk::new(folder.path()) else {
            return;
        };
        let mut steps = Steps::new("s");
        write(&open(&disk.0), &mut steps, 2);
        mount_remount(&disk.0, MountFlags::RDONLY, c"").unwrap();
        refused(&disk.0);
        mount_remount(&disk.0, MountFlags::empty(), c"").unwrap();
        assert_holds(&open(&disk.0), &steps, 2);
    } else {
        use std::os::unix::fs::PermissionsExt;
        let mode = |mode| {
            let wanted = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path(), wanted).unwrap();
        };
        mode(0o500);
        refused(folder.path());
        mode(0o700);
        drop(open(folder.path()));
    }
}

/// In a child: writes fail beyond a place in the log, until the log begins anew.
fn writes_fail(folder: &Path, errno: i32, is_expected: fn(&StoreError) -> bool) {
    let journal = open(folder);
    let mut steps = Steps::new("s");
    let log = std::fs::metadata(folder.join("journal.db-wal"));
    let mut batches = 0;
    let mut length = log.unwrap().len();
    while length < 600_000 {
        write(&journal, &mut steps, 1);
        batches += 1;
        length = std::fs::metadata(folder.join("journal.db-wal"))
            .unwrap()
            .len();
    }
    let database = std::fs::metadata(folder.join("journal.db")).unwrap().len();
    assert!(
        database < length,
        "the filter would catch the database: {database}"
    );
    fail_writes_from(length + 9000, errno);
    let mut ahead = steps.clone();
    for _ in 0..3 {
        ahead = steps.clone();
        let error = run(journal.append(ahead.step_with(&noise(5, 50_000)))).unwrap_err();
        assert!(is_expected(&error), "{error:?}");
        assert_holds(&journal, &steps, batches);
        assert_eq!(journal.blob(&digest(&noise(5, 50_000))).unwrap(), None);
    }
    journal.close().unwrap();
    let again = steps.step_with(&noise(5, 50_000));
    run(journal.append(again)).unwrap();
    assert_holds(&journal, &ahead, batches + 1);
    assert_eq!(journal.verify().unwrap().findings, []);
}

#[test]
fn a_broken_disk_is_told_and_overcome() {
    if let Some(folder) = child_folder() {
        let is_io = |error: &StoreError| matches!(error, StoreError::Io { .. });
        return writes_fail(&folder, libc::EIO, is_io);
    }
    let folder = tempfile::tempdir().unwrap();
    run_child("faults::a_broken_disk_is_told_and_overcome", folder.path());
    let journal = open(folder.path());
    assert_eq!(journal.verify().unwrap().findings, []);
    assert!(journal.stats().unwrap().records > 10);
}

#[test]
fn every_way_to_say_full_is_full() {
    if let Some(folder) = child_folder() {
        let errno = folder.file_name().unwrap().to_str().unwrap();
        let is_full = |error: &StoreError| matches!(error, StoreError::DiskFull { .. });
        return writes_fail(&folder, errno.parse().unwrap(), is_full);
    }
    for errno in [libc::ENOSPC, libc::EDQUOT, libc::EFBIG] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join(errno.to_string());
        std::fs::create_dir(&folder).unwrap();
        run_child("faults::every_way_to_say_full_is_full", &folder);
    }
}

#[test]
fn a_sync_that_fails_acknowledges_nothing() {
    if let Some(folder) = child_folder() {
        let journal = open(&folder);
        let mut steps = Steps::new("s");
        write(&journal, &mut steps, 5);
        fail_syncs(libc::EIO);
        for _ in 0..3 {
            let error = run(journal.append(steps.clone().step())).unwrap_err();
            assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
            assert_holds(&journal, &steps, 5);
        }
        let error = run(journal.append(steps.clone().step_with(&noise(1, 100_000))));
        assert!(matches!(error, Err(StoreError::Io { .. })), "{error:?}");
        assert_holds(&journal, &steps, 5);
        // As a kill would: nothing is put in order.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::store::child(
        "faults::a_sync_that_fails_acknowledges_nothing",
        folder.path(),
    );
    let output = command.output().unwrap();
    use std::os::unix::process::ExitStatusExt;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.signal(), Some(9), "{text}");
    // What was acknowledged is there; the unacknowledged batch is there entirely or not at all.
    let journal = open(folder.path());
    let steps = Steps::new("s");
    let row = journal.session(steps.session()).unwrap().unwrap();
    assert!([10, 12].contains(&row.last_seq.0), "{row:?}");
    assert_eq!(journal.verify().unwrap().findings, []);
}
