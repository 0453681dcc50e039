//! Commands that are observed, judged by what their reports say and by what they left.

mod endings;
mod enforced;
mod ordinary;
mod place;
mod random;
mod traced;
