//! The queue of bytes that were typed and not read.

use alloc::collections::VecDeque;

use lx_core::abi::tty::POSIX_VDISABLE;

/// Bytes that the queue holds, `N_TTY_BUF_SIZE`. One place stays free.
pub(super) const SIZE: usize = 4096;

/// A byte of input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::tty) struct Cell {
    pub(in crate::tty) byte: u8,
    /// It is the last one of a line; the disabled character stands for an end of file then.
    pub(in crate::tty) ends_line: bool,
}

impl Cell {
    /// Whether it is no byte, but an end of file.
    pub(in crate::tty) fn is_end_of_file(self) -> bool {
        self.ends_line && self.byte == POSIX_VDISABLE
    }
}

/// The queue.
pub(in crate::tty) struct Input {
    cells: VecDeque<Cell>,
    /// In canonical mode: how many of them belong to finished lines.
    finished: usize,
    /// In the other mode: whether a byte came since it began or the queue was cleared.
    began: bool,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { cells: VecDeque::new(), finished: 0, began: false }
    }

    /// Whether a byte fits.
    pub(super) fn has_room(&self) -> bool {
        self.cells.len() < SIZE - 1
    }

    /// Whether a line is finished.
    pub(in crate::tty) fn has_line(&self) -> bool {
        self.finished > 0
    }

    /// Bytes of whatever kind.
    pub(in crate::tty) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Bytes of finished lines, ends of file left out.
    pub(in crate::tty) fn line_bytes(&self) -> usize {
        self.cells.iter().take(self.finished).filter(|cell| !cell.is_end_of_file()).count()
    }

    /// Adds a byte; the last one makes room for it if there is no other.
    pub(super) fn push(&mut self, cell: Cell) {
        if self.cells.len() >= SIZE {
            self.cells.pop_back();
        }
        self.cells.push_back(cell);
        self.began = true;
    }

    /// What was added since the last one belongs to finished lines now.
    pub(super) fn finish_line(&mut self) {
        self.finished = self.cells.len();
    }

    /// The unfinished line.
    pub(super) fn line(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        self.cells.iter().skip(self.finished).map(|cell| cell.byte)
    }

    pub(super) fn line_is_empty(&self) -> bool {
        self.cells.len() <= self.finished
    }

    /// Whether the next byte is the first one of a line. Outside of canonical mode there is one line,
    /// however much of it was read.
    pub(super) fn begins_line(&self, canonical: bool) -> bool {
        if canonical { self.line_is_empty() } else { !self.began }
    }

    /// Takes the last bytes of the unfinished line away.
    pub(super) fn erase(&mut self, count: usize) {
        let left = self.cells.len().saturating_sub(count).max(self.finished);
        self.cells.truncate(left);
    }

    pub(super) fn clear(&mut self) {
        self.cells.clear();
        self.finished = 0;
        self.began = false;
    }

    /// Canonical mode begins or ends: what is there is one line, or no line at all.
    pub(super) fn mode_changed(&mut self, canonical: bool) {
        for cell in &mut self.cells {
            cell.ends_line = false;
        }
        self.finished = 0;
        self.began = !self.cells.is_empty();
        if canonical && let Some(last) = self.cells.back_mut() {
            // Not an end of file, even if it is the disabled character.
            last.ends_line = last.byte != POSIX_VDISABLE;
            self.finished = self.cells.len();
        }
    }

    /// See [`Discipline::read`](super::Discipline::read).
    pub(super) fn take(&mut self, cells: &mut [Cell], canonical: bool, exact: bool) -> usize {
        let there = if canonical { self.finished } else { self.cells.len() };
        let mut taken = 0;
        for (place, _) in cells.iter_mut().zip(0..there) {
            let Some(cell) = self.cells.pop_front() else { break };
            *place = cell;
            taken += 1;
            if canonical && cell.ends_line {
                break;
            }
        }
        self.finished = self.finished.saturating_sub(taken);
        let ended = taken > 0 && cells.get(taken - 1).is_some_and(|cell| cell.ends_line);
        if canonical
            && exact
            && taken == cells.len()
            && !ended
            && self.finished > 0
            && self.cells.front().is_some_and(|cell| cell.is_end_of_file())
        {
            self.cells.pop_front();
            self.finished -= 1;
        }
        taken
    }

    pub(super) fn put_back(&mut self, cells: &[Cell], canonical: bool) {
        for cell in cells.iter().rev() {
            self.cells.push_front(*cell);
        }
        if canonical {
            self.finished += cells.len();
        }
    }
}
