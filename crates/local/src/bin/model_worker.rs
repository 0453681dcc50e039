//! A worker as a program of its own, for tests and measurements. The node starts itself instead.

fn main() -> std::process::ExitCode {
    mainstay_local::worker_main()
}
