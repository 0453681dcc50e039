//! The device under a model: asked after every call whether it still is what it was.
//!
//! Faults of a device show up late, at some later call. So every call's result is classified (`fault`), and
//! a context that may be poisoned is asked once more by waiting for all of its work.

#[cfg(feature = "cuda")]
mod cuda;
mod fake;
mod fault;

pub use fault::{DeviceFault, is_sticky, name_of};

use fault::Classifier;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which device a model runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// An NVIDIA device, by its number.
    Cuda(u32),
    /// A device for tests that fails as it is told; [`DeviceChoice::from_str`] says how.
    Fake(String),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Fake(faults) => write!(f, "fake:{faults}"),
        }
    }
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no device; devices are `cpu`, `cuda:NUMBER` and, for tests, `fake:FAULTS`")]
pub struct UnknownDevice(pub String);

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    /// `cpu`, `cuda:0` or `fake:` with faults between commas: `700@3` answers the third call of the process
    /// with 700 (and all later ones, where that is sticky), `hang@3`, `kill@3` and `exit@3` do what they say,
    /// at 0 while the device is opened, and `slow=20` makes every call take 20 ms.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownDevice(text.to_owned());
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            Some(("cuda", number)) => number.parse().map(Self::Cuda).map_err(|_| unknown()),
            Some(("fake", faults)) => {
                fake::parse(faults).ok_or_else(unknown)?;
                Ok(Self::Fake(faults.to_owned()))
            }
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = UnknownDevice;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

/// What a device answers to a call: nothing, or its own number of a fault.
pub type Answer = Result<(), u32>;

/// A device as the engine's calls see it.
pub trait Device {
    /// What the device calls itself.
    fn label(&self) -> String;

    /// Computes something tiny and checks the result.
    fn probe(&mut self) -> Answer;

    /// Tells how the call that was just made ended.
    fn after_call(&mut self) -> Answer;

    /// Waits for all work of the context.
    fn synchronize(&mut self) -> Answer;

    /// Lets go of everything in the context and builds it anew.
    fn rebuild(&mut self) -> Answer;
}

/// Why a device cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// This build cannot use such devices.
    #[error("{0} needs a build with the feature `{1}`")]
    NotBuilt(DeviceChoice, &'static str),
    /// The driver's library cannot be used.
    #[error("{0} cannot be used: {1}")]
    NoDriver(DeviceChoice, String),
    /// The device answered with a fault.
    #[error("{0} cannot be used: {1}")]
    Fault(DeviceChoice, DeviceFault),
    /// The faults of a fake device cannot be read.
    #[error(transparent)]
    Unknown(#[from] UnknownDevice),
}

/// A device whose every answer is classified.
pub struct Guard {
    device: Box<dyn Device>,
    classifier: Classifier,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("device", &self.device.label())
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// Opens a device and lets it compute something.
    ///
    /// # Errors
    /// Where this build or this machine has no such device, or it fails at once. Another device is never
    /// taken instead.
    pub fn open(choice: &DeviceChoice) -> Result<Self, OpenError> {
        let device: Box<dyn Device> = match choice {
            DeviceChoice::Cpu => Box::new(Cpu),
            DeviceChoice::Fake(faults) => {
                Box::new(fake::Fake::open(faults).ok_or_else(|| UnknownDevice(choice.to_string()))?)
            }
            #[cfg(feature = "cuda")]
            DeviceChoice::Cuda(number) => Box::new(cuda::Cuda::open(*number)?),
            #[cfg(not(feature = "cuda"))]
            DeviceChoice::Cuda(_) => return Err(OpenError::NotBuilt(choice.clone(), "cuda")),
        };
        let mut guard = Self {
            device,
            classifier: Classifier::default(),
        };
        guard
            .heartbeat()
            .map_err(|fault| OpenError::Fault(choice.clone(), fault))?;
        Ok(guard)
    }

    /// What the device calls itself.
    #[must_use]
    pub fn label(&self) -> String {
        self.device.label()
    }

    /// Computes something tiny on the device.
    ///
    /// # Errors
    /// The fault, and whether the context is poisoned.
    pub fn heartbeat(&mut self) -> Result<(), DeviceFault> {
        let answer = self.device.probe();
        self.classify(answer)
    }

    /// Says whether the device is still what it was, after a call.
    ///
    /// # Errors
    /// The fault, and whether the context is poisoned.
    pub fn check(&mut self) -> Result<(), DeviceFault> {
        let answer = self.device.after_call();
        self.classify(answer)
    }

    /// Builds the context anew after a fault that is not sticky.
    ///
    /// # Errors
    /// The fault, and whether the context is poisoned.
    pub fn rebuild(&mut self) -> Result<(), DeviceFault> {
        let answer = self.device.rebuild();
        self.classify(answer)?;
        self.heartbeat()
    }

    fn classify(&mut self, answer: Answer) -> Result<(), DeviceFault> {
        let Err(code) = answer else { return Ok(()) };
        let confirmed = self.device.synchronize();
        Err(self.classifier.fault(code, confirmed))
    }
}

/// The processor. It has no context that could be poisoned.
struct Cpu;

impl Device for Cpu {
    fn label(&self) -> String {
        "cpu".to_owned()
    }

    fn probe(&mut self) -> Answer {
        Ok(())
    }

    fn after_call(&mut self) -> Answer {
        Ok(())
    }

    fn synchronize(&mut self) -> Answer {
        Ok(())
    }

    fn rebuild(&mut self) -> Answer {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_and_nothing_else_is() {
        for text in ["cpu", "cuda:3", "fake:", "fake:700@3,slow=5"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["gpu", "cuda", "cuda:x", "fake", "fake:what", "cpu:1"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sticky_fault_poisons_for_ever_and_another_does_not() {
        let mut guard = Guard::open(&"fake:2@2,700@4".parse().unwrap()).unwrap();
        guard.check().unwrap();
        let fault = guard.check().unwrap_err();
        assert_eq!((fault.code, fault.sticky), (2, false));
        guard.rebuild().unwrap();
        guard.check().unwrap();
        for _ in 0..3 {
            let fault = guard.check().unwrap_err();
            assert_eq!((fault.code, fault.sticky), (700, true));
        }
        assert!(guard.heartbeat().unwrap_err().sticky);
        assert!(guard.rebuild().unwrap_err().sticky);
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_the_build_lacks_is_refused() {
        let error = Guard::open(&DeviceChoice::Cuda(0)).unwrap_err();
        assert!(matches!(error, OpenError::NotBuilt(..)), "{error}");
    }
}
