//! Dispositions: what each signal does to a thread group, `sigaction(2)`.

use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::abi::signal::{DefaultAction, KernelSigAction, SIG_DFL, SIG_IGN, SigActionFlags};
use lx_core::abi::{SigSet, Signal};
use lx_core::sync::{Mutex, level};

/// Number of signals.
const SIGNALS: usize = 64;

/// The signals whose default action does nothing when they are delivered. `SIGCONT` is one: it has
/// continued the process when it was sent.
pub const DEFAULT_IGNORED: SigSet = SigSet::EMPTY
    .with(Signal::SIGCHLD)
    .with(Signal::SIGCONT)
    .with(Signal::SIGURG)
    .with(Signal::SIGWINCH);

/// The dispositions of a thread group, or of several that share them (`CLONE_SIGHAND`).
pub struct SignalActions {
    table: Mutex<[KernelSigAction; SIGNALS], { level::SIGNAL_ACTIONS }>,
    /// Signals set to `SIG_IGN`, so that senders need no lock.
    ignored: AtomicU64,
    /// Signals with a handler.
    caught: AtomicU64,
}

impl SignalActions {
    /// All signals have their default action.
    pub fn new() -> Self {
        Self {
            table: Mutex::new([KernelSigAction::default(); SIGNALS]),
            ignored: AtomicU64::new(0),
            caught: AtomicU64::new(0),
        }
    }

    /// A copy, for a child that does not share them.
    pub fn duplicate(&self) -> Self {
        let table = self.table.lock();
        Self {
            table: Mutex::new(*table),
            ignored: AtomicU64::new(self.ignored.load(Ordering::Relaxed)),
            caught: AtomicU64::new(self.caught.load(Ordering::Relaxed)),
        }
    }

    /// The action of one signal.
    pub fn get(&self, signal: Signal) -> KernelSigAction {
        self.table.lock().get(signal.index()).copied().unwrap_or_default()
    }

    /// Replaces the action of one signal; the former one is returned.
    pub fn set(&self, signal: Signal, action: KernelSigAction) -> KernelSigAction {
        let mut table = self.table.lock();
        self.note(signal, action.handler);
        match table.get_mut(signal.index()) {
            Some(slot) => core::mem::replace(slot, action),
            None => KernelSigAction::default(),
        }
    }

    /// The action for a delivery: `SA_RESETHAND` resets it at the same moment.
    pub(crate) fn take_for_delivery(&self, signal: Signal) -> KernelSigAction {
        let mut table = self.table.lock();
        let Some(slot) = table.get_mut(signal.index()) else { return KernelSigAction::default() };
        let action = *slot;
        if action.known_flags().contains(SigActionFlags::SA_RESETHAND) && action.handler > SIG_IGN {
            slot.handler = SIG_DFL;
            self.note(signal, SIG_DFL);
        }
        action
    }

    fn note(&self, signal: Signal, handler: u64) {
        let bit = SigSet::only(signal).0;
        let put = |set: &AtomicU64, on| {
            let old = set.load(Ordering::Relaxed);
            set.store(if on { old | bit } else { old & !bit }, Ordering::Relaxed);
        };
        put(&self.ignored, handler == SIG_IGN);
        put(&self.caught, handler != SIG_IGN && handler != SIG_DFL);
    }

    /// Signals set to `SIG_IGN`.
    pub fn ignored(&self) -> SigSet {
        SigSet(self.ignored.load(Ordering::Relaxed))
    }

    /// Signals with a handler.
    pub fn caught(&self) -> SigSet {
        SigSet(self.caught.load(Ordering::Relaxed))
    }

    /// Whether the signal has no effect, by choice or by default.
    pub fn ignores(&self, signal: Signal) -> bool {
        self.ignored().contains(signal)
            || (DEFAULT_IGNORED.contains(signal) && !self.caught().contains(signal))
    }

    /// Whether the action is to ignore the signal, not just its default.
    pub(crate) fn ignores_explicitly(&self, signal: Signal) -> bool {
        self.get(signal).handler == SIG_IGN
    }

    /// Whether children that end leave no zombie behind.
    pub fn reaps_children(&self) -> bool {
        let action = self.get(Signal::SIGCHLD);
        action.handler == SIG_IGN || action.known_flags().contains(SigActionFlags::SA_NOCLDWAIT)
    }

    /// Whether the parent wants to hear of children that stop or continue.
    pub fn wants_child_stops(&self) -> bool {
        let action = self.get(Signal::SIGCHLD);
        action.handler != SIG_IGN && !action.known_flags().contains(SigActionFlags::SA_NOCLDSTOP)
    }

    /// What `execve(2)` and `CLONE_CLEAR_SIGHAND` leave: ignored signals stay ignored, all others
    /// have their default action.
    pub fn reset_handlers(&self) {
        let mut table = self.table.lock();
        for action in table.iter_mut() {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = KernelSigAction { handler, ..KernelSigAction::default() };
        }
        self.caught.store(0, Ordering::Relaxed);
    }
}

impl Default for SignalActions {
    fn default() -> Self {
        Self::new()
    }
}

/// What is to be done with a signal that has been taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// The thread group ends.
    Kill,
    /// The thread group stops.
    Stop,
    /// A handler runs.
    Handle(KernelSigAction),
}

/// The effect of a signal with this action.
pub(crate) fn effect(signal: Signal, action: KernelSigAction) -> Effect {
    match action.handler {
        SIG_IGN => Effect::None,
        SIG_DFL => match signal.default_action() {
            DefaultAction::Terminate | DefaultAction::Core => Effect::Kill,
            DefaultAction::Ignore | DefaultAction::Continue => Effect::None,
            DefaultAction::Stop => Effect::Stop,
        },
        _ => Effect::Handle(action),
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, SignalActions, effect};
    use lx_core::abi::Signal;
    use lx_core::abi::signal::{KernelSigAction, SIG_IGN, SigActionFlags};

    fn handler(flags: SigActionFlags) -> KernelSigAction {
        KernelSigAction { handler: 0x1000, flags: flags.bits(), ..KernelSigAction::default() }
    }

    #[test]
    fn ignored_by_choice_or_default() {
        let actions = SignalActions::new();
        assert!(actions.ignores(Signal::SIGCHLD) && !actions.ignores(Signal::SIGUSR1));
        actions.set(Signal::SIGCHLD, handler(SigActionFlags::empty()));
        assert!(!actions.ignores(Signal::SIGCHLD));
        let ignore = KernelSigAction { handler: SIG_IGN, ..KernelSigAction::default() };
        actions.set(Signal::SIGUSR1, ignore);
        assert!(actions.ignores(Signal::SIGUSR1));
        let copy = actions.duplicate();
        copy.reset_handlers();
        assert!(copy.ignores(Signal::SIGUSR1) && copy.ignores(Signal::SIGCHLD));
        assert!(copy.caught().is_empty() && !actions.caught().is_empty());
    }

    #[test]
    fn one_shot_handlers() {
        let actions = SignalActions::new();
        actions.set(Signal::SIGUSR1, handler(SigActionFlags::SA_RESETHAND));
        assert_eq!(actions.take_for_delivery(Signal::SIGUSR1).handler, 0x1000);
        assert_eq!(actions.take_for_delivery(Signal::SIGUSR1).handler, 0);
        assert!(actions.caught().is_empty());
    }

    #[test]
    fn default_effects() {
        let default = KernelSigAction::default();
        assert_eq!(effect(Signal::SIGTERM, default), Effect::Kill);
        assert_eq!(effect(Signal::SIGSEGV, default), Effect::Kill);
        assert_eq!(effect(Signal::SIGTSTP, default), Effect::Stop);
        assert_eq!(effect(Signal::SIGCONT, default), Effect::None);
        assert_eq!(effect(Signal::MAX, default), Effect::Kill);
    }
}
