//! Work on many things, shared among as many threads as there are processors.

/// The stack of a thread that walks folders, in bytes; what is not used costs nothing.
pub const STACK: usize = 16 << 20;

/// The answers for all of some things, in their order. Fewer than `few` are not worth a thread. A panic of
/// one thread goes on in the caller.
pub(crate) fn each<T: Sync, R: Send>(
    things: &[T],
    few: usize,
    one: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if things.len() <= few {
        return things.iter().map(one).collect();
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = things.len().div_ceil(threads);
    let one = &one;
    std::thread::scope(|scope| {
        let parts: Vec<_> = things
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>()))
            .collect();
        let done = parts.into_iter().flat_map(|part| match part.join() {
            Ok(answers) => answers,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.collect()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_come_in_order_and_a_panic_is_not_lost() {
        let things: Vec<usize> = (0..1000).collect();
        assert_eq!(super::each(&things, 10, |thing| *thing), things);
        let broken = || super::each(&things, 10, |thing| assert!(*thing < 999));
        assert!(std::panic::catch_unwind(broken).is_err());
    }
}
