//! One run through a model: tokens in, logits or states out. All threads of a team run the same program; what
//! is cheap each computes for itself, what is dear they share.

use super::kernel::{self, Instructions};
use super::llama::{Layer, Llama, Shape};
use super::matrix::{LANES, Matrix, Rounded};
use super::team::{Shared, Team};
use std::sync::{PoisonError, RwLock};

/// The stages of a layer whose work is shared.
const STAGES: usize = 5;

/// How many pieces a stage has for each thread, so that a slow thread does not hold the others up.
const PIECES: usize = 4;

/// What is wanted of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// That the tokens are in the cache.
    Nothing,
    /// The logits after the last token.
    Logits,
    /// The last state of every token.
    States,
}

/// The keys and values of the tokens so far.
#[derive(Debug)]
pub(super) struct Cache {
    layers: Vec<RwLock<Pairs>>,
    length: usize,
}

#[derive(Debug, Default)]
struct Pairs {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Cache {
    pub(super) fn new(model: &Llama) -> Self {
        Self {
            layers: model.layers.iter().map(|_| RwLock::default()).collect(),
            length: 0,
        }
    }

    /// How many tokens it holds.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Forgets all but the first tokens. The memory is kept for the next ones.
    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

/// What is needed to compute, apart from the model and the cache.
#[derive(Debug)]
pub(super) struct Machine {
    instructions: Instructions,
    team: Team,
    desks: Vec<Desk>,
    boards: Boards,
    /// The logits or states that were wanted last.
    pub(super) result: Vec<f32>,
}

/// What a thread has for itself.
#[derive(Debug, Default)]
struct Desk {
    states: Vec<f32>,
    work: Vec<f32>,
    rounded: Rounded,
    scores: Vec<f32>,
    gates: Vec<f32>,
    turned: Vec<(f32, f32)>,
}

/// What threads show each other.
#[derive(Debug, Default)]
struct Boards {
    attention: Shared,
    mixed: Shared,
    inner: Shared,
    out: Shared,
    logits: Shared,
}

impl Machine {
    pub(super) fn new(model: &Llama, threads: usize) -> Self {
        Self {
            instructions: Instructions::detect(),
            team: Team::new(threads, model.layers.len() * STAGES + 1),
            desks: (0..threads).map(|_| Desk::default()).collect(),
            boards: Boards::default(),
            result: Vec::new(),
        }
    }

    /// Runs tokens through the model. `breathe` is called once for each layer.
    pub(super) fn run(
        &mut self,
        model: &Llama,
        cache: &mut Cache,
        tokens: &[u32],
        want: Want,
        breathe: &mut dyn FnMut(),
    ) {
        self.boards.make_room(&model.shape, tokens.len());
        self.team.rewind();
        let program = Program {
            model,
            cache,
            tokens,
            want,
            team: &self.team,
            boards: &self.boards,
            instructions: self.instructions,
        };
        if let Some((first, others)) = self.desks.split_first_mut() {
            std::thread::scope(|scope| {
                for desk in others {
                    scope.spawn(|| program.run(desk, None, &mut || ()));
                }
                program.run(first, Some(&mut self.result), breathe);
            });
        }
        cache.length += tokens.len();
    }
}

impl Boards {
    fn make_room(&mut self, shape: &Shape, tokens: usize) {
        let attention = shape.queries() + 2 * shape.keys();
        self.attention.make_room(tokens * attention);
        self.mixed.make_room(tokens * shape.queries());
        self.inner.make_room(tokens * shape.inner);
        self.out.make_room(tokens * shape.width);
        self.logits.make_room(shape.vocabulary);
    }
}

struct Program<'a> {
    model: &'a Llama,
    cache: &'a Cache,
    tokens: &'a [u32],
    want: Want,
    team: &'a Team,
    boards: &'a Boards,
    instructions: Instructions,
}

impl Program<'_> {
    fn run(&self, desk: &mut Desk, result: Option<&mut Vec<f32>>, breathe: &mut dyn FnMut()) {
        let is_first = result.is_some();
        self.begin(desk);
        for (index, layer) in self.model.layers.iter().enumerate() {
            let stage = index * STAGES;
            self.attend(desk, layer, index, is_first);
            self.project(desk, &layer.output, &self.boards.mixed, stage + 2);
            self.expand(desk, layer, stage + 3);
            self.project(desk, &layer.down, &self.boards.inner, stage + 4);
            breathe();
        }
        self.conclude(desk, result);
    }

    /// Looks the tokens up, and how far their positions turn.
    fn begin(&self, desk: &mut Desk) {
        let width = self.model.shape.width;
        desk.states.resize(self.tokens.len() * width, 0.0);
        desk.turned.clear();
        for (index, token) in self.tokens.iter().enumerate() {
            let row = usize::try_from(*token).unwrap_or(usize::MAX);
            let state = &mut desk.states[index * width..(index + 1) * width];
            if row < self.model.shape.vocabulary {
                self.model.embedding.row(row, state);
            }
            #[expect(clippy::cast_precision_loss, reason = "positions are small")]
            let position = (self.cache.length + index) as f32;
            let turns = self.model.turns.iter();
            desk.turned
                .extend(turns.map(|turn| (position * turn).sin_cos()));
        }
    }

    /// Normalises the states with a row of weights, and rounds them.
    fn prepare(&self, desk: &mut Desk, weights: &[f32]) {
        let Shape { width, epsilon, .. } = self.model.shape;
        desk.work.resize(desk.states.len(), 0.0);
        let rows = desk.states.chunks_exact(width);
        let outs = desk.work.chunks_exact_mut(width);
        self.instructions.run(
            #[inline(always)]
            || {
                for (row, out) in rows.zip(outs) {
                    normalise(row, weights, epsilon, out);
                }
            },
        );
        kernel::round(self.instructions, &desk.work, width, &mut desk.rounded);
    }

    /// Multiplies the rounded rows with matrices whose rows stand one after the other on a board.
    fn multiply(&self, rounded: &Rounded, matrices: &[&Matrix], board: &Shared, stage: usize) {
        let packs: usize = matrices.iter().map(|matrix| matrix.packs()).sum();
        let rows: usize = matrices.iter().map(|matrix| matrix.rows).sum();
        let size = packs.div_ceil(self.team.size * PIECES);
        self.team.share(stage, packs.div_ceil(size), |piece| {
            let (from, to) = (piece * size, packs.min((piece + 1) * size));
            let (mut first_pack, mut first_row) = (0, 0);
            for matrix in matrices {
                let own = first_pack..first_pack + matrix.packs();
                let range = from.max(own.start)..to.min(own.end);
                if range.start < range.end {
                    let range = range.start - own.start..range.end - own.start;
                    kernel::multiply(
                        self.instructions,
                        matrix,
                        range,
                        rounded,
                        #[inline(always)]
                        |pack, other, products| {
                            let row = pack * LANES;
                            let count = LANES.min(matrix.rows - row);
                            board.put_all(other * rows + first_row + row, &products[..count]);
                        },
                    );
                }
                first_pack = own.end;
                first_row += matrix.rows;
            }
        });
        self.team.meet();
    }

    fn attend(&self, desk: &mut Desk, layer: &Layer, index: usize, is_first: bool) {
        let shape = &self.model.shape;
        let stage = index * STAGES;
        self.prepare(desk, &layer.attention_norm);
        let matrices = [&layer.query, &layer.key, &layer.value];
        self.multiply(&desk.rounded, &matrices, &self.boards.attention, stage);
        if is_first {
            self.remember(desk, index);
        }
        self.team.meet();
        let pairs = self.cache.layers[index].read();
        let pairs = pairs.unwrap_or_else(PoisonError::into_inner);
        let (head, heads) = (shape.head, shape.heads);
        let row = shape.queries() + 2 * shape.keys();
        let turns = self.model.turns.len();
        #[expect(clippy::cast_precision_loss, reason = "extents of heads are small")]
        let factor = 1.0 / (head as f32).sqrt();
        desk.work.resize(2 * head, 0.0);
        let (query, mixed) = desk.work[..2 * head].split_at_mut(head);
        let scores = &mut desk.scores;
        self.team
            .share(stage + 1, self.tokens.len() * heads, |piece| {
                // The last tokens have most to look at, and come first.
                let token = self.tokens.len() - 1 - piece / heads;
                let number = piece % heads;
                let at = token * row + number * head;
                self.boards.attention.copy(at, query);
                turn(query, &desk.turned[token * turns..(token + 1) * turns]);
                query.iter_mut().for_each(|number| *number *= factor);
                let looking = Looking {
                    pairs: &pairs,
                    stride: shape.keys(),
                    offset: number / (heads / shape.key_heads) * head,
                    count: self.cache.length + token + 1,
                };
                self.instructions.run(
                    #[inline(always)]
                    || looking.mix(query, scores, mixed),
                );
                let at = token * shape.queries() + number * head;
                self.boards.mixed.put_all(at, mixed);
            });
        drop(pairs);
        self.team.meet();
    }

    /// Puts the new keys and values into the cache.
    fn remember(&self, desk: &Desk, index: usize) {
        let shape = &self.model.shape;
        let keys = shape.keys();
        let row = shape.queries() + 2 * keys;
        let turns = self.model.turns.len();
        let pairs = self.cache.layers[index].write();
        let mut pairs = pairs.unwrap_or_else(PoisonError::into_inner);
        let Pairs { keys: all, values } = &mut *pairs;
        let needed = (self.cache.length + self.tokens.len()) * keys;
        for side in [&mut *all, &mut *values] {
            if side.len() < needed {
                side.resize(needed, 0.0);
            }
        }
        for token in 0..self.tokens.len() {
            let to = (self.cache.length + token) * keys;
            let from = token * row + shape.queries();
            let key = &mut all[to..to + keys];
            self.boards.attention.copy(from, key);
            for head in key.chunks_exact_mut(shape.head) {
                turn(head, &desk.turned[token * turns..(token + 1) * turns]);
            }
            let value = &mut values[to..to + keys];
            self.boards.attention.copy(from + keys, value);
        }
    }

    /// Adds the product of a matrix and what stands on a board to the states.
    fn project(&self, desk: &mut Desk, matrix: &Matrix, board: &Shared, stage: usize) {
        let columns = matrix.width * super::quant::BLOCK;
        desk.work.resize(self.tokens.len() * columns, 0.0);
        board.copy(0, &mut desk.work);
        kernel::round(self.instructions, &desk.work, columns, &mut desk.rounded);
        self.multiply(&desk.rounded, &[matrix], &self.boards.out, stage);
        self.boards.out.add_to(0, &mut desk.states);
    }

    /// The wide middle of a layer: one product opens or shuts the gate for the other.
    fn expand(&self, desk: &mut Desk, layer: &Layer, stage: usize) {
        self.prepare(desk, &layer.inner_norm);
        let tokens = self.tokens.len();
        let packs = layer.gate.packs();
        let size = packs.div_ceil(self.team.size * PIECES);
        let gates = &mut desk.gates;
        gates.resize(size * tokens * LANES, 0.0);
        self.team.share(stage, packs.div_ceil(size), |piece| {
            let range = piece * size..packs.min((piece + 1) * size);
            let first = range.start;
            let place = |pack: usize, other: usize| ((pack - first) * tokens + other) * LANES;
            kernel::multiply(
                self.instructions,
                &layer.gate,
                range.clone(),
                &desk.rounded,
                #[inline(always)]
                |pack, other, products| {
                    let at = place(pack, other);
                    gates[at..at + LANES].copy_from_slice(&products);
                },
            );
            kernel::multiply(
                self.instructions,
                &layer.up,
                range,
                &desk.rounded,
                #[inline(always)]
                |pack, other, products| {
                    let at = place(pack, other);
                    let mut passed = [0.0; LANES];
                    for (lane, passed) in passed.iter_mut().enumerate() {
                        let gate = gates[at + lane];
                        *passed = products[lane] * gate / (1.0 + kernel::exponential(-gate));
                    }
                    let to = other * layer.up.rows + pack * LANES;
                    self.boards.inner.put_all(to, &passed);
                },
            );
        });
        self.team.meet();
    }

    fn conclude(&self, desk: &mut Desk, result: Option<&mut Vec<f32>>) {
        let Shape {
            width, vocabulary, ..
        } = self.model.shape;
        if self.want == Want::Nothing {
            return;
        }
        if self.want == Want::Logits {
            let last = desk.states.len().saturating_sub(width);
            desk.states.drain(..last);
        }
        self.prepare(desk, &self.model.norm);
        if self.want == Want::Logits {
            let output = self.model.output.as_ref().unwrap_or(&self.model.embedding);
            let stage = self.model.layers.len() * STAGES;
            self.multiply(&desk.rounded, &[output], &self.boards.logits, stage);
        }
        if let Some(result) = result {
            if self.want == Want::Logits {
                result.resize(vocabulary, 0.0);
                self.boards.logits.copy(0, result);
            } else {
                result.clone_from(&desk.work);
            }
        }
    }
}

#[inline(always)]
fn normalise(row: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    #[expect(clippy::cast_precision_loss, reason = "rows are short")]
    let mean = kernel::dot(row, row) / row.len() as f32;
    let factor = 1.0 / (mean + epsilon).sqrt();
    for ((out, number), weight) in out.iter_mut().zip(row).zip(weights) {
        *out = number * factor * weight;
    }
}

/// Turns pairs of numbers by the angles of a position.
fn turn(head: &mut [f32], angles: &[(f32, f32)]) {
    let (pairs, _) = head.as_chunks_mut::<2>();
    for ([one, other], (sine, cosine)) in pairs.iter_mut().zip(angles) {
        let before = *one;
        *one = before * cosine - *other * sine;
        *other = before * sine + *other * cosine;
    }
}

/// What a query looks at.
struct Looking<'a> {
    pairs: &'a Pairs,
    stride: usize,
    offset: usize,
    count: usize,
}

impl Looking<'_> {
    /// Mixes values by how well their keys fit the query.
    #[inline(always)]
    fn mix(&self, query: &[f32], scores: &mut Vec<f32>, mixed: &mut [f32]) {
        let head = query.len();
        let at = |position: usize| position * self.stride + self.offset;
        scores.clear();
        let mut most = f32::NEG_INFINITY;
        for position in 0..self.count {
            let key = &self.pairs.keys[at(position)..at(position) + head];
            let score = kernel::dot(query, key);
            most = most.max(score);
            scores.push(score);
        }
        for score in scores.iter_mut() {
            *score = kernel::exponential(*score - most);
        }
        let sum: f32 = scores.iter().sum();
        mixed.fill(0.0);
        for (position, score) in scores.iter().enumerate() {
            let value = &self.pairs.values[at(position)..at(position) + head];
            kernel::add_multiple(mixed, score / sum, value);
        }
    }
}
