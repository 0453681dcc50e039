//! Which faults a context survives. The numbers are those of the CUDA driver's `CUresult`; NVIDIA's text for
//! the sticky ones says that the process must end.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The faults that are known: number, name, and whether the context is lost.
const FAULTS: &[(u32, &str, bool)] = &[
    (1, "CUDA_ERROR_INVALID_VALUE", false),
    (2, "CUDA_ERROR_OUT_OF_MEMORY", false),
    (3, "CUDA_ERROR_NOT_INITIALIZED", false),
    (100, "CUDA_ERROR_NO_DEVICE", false),
    (101, "CUDA_ERROR_INVALID_DEVICE", false),
    (214, "CUDA_ERROR_ECC_UNCORRECTABLE", true),
    (220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", true),
    (700, "CUDA_ERROR_ILLEGAL_ADDRESS", true),
    (701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", false),
    (702, "CUDA_ERROR_LAUNCH_TIMEOUT", true),
    (709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", true),
    (710, "CUDA_ERROR_ASSERT", true),
    (714, "CUDA_ERROR_HARDWARE_STACK_ERROR", true),
    (715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", true),
    (716, "CUDA_ERROR_MISALIGNED_ADDRESS", true),
    (717, "CUDA_ERROR_INVALID_ADDRESS_SPACE", true),
    (718, "CUDA_ERROR_INVALID_PC", true),
    (719, "CUDA_ERROR_LAUNCH_FAILED", true),
    (999, "CUDA_ERROR_UNKNOWN", false),
];

/// Our own number for a computation whose result is wrong although every call succeeded.
pub(super) const WRONG_RESULT: u32 = u32::MAX;

/// Whether a fault of this number is known to outlive every later call of the process.
#[must_use]
pub fn is_sticky(code: u32) -> bool {
    known(code).is_some_and(|(_, _, sticky)| sticky) || code == WRONG_RESULT
}

/// The device's own name of a fault.
#[must_use]
pub fn name_of(code: u32) -> String {
    match known(code) {
        Some((_, name, _)) => name.to_owned(),
        None if code == WRONG_RESULT => "WRONG_RESULT".to_owned(),
        None => format!("CUDA_ERROR_{code}"),
    }
}

fn known(code: u32) -> Option<(u32, &'static str, bool)> {
    FAULTS.iter().copied().find(|(number, ..)| *number == code)
}

/// A fault of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct DeviceFault {
    /// The device's own number.
    pub code: u32,
    /// The device's own name.
    pub name: String,
    /// Whether the context is poisoned.
    pub sticky: bool,
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, name, sticky } = self;
        let word = if *sticky { ", sticky" } else { "" };
        write!(f, "fault {code} ({name}{word})")
    }
}

/// Tells a poisoned context from one that can go on.
#[derive(Debug, Default)]
pub(super) struct Classifier {
    seen: BTreeSet<u32>,
    poisoned: Option<u32>,
}

impl Classifier {
    /// Judges a fault by its number and by what waiting for the context answered.
    ///
    /// A known sticky fault poisons. So does an unknown one that waiting repeats, or that was seen before:
    /// only a sticky fault comes back by itself. Running out of memory never poisons.
    pub(super) fn fault(&mut self, code: u32, confirmed: Result<(), u32>) -> DeviceFault {
        let code = match confirmed {
            Err(other) if is_sticky(other) => other,
            _ => code,
        };
        let is_unknown = known(code).is_none();
        let comes_back = confirmed == Err(code) || !self.seen.insert(code);
        if is_sticky(code) || is_unknown && comes_back {
            self.poisoned.get_or_insert(code);
        }
        let code = self.poisoned.unwrap_or(code);
        DeviceFault {
            code,
            name: name_of(code),
            sticky: self.poisoned.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_fault_is_judged_as_listed() {
        for code in [700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 214, 220] {
            assert!(
                Classifier::default().fault(code, Err(code)).sticky,
                "{code}"
            );
            assert!(Classifier::default().fault(code, Ok(())).sticky, "{code}");
        }
        for code in [2, 701, 1] {
            let mut classifier = Classifier::default();
            for _ in 0..3 {
                assert!(!classifier.fault(code, Ok(())).sticky, "{code}");
            }
        }
    }

    #[test]
    fn an_unknown_fault_poisons_where_it_comes_back() {
        let mut classifier = Classifier::default();
        assert!(!classifier.fault(4242, Ok(())).sticky);
        assert!(classifier.fault(4242, Ok(())).sticky);
        assert!(Classifier::default().fault(4242, Err(4242)).sticky);
    }

    #[test]
    fn a_sticky_fault_that_shows_up_while_waiting_is_the_one_told() {
        let fault = Classifier::default().fault(2, Err(716));
        assert_eq!((fault.code, fault.sticky), (716, true));
    }

    #[test]
    fn once_poisoned_everything_is() {
        let mut classifier = Classifier::default();
        classifier.fault(719, Err(719));
        assert_eq!(classifier.fault(2, Ok(())).code, 719);
    }
}
