//! Random scripts, whose reports have to be exactly what a simple model expects.

use super::place::Place;
use mainstay_runtimes::observe::Mode;
use std::collections::{BTreeMap, BTreeSet};

const FILES: [&str; 6] = ["a", "b", "src/one", "src/two", "src/new", "docs/three"];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

/// What is there, and what was asked of it.
#[derive(Default)]
struct Model {
    there: BTreeSet<&'static str>,
    /// Letters as in [`Place::accesses`].
    asked: BTreeMap<&'static str, BTreeSet<char>>,
}

impl Model {
    fn ask(&mut self, file: &'static str, letter: char) {
        let is_there = self.there.contains(file);
        let asked = self.asked.entry(file).or_insert_with(|| {
            let absent = (!is_there).then_some('-');
            absent.into_iter().collect()
        });
        asked.insert(letter);
    }

    /// One command of a script.
    fn step(&mut self, act: usize, file: &'static str, other: &'static str) -> String {
        let is_there = self.there.contains(file);
        match act {
            0 => {
                self.ask(file, if is_there { 'r' } else { 'f' });
                format!("cat {file}")
            }
            1 => {
                self.ask(file, 'w');
                self.there.insert(file);
                format!("touch {file}")
            }
            2 => {
                self.ask(file, 'f');
                format!("test -e {file}")
            }
            3 => {
                self.ask(file, if is_there { 'r' } else { 'f' });
                // The shell stops before the second redirection where the first one fails.
                if is_there {
                    self.ask(other, 'w');
                    self.there.insert(other);
                }
                format!("true < {file} > {other}")
            }
            _ => {
                self.ask(file, if is_there { 'w' } else { 'f' });
                self.there.remove(file);
                format!("unlink {file}")
            }
        }
    }

    fn accesses(&self) -> Vec<String> {
        let letters = |asked: &BTreeSet<char>| {
            let order = "rwefl-".chars();
            order
                .filter(|letter| asked.contains(letter))
                .collect::<String>()
        };
        let told = self.asked.iter();
        told.map(|(file, asked)| format!("{file} {}", letters(asked)))
            .collect()
    }
}

#[test]
fn reports_are_exactly_what_scripts_do() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let place = Place::new(Mode::Trace);
        let mut model = Model::default();
        model.there.extend(["src/one", "src/two", "docs/three"]);
        let steps: Vec<String> = (0..12)
            .map(|_| {
                let (file, other) = (FILES[random.below(6)], FILES[random.below(6)]);
                model.step(random.below(5), file, other)
            })
            .collect();
        let script = steps.join("\n");
        let (_, observed) = place.run(&["sh", "-c", &script]);
        let mut accesses = place.accesses(&observed);
        // The shell itself looks at the folder where it starts.
        accesses.retain(|access| !access.starts_with(' '));
        assert_eq!(accesses, model.accesses(), "seed {seed}:\n{script}");
    }
}
