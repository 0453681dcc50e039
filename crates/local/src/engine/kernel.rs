//! The inner loops. Which instructions they use is found out when the program runs, so that one binary is fast
//! everywhere: AVX2 where it is there, and plain Rust elsewhere, which computes the same.

use super::matrix::{Blocks, EightBlock, FourBlock, LANES, Matrix, Rounded};
use super::quant::BLOCK;
use half::f16;
use std::ops::Range;

/// How many rows of the other side are multiplied at once.
const ABREAST: usize = 4;

/// The instructions of this processor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    Plain,
}

impl Instructions {
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V3::try_new() {
            return Self::Avx2(simd);
        }
        Self::Plain
    }

    /// Runs a loop with these instructions at hand.
    #[inline(always)]
    pub(super) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.vectorize(Work(work)),
            Self::Plain => work(),
        }
    }
}

struct Work<F>(F);

impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Work<F> {
    type Output = R;

    #[inline(always)]
    fn call(self) -> R {
        (self.0)()
    }
}

/// Multiplies packs of eight rows with every row of the other side. `sink` takes the pack, the other side's row,
/// and the eight products.
#[inline(always)]
pub(super) fn multiply(
    instructions: Instructions,
    matrix: &Matrix,
    packs: Range<usize>,
    others: &Rounded,
    mut sink: impl FnMut(usize, usize, [f32; LANES]),
) {
    instructions.run(
        #[inline(always)]
        || {
            let rows = others.scales.len() / others.width.max(1);
            for pack in packs {
                let mut row = 0;
                while row + ABREAST <= rows {
                    let products = eight_rows::<ABREAST>(instructions, matrix, pack, others, row);
                    for (offset, product) in products.into_iter().enumerate() {
                        sink(pack, row + offset, product);
                    }
                    row += ABREAST;
                }
                while row < rows {
                    let [product] = eight_rows::<1>(instructions, matrix, pack, others, row);
                    sink(pack, row, product);
                    row += 1;
                }
            }
        },
    );
}

#[inline(always)]
fn eight_rows<const N: usize>(
    instructions: Instructions,
    matrix: &Matrix,
    pack: usize,
    others: &Rounded,
    row: usize,
) -> [[f32; LANES]; N] {
    let width = matrix.width;
    let columns = pack * width..(pack + 1) * width;
    let sides: [Side<'_>; N] = std::array::from_fn(
        #[inline(always)]
        |offset| {
            let from = (row + offset) * width;
            Side {
                levels: &others.levels[from..from + width],
                scales: &others.scales[from..from + width],
                sums: &others.sums[from..from + width],
            }
        },
    );
    match (instructions, &matrix.blocks) {
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2(simd), Blocks::Four(blocks)) => {
            avx2::fours(simd, &blocks[columns], &sides)
        }
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2(simd), Blocks::Eight(blocks)) => {
            avx2::eights(simd, &blocks[columns], &sides)
        }
        (Instructions::Plain, Blocks::Four(blocks)) => plain::fours(&blocks[columns], &sides),
        (Instructions::Plain, Blocks::Eight(blocks)) => plain::eights(&blocks[columns], &sides),
    }
}

/// A row of the other side.
#[derive(Clone, Copy)]
struct Side<'a> {
    levels: &'a [[i8; BLOCK]],
    scales: &'a [f32],
    sums: &'a [f32],
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{EightBlock, FourBlock, LANES, Side};
    use pulp::cast;
    use pulp::x86::V3;
    use std::arch::x86_64::{__m256, __m256i};

    /// Half precision to single, eight at once, with integer instructions: shifted into place, the exponent is
    /// off by a constant factor.
    #[inline(always)]
    fn halves(simd: V3, bits: [u16; LANES]) -> __m256 {
        let wide = simd.avx2._mm256_cvtepi16_epi32(cast(bits));
        let placed = simd.avx2._mm256_slli_epi32::<13>(wide);
        let mask = simd.avx._mm256_set1_epi32(0x8fff_e000_u32.cast_signed());
        let placed = simd.avx2._mm256_and_si256(placed, mask);
        let factor = simd.avx._mm256_set1_ps(f32::from_bits(0x7780_0000));
        simd.avx._mm256_mul_ps(cast(placed), factor)
    }

    /// The four numbers of a group, for every lane.
    #[inline(always)]
    fn group(simd: V3, levels: &[i8; 32], group: usize) -> __m256i {
        let at = group * 4;
        let four = [levels[at], levels[at + 1], levels[at + 2], levels[at + 3]];
        simd.avx._mm256_set1_epi32(cast(four))
    }

    #[inline(always)]
    pub(super) fn fours<const N: usize>(
        simd: V3,
        blocks: &[FourBlock],
        sides: &[Side<'_>; N],
    ) -> [[f32; LANES]; N] {
        let (avx, avx2, fma) = (simd.avx, simd.avx2, simd.fma);
        let low = avx._mm256_set1_epi8(15);
        let ones = avx._mm256_set1_epi16(1);
        let mut totals = [avx._mm256_setzero_ps(); N];
        for (column, block) in blocks.iter().enumerate() {
            // At most 8 × 2 × 15 × 127, which 16 bits hold.
            let mut sums = [avx._mm256_setzero_si256(); N];
            for (index, pair) in block.groups.iter().enumerate() {
                let bytes: __m256i = cast(*pair);
                let even = avx2._mm256_and_si256(bytes, low);
                let odd = avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(bytes), low);
                for (sum, side) in sums.iter_mut().zip(sides) {
                    let levels = &side.levels[column];
                    let first = avx2._mm256_maddubs_epi16(even, group(simd, levels, index * 2));
                    let second = avx2._mm256_maddubs_epi16(odd, group(simd, levels, index * 2 + 1));
                    let both = avx2._mm256_add_epi16(first, second);
                    *sum = avx2._mm256_add_epi16(*sum, both);
                }
            }
            let scales = halves(simd, block.scales);
            let leasts = halves(simd, block.leasts);
            for ((total, sum), side) in totals.iter_mut().zip(sums).zip(sides) {
                let exact = avx._mm256_cvtepi32_ps(avx2._mm256_madd_epi16(sum, ones));
                let scale = avx._mm256_mul_ps(scales, avx._mm256_set1_ps(side.scales[column]));
                *total = fma._mm256_fmadd_ps(exact, scale, *total);
                let offset = avx._mm256_set1_ps(side.sums[column]);
                *total = fma._mm256_fmadd_ps(leasts, offset, *total);
            }
        }
        totals.map(cast)
    }

    #[inline(always)]
    pub(super) fn eights<const N: usize>(
        simd: V3,
        blocks: &[EightBlock],
        sides: &[Side<'_>; N],
    ) -> [[f32; LANES]; N] {
        let (avx, avx2, fma) = (simd.avx, simd.avx2, simd.fma);
        let ones = avx._mm256_set1_epi16(1);
        let mut totals = [avx._mm256_setzero_ps(); N];
        for (column, block) in blocks.iter().enumerate() {
            let mut sums = [avx._mm256_setzero_si256(); N];
            for (index, levels) in block.groups.iter().enumerate() {
                let bytes: __m256i = cast(*levels);
                let sizes = avx2._mm256_abs_epi8(bytes);
                for (sum, side) in sums.iter_mut().zip(sides) {
                    let other = group(simd, &side.levels[column], index);
                    let other = avx2._mm256_sign_epi8(other, bytes);
                    let pairs = avx2._mm256_maddubs_epi16(sizes, other);
                    *sum = avx2._mm256_add_epi32(*sum, avx2._mm256_madd_epi16(pairs, ones));
                }
            }
            let scales = halves(simd, block.scales);
            for ((total, sum), side) in totals.iter_mut().zip(sums).zip(sides) {
                let exact = avx._mm256_cvtepi32_ps(sum);
                let scale = avx._mm256_mul_ps(scales, avx._mm256_set1_ps(side.scales[column]));
                *total = fma._mm256_fmadd_ps(exact, scale, *total);
            }
        }
        totals.map(cast)
    }
}

mod plain {
    use super::{BLOCK, EightBlock, FourBlock, LANES, Side, f16};

    #[inline(always)]
    pub(super) fn fours<const N: usize>(
        blocks: &[FourBlock],
        sides: &[Side<'_>; N],
    ) -> [[f32; LANES]; N] {
        let mut totals = [[0.0; LANES]; N];
        for (column, block) in blocks.iter().enumerate() {
            for (totals, side) in totals.iter_mut().zip(sides) {
                for (lane, total) in totals.iter_mut().enumerate() {
                    let mut sum = 0_i32;
                    for index in 0..BLOCK {
                        let byte = block.groups[index / 8][lane * 4 + index % 4];
                        let level = byte >> (index / 4 % 2 * 4) & 15;
                        sum += i32::from(level) * i32::from(side.levels[column][index]);
                    }
                    *total += exact(sum) * half(block.scales[lane]) * side.scales[column];
                    *total += half(block.leasts[lane]) * side.sums[column];
                }
            }
        }
        totals
    }

    #[inline(always)]
    pub(super) fn eights<const N: usize>(
        blocks: &[EightBlock],
        sides: &[Side<'_>; N],
    ) -> [[f32; LANES]; N] {
        let mut totals = [[0.0; LANES]; N];
        for (column, block) in blocks.iter().enumerate() {
            for (totals, side) in totals.iter_mut().zip(sides) {
                for (lane, total) in totals.iter_mut().enumerate() {
                    let mut sum = 0_i32;
                    for index in 0..BLOCK {
                        let level = block.groups[index / 4][lane * 4 + index % 4];
                        sum += i32::from(level) * i32::from(side.levels[column][index]);
                    }
                    *total += exact(sum) * half(block.scales[lane]) * side.scales[column];
                }
            }
        }
        totals
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of blocks have 24 bits at most"
    )]
    fn exact(sum: i32) -> f32 {
        sum as f32
    }

    fn half(bits: u16) -> f32 {
        f16::from_bits(bits).to_f32()
    }
}

/// Rounds rows of numbers to eight bits, in blocks.
#[inline(always)]
pub(super) fn round(
    instructions: Instructions,
    numbers: &[f32],
    columns: usize,
    out: &mut Rounded,
) {
    out.width = columns / BLOCK;
    out.levels.clear();
    out.scales.clear();
    out.sums.clear();
    let (blocks, _) = numbers.as_chunks::<BLOCK>();
    instructions.run(
        #[inline(always)]
        || {
            for block in blocks {
                let mut most = [0.0_f32; LANES];
                let (eights, _) = block.as_chunks::<LANES>();
                for eight in eights {
                    for (most, number) in most.iter_mut().zip(eight) {
                        *most = most.max(number.abs());
                    }
                }
                let largest = most.iter().fold(0.0_f32, |a, b| a.max(*b));
                let scale = largest / 127.0;
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                let mut levels = [0_i8; BLOCK];
                let mut sum = 0_i32;
                for (level, number) in levels.iter_mut().zip(block) {
                    let rounded = nearest(number * inverse);
                    sum = sum.wrapping_add(rounded);
                    #[expect(clippy::cast_possible_truncation, reason = "between -127 and 127")]
                    {
                        *level = rounded as i8;
                    }
                }
                out.levels.push(levels);
                out.scales.push(scale);
                #[expect(clippy::cast_precision_loss, reason = "at most 32 × 127")]
                out.sums.push(scale * sum as f32);
            }
        },
    );
}

/// The nearest whole number of a small number: adding a large constant leaves no room for a fraction.
#[inline(always)]
fn nearest(number: f32) -> i32 {
    const LARGE: f32 = 12_582_912.0;
    (number + LARGE).to_bits().cast_signed() - LARGE.to_bits().cast_signed()
}

/// The sum of the products of two rows.
#[inline(always)]
pub(super) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (ones, ones_rest) = one.as_chunks::<LANES>();
    let (others, others_rest) = other.as_chunks::<LANES>();
    for (one, other) in ones.iter().zip(others) {
        for lane in 0..LANES {
            sums[lane] += one[lane] * other[lane];
        }
    }
    let rest: f32 = ones_rest.iter().zip(others_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Adds a multiple of a row to another.
#[inline(always)]
pub(super) fn add_multiple(to: &mut [f32], factor: f32, row: &[f32]) {
    for (to, number) in to.iter_mut().zip(row) {
        *to += factor * number;
    }
}

/// e to the power of a number, to about seven digits, in a form that compilers turn into vector instructions:
/// a power of two by its exponent bits, and a polynomial for the rest.
#[inline(always)]
pub(super) fn exponential(number: f32) -> f32 {
    let number = number.clamp(-87.0, 88.0);
    let scaled = number * std::f32::consts::LOG2_E;
    let whole = nearest(scaled);
    #[expect(clippy::cast_precision_loss, reason = "at most 127")]
    let rest = number - whole as f32 * std::f32::consts::LN_2;
    let mut series = 1.0 / 5040.0;
    for factor in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        series = series * rest + factor;
    }
    let power = f32::from_bits((whole + 127).cast_unsigned() << 23);
    series * power
}

#[cfg(test)]
mod tests;
