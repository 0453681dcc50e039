//! Which price holds for a name.

use super::ModelPrice;
use super::file::File;
use std::collections::{BTreeMap, HashMap};

/// Prices of models by provider and name.
#[derive(Debug, Clone, Default)]
pub struct PriceTable {
    as_of: String,
    models: Vec<ModelPrice>,
    providers: BTreeMap<String, Names>,
}

/// The names of one provider's models, each with its place among the models.
#[derive(Debug, Clone, Default)]
struct Names {
    ids: BTreeMap<String, usize>,
    /// Ids and their other names alike.
    all: HashMap<String, usize>,
}

/// Why a text is no table of prices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceTableError {
    /// It is not JSON of the table's shape.
    #[error("{0}")]
    Malformed(String),
    /// A price is zero or missing and `free` is not said, or it is said of a model that costs something.
    #[error("{0}: has to cost something, or to be marked `free` with every price zero")]
    Zero(String),
    /// Embeddings have no tokens that come out.
    #[error("{0}: embeddings have no price of output")]
    Output(String),
    /// Thresholds do not ascend.
    #[error("{0}: the thresholds of `tiers` have to ascend")]
    Order(String),
    /// A name stands there twice.
    #[error("{0}: named twice")]
    Twice(String),
}

impl PriceTable {
    /// The table that comes with the program.
    ///
    /// # Errors
    /// None: a test reads the same text.
    pub fn builtin() -> Result<Self, PriceTableError> {
        Self::default().with_overrides(include_str!("models.json"))
    }

    /// This table with a user's own prices on top: JSON of the same shape.
    ///
    /// An entry replaces the whole entry of that id, whose other names follow it; a name that the user
    /// gives to one model is no longer any other's.
    ///
    /// # Errors
    /// [`PriceTableError`], with the model where it is one model's fault.
    pub fn with_overrides(mut self, text: &str) -> Result<Self, PriceTableError> {
        let file = File::read(text)?;
        for (provider, models) in &file.models {
            let mut given: Vec<&str> = models
                .iter()
                .flat_map(|(id, entry)| entry.aliases.iter().chain([id]))
                .map(String::as_str)
                .collect();
            given.sort_unstable();
            if let Some(twice) = given.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(PriceTableError::Twice(format!("{provider}/{}", twice[0])));
            }
            let names = self.providers.entry(provider.clone()).or_default();
            for (id, entry) in models {
                let price = entry.price(provider, id)?;
                names.put(&mut self.models, id, price);
            }
            for (id, entry) in models {
                names.point(id, &entry.aliases);
            }
        }
        if let Some(as_of) = file.as_of {
            self.as_of = as_of;
        }
        Ok(self)
    }

    /// The day on which the prices held, as `2026-10-21`: the builtin table's, or the one that the
    /// user's file gives.
    #[must_use]
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// The price of a model, by the name that it is asked for with, or that its answer has.
    ///
    /// A name is looked up as it stands, among ids and their other names; then without the date at its
    /// end (`-2026-04-14`, `-20260414`), for versions newer than the table; and for a fine-tuned model
    /// (`ft:gpt-4o-mini-2024-07-18:us::x1`) without what follows the name of its base. Nothing else
    /// matches: no part of a name is ever taken for the whole.
    #[must_use]
    pub fn lookup(&self, provider: &str, model: &str) -> Option<&ModelPrice> {
        let names = self.providers.get(provider)?;
        let at = names.find(model).or_else(|| names.find(tuned(model)?))?;
        self.models.get(at)
    }

    /// Every model: its provider, its id, its price; sorted.
    pub fn models(&self) -> impl Iterator<Item = (&str, &str, &ModelPrice)> {
        let providers = self.providers.iter();
        providers.flat_map(|(provider, names)| {
            names.ids.iter().filter_map(|(id, &at)| {
                let price = self.models.get(at)?;
                Some((provider.as_str(), id.as_str(), price))
            })
        })
    }
}

impl Names {
    fn find(&self, name: &str) -> Option<usize> {
        let undated = || self.all.get(without_date(name)?);
        self.all.get(name).or_else(undated).copied()
    }

    /// Puts a model under its id.
    fn put(&mut self, models: &mut Vec<ModelPrice>, id: &str, price: ModelPrice) {
        let known = self.ids.get(id).and_then(|&at| models.get_mut(at));
        if let Some(known) = known {
            *known = price;
            return;
        }
        self.ids.insert(id.to_owned(), models.len());
        models.push(price);
    }

    /// Lets an id and its other names mean the model of that id.
    fn point(&mut self, id: &str, aliases: &[String]) {
        let Some(&at) = self.ids.get(id) else {
            return;
        };
        self.all.insert(id.to_owned(), at);
        for alias in aliases {
            self.all.insert(alias.clone(), at);
        }
    }
}

/// The name of a fine-tuned model's base: up to the second colon.
fn tuned(model: &str) -> Option<&str> {
    let rest = model.strip_prefix("ft:")?;
    let (base, _) = rest.split_once(':')?;
    model.get(.."ft:".len() + base.len())
}

/// A name without the date at its end; `None` where there is none.
fn without_date(name: &str) -> Option<&str> {
    let cut = |length: usize| {
        let at = name.len().checked_sub(length).filter(|&at| at > 0)?;
        Some((name.get(..at)?, name.as_bytes().get(at..)?))
    };
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if let Some((base, [b'-', y @ .., b'-', m1, m2, b'-', d1, d2])) = cut(11)
        && digits(y)
        && digits(&[*m1, *m2, *d1, *d2])
    {
        return Some(base);
    }
    match cut(9) {
        Some((base, [b'-', b'2', b'0', rest @ ..])) if digits(rest) => Some(base),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
