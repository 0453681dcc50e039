//! The smallest program that can be a sandbox's zygote, for the tests of this crate. Its own code, run
//! inside, waits for ever.

fn main() {
    mainstay_runtimes::sandbox::sandbox_main(|_request| {
        loop {
            std::thread::park();
        }
    });
}
