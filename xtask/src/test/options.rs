//! What `test` can be told.

use crate::place::Failure;

/// Schedules that the simulation runs where nothing else is asked for.
const SEEDS: u64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// Leave out what takes long: the end-to-end tests, the doc tests, the simulation.
    pub(crate) is_quick: bool,
    /// How many schedules the simulation runs.
    pub(crate) seeds: u64,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            is_quick: false,
            seeds: SEEDS,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => options.is_quick = true,
                "--seeds" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    let usage = || Failure::Usage("--seeds needs a number".to_owned());
                    options.seeds = number.ok_or_else(usage)?;
                }
                other => return Err(Failure::Usage(format!("`{other}`: --quick or --seeds N"))),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_others_refused() {
        let full = Options {
            is_quick: false,
            seeds: SEEDS,
        };
        assert_eq!(Options::parse(&[]).unwrap(), full);
        let some = Options {
            is_quick: true,
            seeds: 7,
        };
        assert_eq!(Options::parse(&["--seeds", "7", "--quick"]).unwrap(), some);
        for bad in [&["--seeds"][..], &["--seeds", "x"], &["--fast"]] {
            assert!(Options::parse(bad).is_err(), "{bad:?}");
        }
    }
}
