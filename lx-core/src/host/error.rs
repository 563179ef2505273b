//! Errors that a host reports, and their one mapping to Linux's.

use crate::abi::Errno;

/// Why a host could not do what it was asked for: a Linux error number, because that is what the
/// guest gets to see. A host maps its own codes once, where it makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostError(pub Errno);

/// Result of a host call.
pub type HostResult<T> = Result<T, HostError>;

impl From<HostError> for Errno {
    fn from(error: HostError) -> Self {
        error.0
    }
}
