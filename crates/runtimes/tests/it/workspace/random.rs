//! Random changes, the same for the same seed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn name(&mut self) -> OsString {
        let odd: [&[u8]; 12] = [
            b"a",
            b"b",
            b"c",
            b"d",
            b"-rf",
            b"new\nline",
            b"\xff\xfe",
            b"%41",
            b".h",
            b" ",
            "\u{e9}\u{1F600}".as_bytes(),
            &[b'x'; 255],
        ];
        OsStr::from_bytes(odd[self.below(odd.len())]).to_owned()
    }

    fn path(&mut self) -> PathBuf {
        let depth = [1, 1, 1, 2, 2, 3][self.below(6)];
        (0..depth).map(|_| self.name()).collect()
    }

    fn content(&mut self) -> Vec<u8> {
        let size = match self.below(12) {
            0 => 0,
            1 => 100_000,
            _ => 1 + self.below(40),
        };
        let byte = self.next().to_le_bytes()[0];
        vec![byte; size]
    }

    fn mode(&mut self) -> u32 {
        [0o644, 0o755, 0o600, 0o700, 0o000, 0o400, 0o555, 0o1777][self.below(8)]
    }
}

/// Makes `count` random changes in each of the folders, which must answer alike.
pub(super) fn change(seed: u64, count: usize, roots: &[PathBuf]) {
    let mut random = Random(seed);
    for at in 0..count {
        let start = random.0;
        let mut outcomes = roots.iter().map(|root| {
            random = Random(start);
            step(&mut random, root).map_err(|error| error.to_string())
        });
        let first = outcomes.next().unwrap();
        for other in outcomes {
            assert_eq!(first, other, "step {at} of seed {seed}");
        }
        random = Random(start);
        random.next();
    }
}

fn step(random: &mut Random, root: &Path) -> io::Result<()> {
    let what = random.below(32);
    let (path, other) = (root.join(random.path()), root.join(random.path()));
    let (content, mode, target) = (random.content(), random.mode(), random.name());
    let time = random.next();
    match what {
        0..=8 => put(&path, &content, time),
        9 | 10 => {
            let mut options = File::options();
            let mut file = options.append(true).custom_flags(0o4000).open(&path)?;
            file.write_all(&content)?;
            stamp(&file, time)
        }
        11..=14 => fs::create_dir_all(&path),
        15 => fs::create_dir(&path),
        16..=18 => fs::remove_file(&path),
        19 => fs::remove_dir_all(&path),
        20 => {
            // A folder made anew hides what it was.
            fs::remove_dir_all(&path)?;
            fs::create_dir(&path)
        }
        21 | 22 => move_to(&path, &other),
        23 => symlink(&target, &path),
        24 => symlink("/nowhere/at/all", &path),
        25 => fs::hard_link(&path, &other),
        26..=28 => fs::set_permissions(&path, Permissions::from_mode(mode)),
        29 => {
            let mode = rustix::fs::Mode::from_raw_mode(mode);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)?;
            Ok(())
        }
        30 => {
            remove(&path)?;
            put(&path, &content, time)
        }
        _ => {
            remove(&path)?;
            fs::create_dir_all(path.join(&target))
        }
    }
}

fn put(path: &Path, content: &[u8], time: u64) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    // A fifo without a reader refuses.
    let mut file = options.custom_flags(0o4000).open(path)?;
    file.write_all(content)?;
    stamp(&file, time)
}

/// A time that does not depend on when the test runs.
fn stamp(file: &File, time: u64) -> io::Result<()> {
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(time % (1 << 60)))
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// Moves as `mv` does between file systems where it is a folder: overlays refuse to rename those.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() || to.starts_with(from) {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    if !fs::symlink_metadata(from)?.is_dir() {
        return fs::rename(from, to);
    }
    copy(from, to)?;
    fs::remove_dir_all(from)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(from)?;
    if found.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if found.is_file() {
        fs::copy(from, to)?;
        return File::options()
            .read(true)
            .open(to)?
            .set_modified(found.modified()?);
    }
    if !found.is_dir() {
        return Ok(());
    }
    fs::create_dir(to)?;
    let mut names: Vec<_> = fs::read_dir(from)?
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    for name in names {
        copy(&from.join(&name), &to.join(&name))?;
    }
    fs::set_permissions(to, found.permissions())
}
