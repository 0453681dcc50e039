//! The ways in which GGUF files store numbers, and how they are read.
//!
//! Whatever the file holds becomes one of two kinds that the kernels know, in blocks of 32 numbers: four bits
//! with a scale and a smallest value, or eight bits with a scale. Four-bit kinds keep their numbers exactly (up
//! to the rounding of a scale to half precision); everything else becomes eight bits, which loses less than a
//! hundredth of what the coarsest of them had lost already.

use half::{bf16, f16};

/// Numbers in a block.
pub(super) const BLOCK: usize = 32;

/// A way of storing numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Kind {
    /// The kind of this number in the format.
    pub(super) const fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// How many numbers one unit of storage holds, and in how many bytes.
    pub(super) const fn unit(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    /// Whether its numbers have four bits.
    pub(super) const fn is_four_bits(self) -> bool {
        matches!(self, Self::Q4_0 | Self::Q4_1 | Self::Q4K)
    }
}

/// 32 numbers of four bits: `scale × level + least`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Four {
    pub(super) scale: f32,
    pub(super) least: f32,
    pub(super) levels: [u8; BLOCK],
}

/// 32 numbers of eight bits: `scale × level`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Eight {
    pub(super) scale: f32,
    pub(super) levels: [i8; BLOCK],
}

impl Eight {
    /// Rounds numbers to eight bits.
    pub(super) fn round(numbers: &[f32; BLOCK]) -> Self {
        let largest = numbers.iter().fold(0.0_f32, |most, n| most.max(n.abs()));
        let scale = f16::from_f32(largest / 127.0).to_f32();
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the number is between -127 and 127"
        )]
        let levels = numbers.map(|n| (n * inverse).round().clamp(-127.0, 127.0) as i8);
        Self { scale, levels }
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// The blocks of four bits in units of storage.
pub(super) fn fours(kind: Kind, units: &[u8]) -> impl Iterator<Item = Four> {
    let (_, size) = kind.unit();
    units.chunks_exact(size).flat_map(move |unit| match kind {
        Kind::Q4_0 => {
            let scale = half_at(unit, 0);
            let levels = nibbles(&unit[2..18]);
            let least = -8.0 * scale;
            vec![Four {
                scale,
                least,
                levels,
            }]
        }
        Kind::Q4_1 => vec![Four {
            scale: half_at(unit, 0),
            least: half_at(unit, 2),
            levels: nibbles(&unit[4..20]),
        }],
        Kind::Q4K => (0..8).map(|part| four_of_q4k(unit, part)).collect(),
        _ => Vec::new(),
    })
}

/// 16 bytes hold the first 16 numbers in their low halves and the others in their high halves.
fn nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    let mut levels = [0; BLOCK];
    for (index, byte) in bytes.iter().enumerate() {
        levels[index] = byte & 15;
        levels[index + 16] = byte >> 4;
    }
    levels
}

/// The scale and the smallest value of a part of a unit with six bits for each.
fn scale_and_least(packed: &[u8], part: usize) -> (f32, f32) {
    let (scale, least) = if part < 4 {
        (packed[part] & 63, packed[part + 4] & 63)
    } else {
        (
            packed[part + 4] & 15 | packed[part - 4] >> 6 << 4,
            packed[part + 4] >> 4 | packed[part] >> 6 << 4,
        )
    };
    (f32::from(scale), f32::from(least))
}

fn four_of_q4k(unit: &[u8], part: usize) -> Four {
    let (scale, least) = scale_and_least(&unit[4..16], part);
    let bytes = &unit[16 + part / 2 * 32..][..32];
    let mut levels = [0; BLOCK];
    for (level, byte) in levels.iter_mut().zip(bytes) {
        *level = byte >> (part % 2 * 4) & 15;
    }
    Four {
        scale: half_at(unit, 0) * scale,
        least: -half_at(unit, 2) * least,
        levels,
    }
}

/// All numbers of units of storage.
pub(super) fn numbers(kind: Kind, units: &[u8]) -> Vec<f32> {
    let (count, size) = kind.unit();
    let mut numbers = Vec::with_capacity(units.len() / size * count);
    if kind.is_four_bits() {
        for four in fours(kind, units) {
            numbers.extend(four.levels.map(|n| four.scale * f32::from(n) + four.least));
        }
        return numbers;
    }
    for unit in units.chunks_exact(size) {
        match kind {
            Kind::F32 => numbers.push(f32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])),
            Kind::F16 => numbers.push(half_at(unit, 0)),
            Kind::Bf16 => numbers.push(bf16::from_le_bytes([unit[0], unit[1]]).to_f32()),
            Kind::Q8_0 => {
                let scale = half_at(unit, 0);
                numbers.extend(unit[2..].iter().map(|n| scale * f32::from(n.cast_signed())));
            }
            Kind::Q5_0 => {
                let scale = half_at(unit, 0);
                let levels = five(&unit[2..6], &unit[6..22]);
                numbers.extend(levels.map(|n| scale * (f32::from(n) - 16.0)));
            }
            Kind::Q5_1 => {
                let (scale, least) = (half_at(unit, 0), half_at(unit, 2));
                let levels = five(&unit[4..8], &unit[8..24]);
                numbers.extend(levels.map(|n| scale * f32::from(n) + least));
            }
            Kind::Q5K => numbers_of_q5k(unit, &mut numbers),
            Kind::Q6K => numbers_of_q6k(unit, &mut numbers),
            Kind::Q4_0 | Kind::Q4_1 | Kind::Q4K => {}
        }
    }
    numbers
}

/// Nibbles whose fifth bits lie apart.
fn five(high: &[u8], low: &[u8]) -> [u8; BLOCK] {
    let mut levels = nibbles(low);
    for (index, level) in levels.iter_mut().enumerate() {
        *level |= (high[index / 8] >> (index % 8) & 1) << 4;
    }
    levels
}

fn numbers_of_q5k(unit: &[u8], numbers: &mut Vec<f32>) {
    let (all, least_of_all) = (half_at(unit, 0), half_at(unit, 2));
    let (high, low) = (&unit[16..48], &unit[48..176]);
    for part in 0..8 {
        let (scale, least) = scale_and_least(&unit[4..16], part);
        for index in 0..32 {
            let level = low[part / 2 * 32 + index] >> (part % 2 * 4) & 15;
            let level = level | (high[index] >> part & 1) << 4;
            numbers.push(all * scale * f32::from(level) - least_of_all * least);
        }
    }
}

fn numbers_of_q6k(unit: &[u8], numbers: &mut Vec<f32>) {
    let (low, high, scales) = (&unit[..128], &unit[128..192], &unit[192..208]);
    let all = half_at(unit, 208);
    for index in 0..256 {
        let (half, within) = (index / 128, index % 128);
        let (quarter, column) = (within / 32, within % 32);
        let bits = low[half * 64 + within % 64] >> (quarter / 2 * 4) & 15;
        let more = high[half * 32 + column] >> (quarter * 2) & 3;
        let level = f32::from(bits | more << 4) - 32.0;
        let scale = f32::from(scales[half * 8 + within / 16].cast_signed());
        numbers.push(all * scale * level);
    }
}
