//! Names that were perhaps meant.

/// At most so many names are offered.
const NAMES_MAX: usize = 3;
/// Longer words are no misspelt names.
const LENGTH_MAX: usize = 64;
/// More candidates than this are not compared.
const CANDIDATES_MAX: usize = 1000;

/// The candidates closest to `word`, best first.
pub fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    if word.is_empty() || word.len() > LENGTH_MAX {
        return Vec::new();
    }
    let word = word.to_lowercase().replace('-', "_");
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.len() <= LENGTH_MAX)
        .filter_map(|candidate| Some((distance(&word, candidate)?, candidate)))
        .collect();
    found.sort_unstable();
    found.dedup();
    // Beside a good guess, poor ones are noise.
    let bound = found.first().map_or(0, |(best, _)| best + 1);
    found.retain(|(distance, _)| *distance <= bound);
    let names = found.into_iter().take(NAMES_MAX);
    names.map(|(_, name)| name.to_owned()).collect()
}

fn distance(word: &str, candidate: &str) -> Option<usize> {
    let candidate = candidate.to_lowercase().replace('-', "_");
    let length = word.len().max(candidate.len());
    let allowed = (length / 3).max(1);
    if word.len() >= 3 && (candidate.starts_with(word) || candidate.ends_with(word)) {
        return Some(1);
    }
    if word.len().abs_diff(candidate.len()) > allowed {
        return None;
    }
    let distance = strsim::osa_distance(word, &candidate);
    (distance <= allowed && distance < length).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn misspelt_and_shortened_names_are_found_and_strange_ones_are_not() {
        let keys = ["model", "instructions", "max_steps", "max_attempts"];
        assert_eq!(near("mdoel", keys), ["model"]);
        assert_eq!(near("Max-Steps", keys), ["max_steps"]);
        assert_eq!(near("steps", keys), ["max_steps"]);
        assert_eq!(near("instruct", keys), ["instructions"]);
        assert!(near("colour", keys).is_empty());
        assert!(near("", keys).is_empty());
        assert!(near(&"m".repeat(1 << 20), keys).is_empty());
    }
}
