//! The smallest program that can be a sandbox's zygote and an observer, for the tests of this crate. Its
//! own code, run inside a sandbox, waits for ever.

fn main() {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "__observe")
    {
        mainstay_runtimes::observe::observe_main();
    }
    mainstay_runtimes::sandbox::sandbox_main(|_request| {
        loop {
            std::thread::park();
        }
    });
}
