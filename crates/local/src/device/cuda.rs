//! NVIDIA devices, through the driver's library. It is loaded when a device is opened; building needs nothing of it.

use super::fault::{DeviceFault, WRONG_RESULT, name_of};
use super::{Answer, Device, DeviceChoice, OpenError};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DriverError};
use std::sync::Arc;

/// How many numbers the tiny computation moves.
const PULSE: usize = 64;

/// A context of a device, with two small pieces of its memory.
struct Context {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    from: CudaSlice<u32>,
    to: CudaSlice<u32>,
}

pub(super) struct Cuda {
    number: u32,
    name: String,
    context: Option<Context>,
    pulses: u32,
}

impl Cuda {
    pub(super) fn open(number: u32) -> Result<Self, OpenError> {
        let choice = DeviceChoice::Cuda(number);
        // Where there is no library, the binding panics, at its first call and only there. That is told as an
        // error, and not by the panic's own words as well.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let opened = std::panic::catch_unwind(|| Context::open(number));
        std::panic::set_hook(hook);
        let opened = opened.map_err(|_panic| {
            let why = "the driver's library `libcuda.so` was not found, or is too old";
            OpenError::NoDriver(choice.clone(), why.to_owned())
        })?;
        let fault = |error: DriverError| {
            let (code, sticky) = (number_of(error), false);
            let name = name_of(code);
            OpenError::Fault(choice.clone(), DeviceFault { code, name, sticky })
        };
        let context = opened.map_err(fault)?;
        let name = context.context.name().map_err(fault)?;
        Ok(Self {
            number,
            name,
            context: Some(context),
            pulses: 0,
        })
    }

    fn with(
        &mut self,
        call: impl FnOnce(&mut Context, u32) -> Result<bool, DriverError>,
    ) -> Answer {
        self.pulses = self.pulses.wrapping_add(1);
        let Some(context) = &mut self.context else {
            // A context that could not be built anew is as good as destroyed.
            return Err(709);
        };
        match call(context, self.pulses) {
            Ok(true) => Ok(()),
            Ok(false) => Err(WRONG_RESULT),
            Err(error) => Err(number_of(error)),
        }
    }
}

impl Context {
    fn open(number: u32) -> Result<Self, DriverError> {
        let context = CudaContext::new(usize::try_from(number).unwrap_or(usize::MAX))?;
        let stream = context.default_stream();
        let from = stream.alloc_zeros(PULSE)?;
        let to = stream.alloc_zeros(PULSE)?;
        stream.synchronize()?;
        Ok(Self {
            context,
            stream,
            from,
            to,
        })
    }

    /// Moves numbers to the device, across it and back, and says whether they are the same.
    fn pulse(&mut self, pulse: u32) -> Result<bool, DriverError> {
        let sent: [u32; PULSE] = std::array::from_fn(|index| {
            pulse.wrapping_mul(0x9e37_79b9) ^ u32::try_from(index).unwrap_or(0)
        });
        let mut returned = [0; PULSE];
        self.stream.memcpy_htod(&sent, &mut self.from)?;
        self.stream.memcpy_dtod(&self.from, &mut self.to)?;
        self.stream.memcpy_dtoh(&self.to, &mut returned)?;
        self.stream.synchronize()?;
        Ok(sent == returned)
    }
}

impl Device for Cuda {
    fn label(&self) -> String {
        format!("cuda:{} ({})", self.number, self.name)
    }

    fn probe(&mut self) -> Answer {
        self.with(Context::pulse)
    }

    fn after_call(&mut self) -> Answer {
        self.synchronize()
    }

    fn synchronize(&mut self) -> Answer {
        self.with(|context, _| context.context.synchronize().map(|()| true))
    }

    fn rebuild(&mut self) -> Answer {
        self.context = None;
        let context = Context::open(self.number).map_err(number_of)?;
        self.context = Some(context);
        Ok(())
    }
}

/// The driver's own number of a fault.
const fn number_of(error: DriverError) -> u32 {
    error.0 as u32
}
