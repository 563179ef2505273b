//! Sockets that only messages refer to which nobody can receive.
//!
//! A socket may lie in its own queue, or two in each other's. When a socket is closed while others
//! are on their way, those that are referred to from queues alone are looked at: what is not found,
//! directly or through others, from a socket that somebody holds, is never received, and its queue
//! is emptied. What others do meanwhile can only make more sockets count as held.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use lx_core::file::OpenFile;
use lx_core::sync::{Mutex, level};

use super::{Role, UnixSocket, rights};
use crate::socket::{Family, Socket};

/// The `AF_UNIX` sockets on their way by the address of their description, and how often each is.
static TRAVELLING: Mutex<BTreeMap<usize, (Weak<OpenFile>, usize)>, { level::CACHE }> =
    Mutex::new(BTreeMap::new());

fn socket_of(file: &OpenFile) -> Option<&UnixSocket> {
    match file.ops_as::<Socket>()?.family() {
        Family::Unix(socket) => Some(socket),
        _ => None,
    }
}

fn address(file: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(file).addr()
}

/// A file is put into a message.
pub(super) fn departs(file: &Arc<OpenFile>) {
    if socket_of(file).is_some() {
        let mut travelling = TRAVELLING.lock();
        let entry = travelling.entry(address(file)).or_insert((Arc::downgrade(file), 0));
        entry.1 += 1;
    }
}

/// A file is taken out of a message.
pub(super) fn arrives(file: &Arc<OpenFile>) {
    if socket_of(file).is_some() {
        let mut travelling = TRAVELLING.lock();
        if let Some(entry) = travelling.get_mut(&address(file)) {
            entry.1 = entry.1.saturating_sub(1);
            if entry.1 == 0 {
                travelling.remove(&address(file));
            }
        }
    }
}

/// The addresses of the files in a socket's queue, and in those of the ones that wait to be
/// accepted.
fn contents(socket: &UnixSocket) -> Vec<usize> {
    let (mut found, pending) = {
        let state = socket.state.lock();
        let pending: Vec<Arc<UnixSocket>> = match &state.role {
            Role::Listening { pending, .. } => pending.iter().cloned().collect(),
            _ => Vec::new(),
        };
        (state.queue.files(), pending)
    };
    for socket in pending {
        found.extend(contents(&socket));
    }
    found
}

struct Candidate {
    file: Arc<OpenFile>,
    contents: Vec<usize>,
    /// References from queues of sockets that are no candidates.
    outside: usize,
    held: bool,
}

/// Empties the queues of sockets that nobody can reach any more.
pub(super) fn collect() {
    if rights::is_dropping() {
        return;
    }
    let snapshot: Vec<(Arc<OpenFile>, usize)> = {
        let travelling = TRAVELLING.lock();
        if travelling.is_empty() {
            return;
        }
        travelling.values().filter_map(|(file, count)| Some((file.upgrade()?, *count))).collect()
    };
    let mut candidates: BTreeMap<usize, Candidate> = snapshot
        .into_iter()
        // One reference more is the one just made.
        .filter(|(file, count)| Arc::strong_count(file) == count + 1)
        .filter_map(|(file, count)| {
            let contents = contents(socket_of(&file)?);
            let at = address(&file);
            Some((at, Candidate { file, contents, outside: count, held: false }))
        })
        .collect();
    let inside: Vec<usize> =
        candidates.values().flat_map(|candidate| candidate.contents.iter().copied()).collect();
    for at in inside {
        if let Some(candidate) = candidates.get_mut(&at) {
            candidate.outside = candidate.outside.saturating_sub(1);
        }
    }
    let mut reached: Vec<usize> = candidates
        .iter()
        .filter(|(_, candidate)| candidate.outside > 0)
        .map(|(at, _)| *at)
        .collect();
    while let Some(at) = reached.pop() {
        if let Some(candidate) = candidates.get_mut(&at)
            && !candidate.held
        {
            candidate.held = true;
            reached.extend(candidate.contents.iter().copied());
        }
    }
    let lost = candidates.into_values().filter(|candidate| !candidate.held);
    let queues: Vec<_> = lost
        .filter_map(|candidate| {
            let mut state = socket_of(&candidate.file)?.state.lock();
            Some(core::mem::take(&mut state.queue))
        })
        .collect();
    drop(queues);
}
