use super::super::config::{Heartbeat, Patience, RestartBudget};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        heartbeat: Heartbeat {
            interval: 5 * SECOND,
            deadline: 10 * SECOND,
        },
        restart: RestartBudget {
            restarts_max: 3,
            window: 100 * SECOND,
            backoff: SECOND,
            backoff_max: 3 * SECOND,
            cool_down: Some(60 * SECOND),
        },
        patience: Patience {
            drain: 20 * SECOND,
            grace: 5 * SECOND,
        },
        load_deadline: 30 * SECOND,
        queue_max: 4,
    }
}

fn poisoned() -> Loss {
    Loss::Poisoned {
        code: 700,
        name: "X".to_owned(),
    }
}

fn killed() -> Loss {
    Loss::Exited {
        code: None,
        signal: Some(9),
    }
}

/// What decides, with its clock and what it told.
struct Bench {
    supervision: Supervision,
    now: Now,
    ends: BTreeMap<RequestId, Vec<Option<LocalError>>>,
    is_ready: bool,
    ready_told: Vec<bool>,
    effects: Vec<Effect>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let mut bench = Self {
            supervision: Supervision::new("fake".to_owned(), limits),
            now: Now::ZERO,
            ends: BTreeMap::new(),
            is_ready: false,
            ready_told: Vec::new(),
            effects: Vec::new(),
        };
        bench.drain();
        bench
    }

    fn serving() -> Self {
        let mut bench = Self::new(limits());
        bench.feed(Input::Ready(1));
        assert!(bench.is_ready);
        bench
    }

    fn drain(&mut self) {
        while let Some(effect) = self.supervision.poll_effect() {
            match &effect {
                Effect::End(id, error) => {
                    self.ends.entry(*id).or_default().push(error.clone());
                }
                Effect::Ready(ready) => {
                    self.is_ready = ready.is_ok();
                    self.ready_told.push(ready.is_ok());
                }
                _ => {}
            }
            self.effects.push(effect);
        }
    }

    fn feed(&mut self, input: Input) {
        self.supervision.handle(self.now, input);
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.supervision.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.supervision.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    fn did(&self, effect: &Effect) -> bool {
        self.effects.contains(effect)
    }

    fn error(&self, id: RequestId) -> &LocalError {
        match self.ends.get(&id).map(Vec::as_slice) {
            Some([Some(error)]) => error,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_poisoned_worker_fails_what_it_began_and_the_next_gets_the_rest() {
    let mut bench = Bench::serving();
    for id in [1, 2, 3] {
        bench.feed(Input::Submit(id));
    }
    assert!(bench.did(&Effect::Give(1, 2)) && !bench.did(&Effect::Give(1, 3)));
    bench.feed(Input::Begun(1, 1));
    bench.feed(Input::Content(1, 1));
    bench.feed(Input::Lost(1, poisoned()));
    assert_eq!(
        *bench.error(1),
        LocalError::CudaContextPoisoned {
            device: "fake".to_owned(),
            code: 700,
            name: "X".to_owned(),
            content_sent: true
        }
    );
    assert!(!bench.is_ready && bench.did(&Effect::Kill(1)));
    bench.pass(50 * SECOND);
    assert!(!bench.did(&Effect::Start(2)), "the first process lives");
    bench.feed(Input::Gone(1, killed()));
    bench.pass(SECOND);
    assert!(bench.did(&Effect::Start(2)));
    bench.feed(Input::Ready(2));
    assert!(bench.did(&Effect::Give(2, 2)) && bench.did(&Effect::Give(2, 3)));
    bench.feed(Input::Answered(1, 2));
    assert!(
        !bench.ends.contains_key(&2),
        "the first worker is not heard"
    );
    bench.feed(Input::Answered(2, 2));
    assert_eq!(bench.ends[&2], [None]);
    assert_eq!(bench.ready_told, [false, true, false, true]);
}

#[test]
fn a_worker_that_gives_itself_up_is_replaced_at_once_and_not_counted() {
    let mut bench = Bench::serving();
    for generation in 1..10 {
        let id = 2 * generation;
        bench.feed(Input::Submit(id));
        bench.feed(Input::Submit(id + 1));
        bench.feed(Input::Begun(generation, id));
        bench.feed(Input::Stuck(generation, id));
        assert_eq!(bench.ends[&id], [None]);
        assert!(bench.did(&Effect::Kill(generation)));
        bench.feed(Input::Gone(generation, killed()));
        assert!(bench.did(&Effect::Start(generation + 1)));
        bench.feed(Input::Ready(generation + 1));
        bench.feed(Input::Answered(generation + 1, id + 1));
        assert_eq!(bench.ends[&(id + 1)], [None]);
    }
    bench.feed(Input::Stuck(10, 18));
    assert!(bench.is_ready, "it has told another end since");
}

#[test]
fn a_silent_worker_is_killed_and_one_that_speaks_is_not() {
    let mut bench = Bench::serving();
    bench.feed(Input::Submit(1));
    bench.feed(Input::Begun(1, 1));
    bench.pass(5 * SECOND);
    assert!(bench.did(&Effect::Beat(1, 1)));
    bench.pass(9 * SECOND);
    bench.feed(Input::Content(1, 1));
    bench.pass(14 * SECOND);
    assert!(!bench.did(&Effect::Kill(1)));
    bench.pass(SECOND);
    assert!(bench.did(&Effect::Kill(1)));
    let after = 10 * SECOND;
    assert!(
        matches!(bench.error(1), LocalError::WorkerLost { loss, content_sent: true, .. }
            if *loss == Loss::Silent { after })
    );
}

#[test]
fn a_crash_loop_ends_in_quarantine_until_it_cools_down_or_is_reset() {
    let mut bench = Bench::new(limits());
    bench.feed(Input::Submit(1));
    let mut starts = Vec::new();
    for generation in 1..=4 {
        starts.push(bench.now);
        assert!(bench.did(&Effect::Start(generation)));
        bench.feed(Input::Gone(generation, killed()));
        if generation < 4 {
            let due = bench.supervision.poll_timeout().unwrap();
            bench.pass(due - bench.now);
        }
    }
    assert_eq!(starts, [0, 1, 3, 6].map(|n| n * SECOND));
    assert!(matches!(bench.error(1), LocalError::Quarantined { .. }));
    bench.feed(Input::Submit(2));
    let retry_after = Some(60 * SECOND);
    assert_eq!(
        *bench.error(2),
        LocalError::Quarantined {
            loss: killed(),
            retry_after
        }
    );
    bench.pass(60 * SECOND);
    assert!(bench.did(&Effect::Start(5)));
    bench.feed(Input::Ready(5));
    assert!(bench.is_ready);

    for generation in 5..9 {
        bench.feed(Input::Gone(generation, killed()));
        bench.pass(3 * SECOND);
    }
    assert!(!bench.did(&Effect::Start(9)));
    bench.feed(Input::Reset);
    assert!(bench.did(&Effect::Start(9)));
}

#[test]
fn a_cancelled_request_is_forgotten_or_stopped() {
    let mut bench = Bench::serving();
    for id in [1, 2, 3] {
        bench.feed(Input::Submit(id));
    }
    bench.feed(Input::Cancel(3));
    assert_eq!(bench.ends[&3], [None]);
    bench.feed(Input::Cancel(1));
    bench.feed(Input::Cancel(1));
    let cancels = bench.effects.iter().filter(|e| **e == Effect::Cancel(1, 1));
    assert_eq!(cancels.count(), 1);
    bench.feed(Input::Lost(1, poisoned()));
    assert_eq!(bench.ends[&1], [None]);
}

#[test]
fn the_queue_has_an_end() {
    let mut bench = Bench::serving();
    for id in 1..=7 {
        bench.feed(Input::Submit(id));
    }
    assert_eq!(*bench.error(7), LocalError::QueueFull { waiting: 4 });
}

#[test]
fn a_shutdown_waits_for_what_runs_and_then_insists() {
    let mut bench = Bench::serving();
    bench.feed(Input::Submit(1));
    bench.feed(Input::Shutdown);
    bench.feed(Input::Submit(2));
    assert_eq!(*bench.error(2), LocalError::ShuttingDown);
    assert!(!bench.did(&Effect::Terminate(1)));
    bench.feed(Input::Answered(1, 1));
    assert!(bench.did(&Effect::Terminate(1)) && !bench.did(&Effect::Kill(1)));
    bench.pass(5 * SECOND);
    assert!(bench.did(&Effect::Kill(1)) && !bench.did(&Effect::Stopped));
    bench.feed(Input::Gone(1, killed()));
    assert!(bench.did(&Effect::Stopped));

    let mut bench = Bench::serving();
    bench.feed(Input::Submit(1));
    bench.feed(Input::Shutdown);
    for _ in 0..5 {
        bench.feed(Input::Content(1, 1));
        bench.pass(4 * SECOND);
    }
    assert_eq!(*bench.error(1), LocalError::ShuttingDown);
    assert!(bench.did(&Effect::Terminate(1)));
}

/// What a simulated worker or the world around it does next.
#[derive(Debug, Clone)]
enum Move {
    Submit,
    Cancel(u64),
    Load,
    Begin,
    Speak,
    Answer,
    Beat,
    Poison,
    Die,
    Mute,
    Wait(u64),
    Reset,
    Shutdown,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => Just(Move::Submit),
        2 => (0..20_u64).prop_map(Move::Cancel),
        4 => Just(Move::Load),
        5 => Just(Move::Begin),
        5 => Just(Move::Speak),
        5 => Just(Move::Answer),
        3 => Just(Move::Beat),
        1 => Just(Move::Poison),
        1 => Just(Move::Die),
        1 => Just(Move::Mute),
        4 => (0..40_u64).prop_map(Move::Wait),
        1 => Just(Move::Reset),
    ];
    (prop::collection::vec(one, 0..120), any::<bool>()).prop_map(|(mut moves, ends)| {
        if ends {
            moves.push(Move::Shutdown);
        }
        moves
    })
}

/// The process that is supervised.
#[derive(Debug, Default)]
struct World {
    generation: Generation,
    is_alive: bool,
    is_mute: bool,
    has: Vec<RequestId>,
    beat: u64,
    seen: usize,
}

impl World {
    /// Carries out what was decided since the last time.
    fn follow(&mut self, bench: &mut Bench) {
        while let Some(effect) = bench.effects.get(self.seen).cloned() {
            self.seen += 1;
            match effect {
                Effect::Start(generation) => {
                    assert!(!self.is_alive, "two processes share a device");
                    *self = Self {
                        generation,
                        is_alive: true,
                        seen: self.seen,
                        ..Self::default()
                    };
                }
                Effect::Give(generation, id) => {
                    assert_eq!(generation, self.generation);
                    self.has.push(id);
                }
                Effect::Beat(_, beat) => self.beat = beat,
                Effect::Terminate(_) | Effect::Kill(_) if self.is_alive => self.die(bench),
                _ => {}
            }
        }
    }

    fn die(&mut self, bench: &mut Bench) {
        self.is_alive = false;
        bench.feed(Input::Gone(self.generation, killed()));
    }

    fn act(&mut self, bench: &mut Bench, one: &Move) {
        let generation = self.generation;
        let first = self.has.first().copied();
        match one {
            _ if !self.is_alive || self.is_mute => {}
            Move::Load => bench.feed(Input::Ready(generation)),
            Move::Begin => first
                .into_iter()
                .for_each(|id| bench.feed(Input::Begun(generation, id))),
            Move::Speak => first
                .into_iter()
                .for_each(|id| bench.feed(Input::Content(generation, id))),
            Move::Answer => {
                if let Some(id) = first {
                    self.has.remove(0);
                    bench.feed(Input::Answered(generation, id));
                }
            }
            Move::Beat => bench.feed(Input::Beaten(generation, self.beat)),
            Move::Poison => bench.feed(Input::Lost(generation, poisoned())),
            Move::Die => self.die(bench),
            Move::Mute => self.is_mute = true,
            _ => {}
        }
        self.follow(bench);
    }
}

proptest! {
    #[test]
    fn after_any_faults_every_request_ends_once_and_the_model_is_ready_again(moves in moves()) {
        let mut bench = Bench::new(limits());
        let mut world = World::default();
        world.follow(&mut bench);
        let mut submitted = 0;
        for one in &moves {
            match one {
                Move::Submit => {
                    submitted += 1;
                    bench.feed(Input::Submit(submitted));
                }
                Move::Cancel(id) => bench.feed(Input::Cancel(*id)),
                Move::Wait(seconds) => bench.pass(SECOND * u32::try_from(*seconds).unwrap()),
                Move::Reset => bench.feed(Input::Reset),
                Move::Shutdown => bench.feed(Input::Shutdown),
                _ => {}
            }
            world.follow(&mut bench);
            world.act(&mut bench, one);
        }
        // From here on workers behave, and time goes on.
        for _ in 0..400 {
            bench.pass(SECOND);
            world.follow(&mut bench);
            for one in [Move::Load, Move::Begin, Move::Beat, Move::Answer] {
                world.act(&mut bench, &one);
            }
        }
        for id in 1..=submitted {
            let ends = bench.ends.get(&id).map_or(0, Vec::len);
            prop_assert_eq!(ends, 1, "request {}", id);
        }
        prop_assert_eq!(bench.supervision.in_flight(), 0);
        let is_shut = matches!(moves.last(), Some(Move::Shutdown));
        prop_assert_eq!(bench.is_ready, !is_shut);
        prop_assert_eq!(bench.did(&Effect::Stopped), is_shut);
    }
}
