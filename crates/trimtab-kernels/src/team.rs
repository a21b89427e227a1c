//! Threads that stay awake for a run of many short parallel steps.
//!
//! A decode step of a small model is some hundred products of a few microseconds each. The thread
//! pool lets idle workers sleep, and waking them takes longer than such a product. Within
//! [`together`] the pool's workers stand by instead and watch for the next job; [`for_each`] is that
//! job. Outside of it, `for_each` uses the pool in the ordinary way.

use rayon::prelude::*;
use std::{
    cell::Cell,
    hint::spin_loop,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    },
};

/// Looks at the job board before a waiting thread offers its processor to others.
const SPINS: usize = 4_000;

/// Parts of one job; what is more is cut into larger parts by the callers.
const MAX_PARTS: usize = u16::MAX as usize;

type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Where the leader posts jobs, and members take parts of them.
#[derive(Default)]
struct Team {
    /// Number of the job (32 bits), next part (16 bits), parts (16 bits). A part is taken by raising
    /// the middle: whoever succeeds owns a part of that very job.
    board: AtomicU64,
    /// The job's work, while parts of it are not done.
    work: AtomicPtr<&'static Work<'static>>,
    n_done: AtomicUsize,
    has_panicked: AtomicBool,
    is_closed: AtomicBool,
}

thread_local! {
    /// The team that this thread leads.
    static LED: Cell<Option<*const Team>> = const { Cell::new(None) };
}

impl Team {
    /// Takes a part of the job on the board and does it; whether there was one.
    fn do_part(&self) -> bool {
        let mut board = self.board.load(Ordering::Acquire);
        loop {
            let (next, n_parts) = ((board >> 16) & 0xffff, board & 0xffff);
            if next >= n_parts {
                return false;
            }
            let taken = board + (1 << 16);
            let exchange =
                self.board
                    .compare_exchange_weak(board, taken, Ordering::AcqRel, Ordering::Acquire);
            match exchange {
                Ok(_) => {
                    self.run(next as usize);
                    return true;
                }
                Err(now) => board = now,
            }
        }
    }

    fn run(&self, part: usize) {
        // SAFETY: the caller owns a part that is not done, and the leader leaves `work` valid until
        // all parts are.
        let work = unsafe { &**self.work.load(Ordering::Acquire) };
        if catch_unwind(AssertUnwindSafe(|| work(part))).is_err() {
            self.has_panicked.store(true, Ordering::Release);
        }
        self.n_done.fetch_add(1, Ordering::AcqRel);
    }

    /// Posts a job, works on it, and returns when all of it is done.
    fn lead(&self, n_parts: usize, work: &Work<'_>) {
        assert!(n_parts <= MAX_PARTS, "{n_parts} parts");
        // SAFETY: only the lifetime is changed; no part is run after this function has returned.
        let work: &'static Work<'static> = unsafe { std::mem::transmute(work) };
        self.work
            .store((&raw const work).cast_mut(), Ordering::Release);
        self.n_done.store(0, Ordering::Release);
        let number = (self.board.load(Ordering::Relaxed) >> 32).wrapping_add(1) & 0xffff_ffff;
        self.board
            .store(number << 32 | n_parts as u64, Ordering::Release);
        while self.do_part() {}
        let mut waiting = Waiting::default();
        while self.n_done.load(Ordering::Acquire) < n_parts {
            waiting.pause();
        }
        if self.has_panicked.load(Ordering::Acquire) {
            resume_unwind(Box::new("a part of a product panicked"));
        }
    }

    /// Takes parts until the team is closed.
    fn stand_by(&self) {
        let mut waiting = Waiting::default();
        while !self.is_closed.load(Ordering::Acquire) {
            if self.do_part() {
                waiting = Waiting::default();
            } else {
                waiting.pause();
            }
        }
    }
}

/// Waits a little, longer the more often it has waited.
#[derive(Default)]
struct Waiting {
    n_spins: usize,
}

impl Waiting {
    fn pause(&mut self) {
        self.n_spins += 1;
        if self.n_spins < SPINS {
            spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// Closes the team, also when its leader's work panics.
struct Leading<'a>(&'a Team);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        LED.set(None);
        self.0.is_closed.store(true, Ordering::Release);
    }
}

/// Runs `work` inside the thread pool, whose other workers stand by for [`for_each`] until it ends.
pub fn together<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let team = Team::default();
    rayon::scope(|scope| {
        if LED.get().is_some() {
            return work();
        }
        for _ in 1..rayon::current_num_threads() {
            scope.spawn(|_| {
                // A leader that waits for other work of the pool must not stand by for itself.
                if LED.get().is_none() {
                    team.stand_by();
                }
            });
        }
        LED.set(Some(&raw const team));
        let _leading = Leading(&team);
        work()
    })
}

/// Calls `work` with every number below `n_parts`, on all threads.
pub fn for_each(n_parts: usize, work: impl Fn(usize) + Sync) {
    match LED.get() {
        Some(team) if n_parts <= MAX_PARTS => {
            // SAFETY: the team lives on the stack of `together`, which takes the pointer back before
            // it returns.
            let team = unsafe { &*team };
            // Work that calls `for_each` itself does so alone.
            LED.set(None);
            let restore = Restore(team);
            team.lead(n_parts, &work);
            drop(restore);
        }
        _ => (0..n_parts).into_par_iter().for_each(&work),
    }
}

/// What `work` returns for every number below `n_parts`, made on all threads.
pub fn map<R: Send + Sync>(n_parts: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let results: Vec<OnceLock<R>> = (0..n_parts).map(|_| OnceLock::new()).collect();
    for_each(n_parts, |part| {
        // Every part is done once, so none is set before.
        let _ = results[part].set(work(part));
    });
    results
        .into_iter()
        .map(|result| result.into_inner().expect("every part is done"))
        .collect()
}

/// Calls `work` with every piece of `len` values and its number, on all threads; the last piece may be
/// shorter.
pub fn for_each_chunk<T: Send>(
    values: &mut [T],
    len: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let (start, total) = (Shared(values.as_mut_ptr()), values.len());
    for_each(total.div_ceil(len), |part| {
        let first = part * len;
        // SAFETY: pieces lie inside the slice and do not overlap; each is handed out once.
        let piece = unsafe {
            std::slice::from_raw_parts_mut(start.get().add(first), len.min(total - first))
        };
        work(part, piece);
    });
}

/// A pointer that threads may share.
struct Shared<T>(*mut T);

// SAFETY: its user keeps the places that threads reach apart.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

/// Makes a thread the leader again.
struct Restore(*const Team);

impl Drop for Restore {
    fn drop(&mut self) {
        LED.set(Some(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_in_a_team_and_without() {
        let count = |n_parts: usize| {
            let seen: Vec<AtomicUsize> = (0..n_parts).map(|_| AtomicUsize::new(0)).collect();
            for_each(n_parts, |part| {
                seen[part].fetch_add(1, Ordering::Relaxed);
            });
            assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
        };
        for n_parts in [0, 1, 7, 1000] {
            count(n_parts);
        }
        together(|| {
            for n_parts in (0..2000).map(|i| i % 40) {
                count(n_parts);
            }
            together(|| count(9));
        });
    }

    #[test]
    fn pieces_cover_a_slice_and_results_keep_their_order() {
        let mut values = vec![0_usize; 103];
        together(|| {
            for_each_chunk(&mut values, 10, |piece, values| {
                for value in values {
                    *value += piece + 1;
                }
            });
        });
        assert!((0..103).all(|idx| values[idx] == idx / 10 + 1));
        assert_eq!(map(5, |part| part * part), [0, 1, 4, 9, 16]);
    }

    #[test]
    fn jobs_inside_jobs_and_teams_side_by_side_end() {
        let total = AtomicUsize::new(0);
        rayon::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|_| {
                    together(|| {
                        for_each(5, |_| {
                            for_each(3, |_| {
                                total.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                        let sum: usize = (0..100_usize).into_par_iter().sum();
                        assert_eq!(sum, 4950);
                    });
                });
            }
        });
        assert_eq!(total.into_inner(), 6 * 15);
    }

    #[test]
    fn a_panic_in_a_part_reaches_the_caller_and_frees_the_threads() {
        let result = catch_unwind(|| {
            together(|| for_each(8, |part| assert!(part != 5, "part five")));
        });
        assert!(result.is_err());
        together(|| for_each(8, |_| {}));
    }
}
