//! Models of the llama architecture: their weights, and how they are read from a file.

use super::gguf::{Gguf, GgufError};
use super::matrix::Matrix;
use super::quant::{self, BLOCK, Kind};

const ARCHITECTURE: &str = "llama";

/// Why a file is no model that this engine computes.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file cannot be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The model is of another architecture.
    #[error("the model is of the architecture `{0}`; `{ARCHITECTURE}` is known")]
    Architecture(String),
    /// The model needs what this engine does not compute.
    #[error("the model needs {0}, which this engine does not compute")]
    Needs(&'static str),
    /// A tensor's numbers are stored in a way that is not known.
    #[error("`{tensor}` is stored as kind {kind}, which is not known")]
    Kind {
        /// The tensor.
        tensor: String,
        /// The number of its kind.
        kind: u32,
    },
    /// A tensor has not the shape that the model's own description calls for.
    #[error("`{tensor}` has the shape {found:?}, and {wanted:?} was expected")]
    Shape {
        /// The tensor.
        tensor: String,
        /// What it is.
        found: Vec<usize>,
        /// What it should be.
        wanted: Vec<usize>,
    },
    /// More context was asked for than the model was trained for.
    #[error("a context of {asked} tokens was asked for, and the model has {limit}")]
    ContextLength {
        /// What was asked for.
        asked: u32,
        /// What the model has.
        limit: u32,
    },
    /// The vocabulary cannot be used.
    #[error("the vocabulary cannot be used: {0}")]
    Vocabulary(String),
    /// The template cannot be used.
    #[error("the chat template cannot be used: {0}")]
    Template(String),
}

/// The extents of a model.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
    pub(super) head: usize,
    pub(super) inner: usize,
    pub(super) context: usize,
    pub(super) epsilon: f32,
}

impl Shape {
    /// The width of all keys of a token.
    pub(super) const fn keys(&self) -> usize {
        self.key_heads * self.head
    }

    /// The width of all queries of a token.
    pub(super) const fn queries(&self) -> usize {
        self.heads * self.head
    }
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    pub(super) query: Matrix,
    pub(super) key: Matrix,
    pub(super) value: Matrix,
    pub(super) output: Matrix,
    pub(super) inner_norm: Vec<f32>,
    pub(super) gate: Matrix,
    pub(super) up: Matrix,
    pub(super) down: Matrix,
}

#[derive(Debug)]
pub(super) struct Llama {
    pub(super) shape: Shape,
    pub(super) embedding: Matrix,
    /// What turns the last state into logits, where that is not the embedding.
    pub(super) output: Option<Matrix>,
    pub(super) norm: Vec<f32>,
    pub(super) layers: Vec<Layer>,
    /// How far each pair of numbers of a head turns from one position to the next.
    pub(super) turns: Vec<f32>,
}

impl Llama {
    pub(super) fn load(file: &mut Gguf) -> Result<Self, ModelError> {
        let architecture = file.text("general.architecture").unwrap_or_default();
        if architecture != ARCHITECTURE {
            return Err(ModelError::Architecture(architecture.to_owned()));
        }
        if file.number("llama.expert_count").unwrap_or(0) > 0 {
            return Err(ModelError::Needs("experts"));
        }
        let shape = shape(file)?;
        let turns = turns(file, &shape)?;
        let (width, inner) = (shape.width, shape.inner);
        let (queries, keys) = (shape.queries(), shape.keys());
        let count = number(file, "llama.block_count")?;
        let mut layers = Vec::with_capacity(count);
        for index in 0..count {
            let name = |part: &str| format!("blk.{index}.{part}.weight");
            layers.push(Layer {
                attention_norm: row(file, &name("attn_norm"), width)?,
                query: matrix(file, &name("attn_q"), width, queries)?,
                key: matrix(file, &name("attn_k"), width, keys)?,
                value: matrix(file, &name("attn_v"), width, keys)?,
                output: matrix(file, &name("attn_output"), queries, width)?,
                inner_norm: row(file, &name("ffn_norm"), width)?,
                gate: matrix(file, &name("ffn_gate"), width, inner)?,
                up: matrix(file, &name("ffn_up"), width, inner)?,
                down: matrix(file, &name("ffn_down"), inner, width)?,
            });
        }
        let output = match file.tensor("output.weight") {
            Some(_) => Some(matrix(file, "output.weight", width, shape.vocabulary)?),
            None => None,
        };
        Ok(Self {
            embedding: matrix(file, "token_embd.weight", width, shape.vocabulary)?,
            output,
            norm: row(file, "output_norm.weight", width)?,
            layers,
            turns,
            shape,
        })
    }

    /// The memory of the weights, in bytes.
    pub(super) fn size(&self) -> usize {
        let layers = self.layers.iter().flat_map(|layer| {
            let Layer {
                query,
                key,
                value,
                output,
                gate,
                up,
                down,
                ..
            } = layer;
            [query, key, value, output, gate, up, down]
        });
        let ends = self.output.iter().chain([&self.embedding]);
        layers.chain(ends).map(Matrix::size).sum()
    }
}

fn number(file: &Gguf, name: &str) -> Result<usize, GgufError> {
    let found = file.number(name).filter(|number| *number > 0);
    found.ok_or_else(|| GgufError::Missing(name.to_owned()))
}

fn shape(file: &Gguf) -> Result<Shape, ModelError> {
    let embedding = "token_embd.weight";
    let missing = || GgufError::Missing(embedding.to_owned());
    let place = file.tensor(embedding).ok_or_else(missing)?;
    let vocabulary = *place.extents.get(1).ok_or_else(missing)?;
    let width = number(file, "llama.embedding_length")?;
    let heads = number(file, "llama.attention.head_count")?;
    let head = file.number("llama.attention.key_length");
    let head = head.unwrap_or(width / heads);
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    let epsilon = file
        .float(epsilon)
        .ok_or_else(|| GgufError::Missing(epsilon.to_owned()))?;
    let shape = Shape {
        vocabulary,
        width,
        heads,
        key_heads: file
            .number("llama.attention.head_count_kv")
            .unwrap_or(heads),
        head,
        inner: number(file, "llama.feed_forward_length")?,
        context: number(file, "llama.context_length")?,
        epsilon: single(epsilon),
    };
    let multiples = [shape.width, shape.inner, shape.queries()];
    if multiples.iter().any(|extent| !extent.is_multiple_of(BLOCK))
        || head == 0
        || !head.is_multiple_of(2)
    {
        return Err(ModelError::Needs("extents that are no multiples of 32"));
    }
    if shape.key_heads == 0 || !heads.is_multiple_of(shape.key_heads) {
        return Err(GgufError::Damaged("heads do not share keys evenly").into());
    }
    Ok(shape)
}

fn turns(file: &mut Gguf, shape: &Shape) -> Result<Vec<f32>, ModelError> {
    let base = file.float("llama.rope.freq_base").unwrap_or(10_000.0);
    let turned = file.number("llama.rope.dimension_count");
    let turned = turned.unwrap_or(shape.head).min(shape.head);
    let stretch = match file.text("llama.rope.scaling.type") {
        None | Some("none") => 1.0,
        Some("linear") => file.float("llama.rope.scaling.factor").unwrap_or(1.0),
        Some(_) => return Err(ModelError::Needs("another scaling of positions")),
    };
    let factors = "rope_freqs.weight";
    let factors = match file.tensor(factors) {
        Some(_) => row(file, factors, turned / 2)?,
        None => vec![1.0; turned / 2],
    };
    #[expect(clippy::cast_precision_loss, reason = "extents of heads are small")]
    let turn = |(pair, factor): (usize, &f32)| {
        let power = -2.0 * pair as f64 / turned as f64;
        single(base.powf(power) / stretch / f64::from(*factor))
    };
    Ok(factors.iter().enumerate().map(turn).collect())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the engine computes in single precision"
)]
const fn single(number: f64) -> f32 {
    number as f32
}

fn units(file: &mut Gguf, tensor: &str, wanted: &[usize]) -> Result<(Kind, Vec<u8>), ModelError> {
    let place = file.tensor(tensor);
    let place = place.ok_or_else(|| GgufError::Missing(tensor.to_owned()))?;
    if place.extents != wanted {
        return Err(ModelError::Shape {
            tensor: tensor.to_owned(),
            found: place.extents.clone(),
            wanted: wanted.to_vec(),
        });
    }
    let unknown = ModelError::Kind {
        tensor: tensor.to_owned(),
        kind: place.kind,
    };
    let kind = Kind::of(place.kind).ok_or(unknown)?;
    let (count, size) = kind.unit();
    if wanted
        .first()
        .is_some_and(|columns| !columns.is_multiple_of(count))
    {
        return Err(GgufError::Damaged("a row ends within a unit").into());
    }
    let elements: usize = wanted.iter().product();
    Ok((kind, file.read(tensor, elements / count * size)?))
}

fn row(file: &mut Gguf, tensor: &str, length: usize) -> Result<Vec<f32>, ModelError> {
    let (kind, units) = units(file, tensor, &[length])?;
    Ok(quant::numbers(kind, &units))
}

fn matrix(
    file: &mut Gguf,
    tensor: &str,
    columns: usize,
    rows: usize,
) -> Result<Matrix, ModelError> {
    let (kind, units) = units(file, tensor, &[columns, rows])?;
    Ok(Matrix::pack(kind, &units, rows, columns))
}
