//! The chores of this repository: checks, tests and figures. `cargo xtask` lists them.
//!
//! Chores depend on no crate of the product, so that they build in seconds and can judge it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "chores report to the terminal; nothing here is a library"
)]

mod bench;
mod error_pages;
mod layers;
mod place;
mod prices;
mod test;
mod tidy;

use place::Place;
use std::process::ExitCode;

const USAGE: &str = "cargo xtask CHORE

  test [--quick] [--seeds N]  set this machine up, then run every check and every test
  layers                      fail on a dependency between crates that the design forbids
  tidy                        fail on what no compiler sees: sizes, pages, forgotten files, names
  error-pages                 list the error pages that are missing, incomplete or left over
  bench sessions|tasks|inference
                              measure the figures that docs/benchmarks.md promises
  prices FILE DATE            write the table of prices anew, from LiteLLM's file of that date";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let place = Place::here();
    let ended = match words.as_slice() {
        ["layers"] => layers::run(&place),
        ["tidy"] => tidy::run(&place),
        ["error-pages"] => error_pages::run(&place),
        ["test", options @ ..] => test::Options::parse(options).and_then(|o| test::run(&place, o)),
        ["bench", "sessions"] => bench::run(&place, bench::Face::Sessions),
        ["bench", "tasks"] => bench::run(&place, bench::Face::Tasks),
        ["bench", "inference"] => bench::run(&place, bench::Face::Inference),
        ["prices", file, date] => prices::run(&place, file, date),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        unknown => {
            eprintln!("error: `{}` is no chore\n\n{USAGE}", unknown.join(" "));
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
