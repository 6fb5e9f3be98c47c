//! The search through all interleavings.

use std::collections::HashSet;
use std::hash::Hash;

/// States looked at before a model is called too large.
const STATES_MAX: usize = 5_000_000;

/// What a thread can do.
pub(super) enum Turn<M> {
    /// Nothing more.
    Done,
    /// Nothing until others have moved.
    Waits,
    /// One of these: more than one where the world decides.
    Steps(Vec<(&'static str, Result<M, String>)>),
}

/// Threads and what they share, at one moment.
pub(super) trait Model: Clone + Eq + Hash {
    /// How many threads there are.
    fn threads(&self) -> usize;
    /// What one of them can do next. A step's error is a promise that it breaks.
    fn turn(&self, thread: usize) -> Turn<Self>;
}

/// One step of one thread.
pub(super) fn step<M>(name: &'static str, next: M) -> Turn<M> {
    Turn::Steps(vec![(name, Ok(next))])
}

/// Looks at every state that can be reached; says how many there are.
///
/// # Errors
/// The first broken promise found, and the steps that lead to it.
pub(super) fn explore<M: Model>(start: &M) -> Result<usize, String> {
    let mut seen = HashSet::from([start.clone()]);
    // Depth first: each state with the turns it has not taken yet.
    let mut path: Vec<(Vec<(String, M)>, String)> = vec![(moves(start)?, String::new())];
    while let Some((open, _)) = path.last_mut() {
        let Some((name, next)) = open.pop() else {
            path.pop();
            continue;
        };
        if !seen.insert(next.clone()) {
            continue;
        }
        assert!(seen.len() < STATES_MAX, "the model is too large");
        let trail = || {
            let names = path.iter().map(|(_, name)| name.as_str());
            names.chain([name.as_str()]).collect::<Vec<_>>().join("\n")
        };
        let moves = moves(&next).map_err(|broken| format!("{broken} after{}", trail()))?;
        path.push((moves, name));
    }
    Ok(seen.len())
}

/// Every step that can be taken, and where it leads.
fn moves<M: Model>(state: &M) -> Result<Vec<(String, M)>, String> {
    let mut open = Vec::new();
    let mut waiting = 0;
    for thread in 0..state.threads() {
        match state.turn(thread) {
            Turn::Done => {}
            Turn::Waits => waiting += 1,
            Turn::Steps(steps) => {
                for (name, next) in steps {
                    let next =
                        next.map_err(|broken| format!("thread {thread}, {name}: {broken}"))?;
                    open.push((format!("thread {thread}: {name}"), next));
                }
            }
        }
    }
    if open.is_empty() && waiting > 0 {
        return Err(format!("{waiting} threads wait for ever"));
    }
    Ok(open)
}
