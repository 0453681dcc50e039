//! A device that fails as it is told, for tests of everything above it.

use super::fault::is_sticky;
use super::{Answer, Device};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code(u32),
    Hang,
    Kill,
    Exit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    kind: Kind,
    call: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    slow: Duration,
}

/// Reads faults; none where they cannot be read.
pub(super) fn parse(text: &str) -> Option<Faults> {
    let mut read = Faults::default();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        if let Some(milliseconds) = word.strip_prefix("slow=") {
            read.slow = Duration::from_millis(milliseconds.parse().ok()?);
            continue;
        }
        let (kind, call) = word.split_once('@')?;
        let kind = match kind {
            "hang" => Kind::Hang,
            "kill" => Kind::Kill,
            "exit" => Kind::Exit,
            code => Kind::Code(code.parse().ok()?),
        };
        let call = call.parse().ok()?;
        read.faults.push(Fault { kind, call });
    }
    Some(read)
}

pub(super) struct Fake {
    faults: Faults,
    calls: u64,
    poisoned: Option<u32>,
}

impl Fake {
    pub(super) fn open(faults: &str) -> Option<Self> {
        let mut fake = Self {
            faults: parse(faults)?,
            calls: 0,
            poisoned: None,
        };
        // A fault of call 0 is met by the first probe.
        let _met = fake.meet();
        Some(fake)
    }

    fn meet(&mut self) -> Answer {
        if let Some(code) = self.poisoned {
            return Err(code);
        }
        let due = self.faults.faults.iter().find(|f| f.call == self.calls);
        match due.map(|fault| fault.kind) {
            None => Ok(()),
            Some(Kind::Code(code)) => {
                self.poisoned = is_sticky(code).then_some(code);
                Err(code)
            }
            Some(Kind::Hang) => loop {
                std::thread::park();
            },
            Some(Kind::Kill) => {
                let own = rustix::process::getpid();
                let _dead = rustix::process::kill_process(own, rustix::process::Signal::KILL);
                Ok(())
            }
            Some(Kind::Exit) => std::process::exit(3),
        }
    }
}

impl Device for Fake {
    fn label(&self) -> String {
        "fake".to_owned()
    }

    fn probe(&mut self) -> Answer {
        self.poisoned.map_or(Ok(()), Err)
    }

    fn after_call(&mut self) -> Answer {
        std::thread::sleep(self.faults.slow);
        self.calls += 1;
        self.meet()
    }

    fn synchronize(&mut self) -> Answer {
        self.probe()
    }

    fn rebuild(&mut self) -> Answer {
        self.probe()
    }
}
