//! Merging the bytes of a word pair by pair, the pair that was merged most often in training first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Which pairs of tokens become which token, and in which order.
#[derive(Debug)]
pub(super) struct Merges(HashMap<(u32, u32), (u32, u32)>);

/// A token of a word, and its neighbours.
#[derive(Clone, Copy)]
struct Link {
    token: u32,
    before: usize,
    after: usize,
    is_gone: bool,
}

const NONE: usize = usize::MAX;

impl Merges {
    /// Reads merges, the first of which is done first. Those of unknown tokens can never happen.
    pub(super) fn new(merges: &[&str], ids: &HashMap<&str, u32>) -> Self {
        let merge = |(rank, text): (u32, &&str)| {
            let (one, other) = text.split_once(' ')?;
            let whole = format!("{one}{other}");
            let pair = (*ids.get(one)?, *ids.get(other)?);
            Some((pair, (rank, *ids.get(whole.as_str())?)))
        };
        let mut known = HashMap::new();
        for (pair, merged) in (0..).zip(merges).filter_map(merge) {
            known.entry(pair).or_insert(merged);
        }
        Self(known)
    }

    /// Encodes a word. The time is nearly linear in its length.
    pub(super) fn encode(&self, word: &str, singles: &[Option<u32>], tokens: &mut Vec<u32>) {
        let known = word.bytes().filter_map(|byte| singles[usize::from(byte)]);
        let mut links: Vec<Link> = (0..)
            .zip(known)
            .map(|(index, token): (usize, u32)| Link {
                token,
                before: index.checked_sub(1).unwrap_or(NONE),
                after: index + 1,
                is_gone: false,
            })
            .collect();
        if let Some(last) = links.last_mut() {
            last.after = NONE;
        }
        let count = links.len();
        let mut candidates = BinaryHeap::new();
        for index in 0..count.saturating_sub(1) {
            self.consider(&links, index, &mut candidates);
        }
        while let Some(Reverse((_, index, pair, merged))) = candidates.pop() {
            let link = links[index];
            let is_stale = link.is_gone || link.after == NONE;
            if is_stale || (link.token, links[link.after].token) != pair {
                continue;
            }
            let after = links[link.after].after;
            links[link.after].is_gone = true;
            links[index].token = merged;
            links[index].after = after;
            if after != NONE {
                links[after].before = index;
                self.consider(&links, index, &mut candidates);
            }
            if link.before != NONE {
                self.consider(&links, link.before, &mut candidates);
            }
        }
        let left = links.iter().filter(|link| !link.is_gone);
        tokens.extend(left.map(|link| link.token));
    }

    fn consider(&self, links: &[Link], index: usize, candidates: &mut BinaryHeap<Candidate>) {
        let link = links[index];
        let pair = (link.token, links[link.after].token);
        if let Some((rank, merged)) = self.0.get(&pair) {
            candidates.push(Reverse((*rank, index, pair, *merged)));
        }
    }
}

/// Rank, place, the pair that was seen there, and what it becomes.
type Candidate = Reverse<(u32, usize, (u32, u32), u32)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_merge_wins_and_the_leftmost_of_equal_ones() {
        let texts = ["a", "b", "c", "ab", "bc", "abc", "aa"];
        let ids: HashMap<&str, u32> = texts.iter().copied().zip(0..).collect();
        let mut singles = vec![None; 256];
        for (index, byte) in b"abc".iter().enumerate() {
            singles[usize::from(*byte)] = u32::try_from(index).ok();
        }
        let encode = |merges: &[&str], word: &str| {
            let mut tokens = Vec::new();
            Merges::new(merges, &ids).encode(word, &singles, &mut tokens);
            tokens
                .iter()
                .map(|t| texts[*t as usize])
                .collect::<Vec<_>>()
        };
        assert_eq!(encode(&["b c", "a b"], "abc"), ["a", "bc"]);
        assert_eq!(encode(&["a b", "b c", "ab c"], "abcab"), ["abc", "ab"]);
        assert_eq!(encode(&["a a"], "aaaaa"), ["aa", "aa", "a"]);
        assert_eq!(encode(&[], ""), Vec::<&str>::new());
    }
}
