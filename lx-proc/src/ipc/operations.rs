//! What one call of `semop(2)` does.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use lx_core::Result;
use lx_core::abi::UserPtr;
use lx_core::abi::ipc::{SEM_UNDO, Sembuf};
use lx_core::user_memory::UserMemory;

/// Operations that are kept without allocating.
const FEW: usize = 4;
/// The operations of one call, all done together or not at all.
#[derive(Clone)]
pub enum Operations {
    /// So many as most calls have.
    Few(ArrayVec<Sembuf, FEW>),
    /// More.
    Many(Vec<Sembuf>),
}

impl Operations {
    /// Reads `count` operations.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read(memory: UserMemory, array: UserPtr<Sembuf>, count: usize) -> Result<Self> {
        if count > FEW {
            return memory.read_array(array, count).map(Self::Many);
        }
        let one = |index: usize| memory.read(array.offset(index as u64)?);
        (0..count).map(one).collect::<Result<_>>().map(Self::Few)
    }

    pub(super) fn as_slice(&self) -> &[Sembuf] {
        match self {
            Self::Few(few) => few,
            Self::Many(many) => many,
        }
    }

    pub(super) fn any_undo(&self) -> bool {
        self.as_slice().iter().any(|operation| operation.flags & SEM_UNDO != 0)
    }

    /// Whether a semaphore is changed, not only compared with zero.
    pub fn alter(&self) -> bool {
        self.as_slice().iter().any(|operation| operation.op != 0)
    }
}
