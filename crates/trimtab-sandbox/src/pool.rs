//! Several jobs side by side, while the caller does something else.
//!
//! Every job still has a sandbox of its own, so that side by side means nothing to a program. The
//! answers come in the order in which jobs end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Threads that take jobs from one queue.
#[derive(Debug)]
pub struct Pool<Job, Answer> {
    /// Absent once no more jobs come.
    queue: Option<Sender<Job>>,
    answers: Receiver<Answer>,
    is_cancelled: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl<Job, Answer> Pool<Job, Answer>
where
    Job: Send + 'static,
    Answer: Send + 'static,
{
    /// Starts `n_threads` threads, at least one, that do `work`.
    pub fn start(n_threads: usize, work: impl Fn(Job) -> Answer + Send + Sync + 'static) -> Self {
        let (queue, jobs) = channel::<Job>();
        let (sender, answers) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let work = Arc::new(work);
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let threads = (0..n_threads.max(1))
            .map(|_| {
                let (jobs, work, sender) = (jobs.clone(), work.clone(), sender.clone());
                let is_cancelled = is_cancelled.clone();
                std::thread::spawn(move || {
                    while let Some(job) = next_job(&jobs, &is_cancelled) {
                        if sender.send(work(job)).is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        Self {
            queue: Some(queue),
            answers,
            is_cancelled,
            threads,
        }
    }

    /// Hands over a job; it is begun as soon as a thread is free.
    pub fn submit(&self, job: Job) {
        if let Some(queue) = &self.queue {
            // It fails only if every thread has panicked; then `finish` says so.
            drop(queue.send(job));
        }
    }

    /// An answer that is there already.
    pub fn try_answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Waits for the answers to all jobs that are left.
    ///
    /// # Panics
    /// If the work has panicked.
    pub fn finish(mut self) -> Vec<Answer> {
        self.queue = None;
        let answers = self.answers.iter().collect();
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        answers
    }
}

impl<Job, Answer> Drop for Pool<Job, Answer> {
    /// Jobs that are not begun are dropped; those that run are waited for.
    fn drop(&mut self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A panic was told by the thread itself.
            drop(thread.join());
        }
    }
}

/// The next job; `None` once there will be none.
fn next_job<Job>(jobs: &Mutex<Receiver<Job>>, is_cancelled: &AtomicBool) -> Option<Job> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let job = jobs.recv().ok()?;
    (!is_cancelled.load(Ordering::Relaxed)).then_some(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn every_job_is_answered_once() {
        let pool = Pool::start(3, |n: u32| n * 2);
        for n in 0..100 {
            pool.submit(n);
        }
        let mut answers = pool.finish();
        answers.sort_unstable();
        assert_eq!(answers, (0..100).map(|n| n * 2).collect::<Vec<_>>());
    }

    #[test]
    fn jobs_run_side_by_side() {
        // Two jobs that wait for each other end only if both have begun.
        let barrier = Arc::new(Barrier::new(2));
        let pool = Pool::start(2, move |()| barrier.wait().is_leader());
        pool.submit(());
        pool.submit(());
        assert_eq!(pool.finish().len(), 2);
    }

    #[test]
    fn a_dropped_pool_begins_no_more_jobs() {
        let n_begun = Arc::new(Mutex::new(0));
        let (first, rest) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (count, began, goes_on) = (n_begun.clone(), first.clone(), rest.clone());
        let pool = Pool::start(1, move |n: u32| {
            *count.lock().unwrap() += 1;
            if n == 0 {
                began.wait();
                goes_on.wait();
            }
        });
        for n in 0..5 {
            pool.submit(n);
        }
        first.wait();
        // What dropping does first, while the first job still runs.
        pool.is_cancelled.store(true, Ordering::Relaxed);
        rest.wait();
        drop(pool);
        assert_eq!(*n_begun.lock().unwrap(), 1);
    }
}
