//! The sandbox, tried by what runs inside it.

mod fences;
mod limits;
mod ordinary;
mod place;
mod traces;
