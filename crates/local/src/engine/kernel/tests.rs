use super::super::matrix::{Matrix, Rounded};
use super::super::quant::{self, Kind};
use super::*;
use proptest::prelude::*;

/// Bytes without any order, and scales that are numbers.
fn units(kind: Kind, rows: usize, columns: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (count, size) = kind.unit();
    let mut units = Vec::new();
    for _ in 0..rows * columns / count {
        let mut unit: Vec<u8> = (0..size).map(|_| next().to_le_bytes()[3]).collect();
        #[expect(clippy::cast_precision_loss, reason = "any number will do")]
        let scale = |random: u64| (random % 1000) as f32 / 4000.0 - 0.12;
        let halves: &[usize] = match kind {
            Kind::F32 => {
                unit = scale(next()).to_le_bytes().to_vec();
                &[]
            }
            Kind::Bf16 => {
                unit = half::bf16::from_f32(scale(next())).to_le_bytes().to_vec();
                &[]
            }
            Kind::Q4_0 | Kind::Q5_0 | Kind::Q8_0 | Kind::F16 => &[0],
            Kind::Q4_1 | Kind::Q5_1 | Kind::Q4K | Kind::Q5K => &[0, 2],
            Kind::Q6K => &[208],
        };
        for at in halves {
            unit[*at..at + 2].copy_from_slice(&f16::from_f32(scale(next())).to_le_bytes());
        }
        units.extend(unit);
    }
    units
}

const KINDS: [Kind; 11] = [
    Kind::F32,
    Kind::F16,
    Kind::Bf16,
    Kind::Q4_0,
    Kind::Q4_1,
    Kind::Q5_0,
    Kind::Q5_1,
    Kind::Q8_0,
    Kind::Q4K,
    Kind::Q5K,
    Kind::Q6K,
];

#[test]
fn packing_keeps_the_numbers() {
    let (rows, columns) = (11, 512);
    for kind in KINDS {
        let units = units(kind, rows, columns, 42);
        let expected = quant::numbers(kind, &units);
        assert_eq!(expected.len(), rows * columns, "{kind:?}");
        let matrix = Matrix::pack(kind, &units, rows, columns);
        let mut row = vec![0.0; columns];
        for (index, expected) in expected.chunks_exact(columns).enumerate() {
            matrix.row(index, &mut row);
            let largest = expected.iter().fold(0.0_f32, |most, n| most.max(n.abs()));
            for (found, expected) in row.iter().zip(expected) {
                let off = (found - expected).abs();
                assert!(off <= largest / 200.0, "{kind:?}: {found} for {expected}");
            }
        }
    }
}

#[test]
fn four_bits_are_read_as_the_format_says() {
    let mut unit = f16::from_f32(0.5).to_le_bytes().to_vec();
    unit.extend((0..16).map(|n| n | (15 - n) << 4));
    let numbers = quant::numbers(Kind::Q4_0, &unit);
    assert_eq!(numbers[..3], [-4.0, -3.5, -3.0]);
    assert_eq!(numbers[16..19], [3.5, 3.0, 2.5]);
}

fn product_off(instructions: Instructions, kind: Kind, others: usize, seed: u64) -> f32 {
    let (rows, columns) = (19, 256);
    let units = units(kind, rows, columns, seed);
    let matrix = Matrix::pack(kind, &units, rows, columns);
    let right = quant::numbers(
        Kind::F32,
        &self::units(Kind::F32, others, columns, seed ^ 77),
    );
    let mut rounded = Rounded::default();
    round(instructions, &right, columns, &mut rounded);
    let mut row = vec![0.0; columns];
    let mut off = 0.0_f32;
    let mut count = 0;
    multiply(
        instructions,
        &matrix,
        0..matrix.packs(),
        &rounded,
        |pack, other, products| {
            for (lane, product) in products.iter().enumerate() {
                let index = pack * LANES + lane;
                if index < rows {
                    matrix.row(index, &mut row);
                    let levels = rounded.levels[other * rounded.width..].iter().flatten();
                    let scales = rounded.scales[other * rounded.width..].iter();
                    let scales = scales.flat_map(|scale| [*scale; BLOCK]);
                    let exact: f64 = levels
                        .zip(scales)
                        .zip(&row)
                        .map(|((level, scale), n)| {
                            f64::from(*level) * f64::from(scale) * f64::from(*n)
                        })
                        .sum();
                    #[expect(clippy::cast_possible_truncation, reason = "a small number")]
                    let difference = (f64::from(*product) - exact) as f32;
                    off = off.max(difference.abs());
                    count += 1;
                }
            }
        },
    );
    assert_eq!(count, rows * others);
    off
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn products_are_right_with_any_instructions(others in 1..7_usize, seed in any::<u64>()) {
        for kind in [Kind::Q4_1, Kind::Q4K, Kind::Q8_0, Kind::Q6K] {
            for instructions in [Instructions::detect(), Instructions::Plain] {
                let off = product_off(instructions, kind, others, seed);
                prop_assert!(off < 0.05, "{kind:?} {instructions:?}: {off}");
            }
        }
    }

    #[test]
    fn the_exponential_is_close(number in -80.0..80.0_f32) {
        let off = exponential(number) / number.exp() - 1.0;
        prop_assert!(off.abs() < 1e-5, "{number}: {off}");
    }

    #[test]
    fn rounding_is_within_half_a_step(numbers in prop::array::uniform32(-10.0..10.0_f32)) {
        let mut rounded = Rounded::default();
        round(Instructions::detect(), &numbers, BLOCK, &mut rounded);
        let scale = rounded.scales[0];
        for (level, number) in rounded.levels[0].iter().zip(numbers) {
            prop_assert!((f32::from(*level) * scale - number).abs() <= scale * 0.51);
        }
        let sum: f32 = rounded.levels[0].iter().map(|level| f32::from(*level) * scale).sum();
        prop_assert!((rounded.sums[0] - sum).abs() < 0.01);
    }
}
