//! The few questions to the system that tests answer wrongly on purpose: what they fail with cannot be
//! brought about from outside.

use crate::files::Stat;
use mainstay_tasks::Stream;
use std::fs::File;
use std::io::{self, Read};

/// Questions to the system.
pub trait Ports: Sync {
    /// Reads what a command wrote.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, stream: Stream, pipe: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
        let _every_stream_is_read_alike = stream;
        pipe.read(buffer)
    }

    /// Asks for the permissions of an output; the last nine bits.
    ///
    /// # Errors
    /// What the system says.
    fn mode(&self, file: &File) -> io::Result<u32> {
        Ok(Stat::of(&rustix::fs::fstat(file)?).mode)
    }
}

/// The system itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Ports for System {}
