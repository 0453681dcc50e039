//! Matrices as the kernels want them: eight rows side by side, so that one vector register holds one number (or
//! four) of each of eight rows, and no sum ever crosses the register.
//!
//! In a block of 32 columns the numbers of a row come in groups of four, the unit that the processor's
//! byte-wise multiplication adds up.

use super::quant::{self, BLOCK, Eight, Four, Kind};
use half::f16;

/// Rows that lie side by side.
pub(super) const LANES: usize = 8;

/// A block of eight rows with four bits for each number. A byte holds group `2 j` in its low half and group
/// `2 j + 1` in its high half.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct FourBlock {
    pub(super) scales: [u16; LANES],
    pub(super) leasts: [u16; LANES],
    pub(super) groups: [[u8; BLOCK]; 4],
}

/// A block of eight rows with eight bits for each number.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct EightBlock {
    pub(super) scales: [u16; LANES],
    pub(super) groups: [[i8; BLOCK]; 8],
}

#[derive(Debug)]
pub(super) enum Blocks {
    Four(Vec<FourBlock>),
    Eight(Vec<EightBlock>),
}

#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    /// Blocks of a row.
    pub(super) width: usize,
    pub(super) blocks: Blocks,
}

impl Matrix {
    /// Packs rows of `columns` numbers, which is a multiple of [`BLOCK`], from a file's units of storage.
    pub(super) fn pack(kind: Kind, units: &[u8], rows: usize, columns: usize) -> Self {
        let (count, size) = kind.unit();
        let width = columns / BLOCK;
        let row_size = columns / count * size;
        let packs = rows.div_ceil(LANES);
        let blocks = if kind.is_four_bits() {
            let mut blocks = vec![FourBlock::EMPTY; packs * width];
            for (row, units) in units.chunks_exact(row_size).take(rows).enumerate() {
                for (column, four) in quant::fours(kind, units).enumerate() {
                    blocks[row / LANES * width + column].put(row % LANES, &four);
                }
            }
            Blocks::Four(blocks)
        } else {
            let mut blocks = vec![EightBlock::EMPTY; packs * width];
            for (row, units) in units.chunks_exact(row_size).take(rows).enumerate() {
                let numbers = quant::numbers(kind, units);
                let (chunks, _) = numbers.as_chunks::<BLOCK>();
                for (column, chunk) in chunks.iter().enumerate() {
                    let eight = Eight::round(chunk);
                    blocks[row / LANES * width + column].put(row % LANES, &eight);
                }
            }
            Blocks::Eight(blocks)
        };
        Self {
            rows,
            width,
            blocks,
        }
    }

    /// How many times eight rows there are, the last perhaps filled up.
    pub(super) const fn packs(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The numbers of a row.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let from = row / LANES * self.width;
        let lane = row % LANES;
        let (out, _) = out.as_chunks_mut::<BLOCK>();
        for (column, out) in out.iter_mut().enumerate().take(self.width) {
            *out = match &self.blocks {
                Blocks::Four(blocks) => blocks[from + column].numbers(lane),
                Blocks::Eight(blocks) => blocks[from + column].numbers(lane),
            };
        }
    }

    /// The memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        match &self.blocks {
            Blocks::Four(blocks) => size_of_val(blocks.as_slice()),
            Blocks::Eight(blocks) => size_of_val(blocks.as_slice()),
        }
    }
}

fn half_of(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

impl FourBlock {
    const EMPTY: Self = Self {
        scales: [0; LANES],
        leasts: [0; LANES],
        groups: [[0; BLOCK]; 4],
    };

    fn put(&mut self, lane: usize, four: &Four) {
        self.scales[lane] = f16::from_f32(four.scale).to_bits();
        self.leasts[lane] = f16::from_f32(four.least).to_bits();
        for (index, level) in four.levels.iter().enumerate() {
            let (group, within) = (index / 4, index % 4);
            let byte = &mut self.groups[group / 2][lane * 4 + within];
            *byte |= level << (group % 2 * 4);
        }
    }

    fn numbers(&self, lane: usize) -> [f32; BLOCK] {
        let (scale, least) = (half_of(self.scales[lane]), half_of(self.leasts[lane]));
        std::array::from_fn(|index| {
            let (group, within) = (index / 4, index % 4);
            let byte = self.groups[group / 2][lane * 4 + within];
            scale * f32::from(byte >> (group % 2 * 4) & 15) + least
        })
    }
}

impl EightBlock {
    const EMPTY: Self = Self {
        scales: [0; LANES],
        groups: [[0; BLOCK]; 8],
    };

    fn put(&mut self, lane: usize, eight: &Eight) {
        self.scales[lane] = f16::from_f32(eight.scale).to_bits();
        for (index, level) in eight.levels.iter().enumerate() {
            self.groups[index / 4][lane * 4 + index % 4] = *level;
        }
    }

    fn numbers(&self, lane: usize) -> [f32; BLOCK] {
        let scale = half_of(self.scales[lane]);
        std::array::from_fn(|index| scale * f32::from(self.groups[index / 4][lane * 4 + index % 4]))
    }
}

/// Rows of numbers rounded to eight bits, as the other side of a multiplication.
#[derive(Debug, Default)]
pub(super) struct Rounded {
    /// Blocks of a row.
    pub(super) width: usize,
    pub(super) levels: Vec<[i8; BLOCK]>,
    pub(super) scales: Vec<f32>,
    /// The sums of blocks, which smallest values are multiplied with.
    pub(super) sums: Vec<f32>,
}
