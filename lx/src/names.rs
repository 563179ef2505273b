//! Names that come as bytes.

use std::ffi::OsString;

/// A name of the host from bytes that were part of one, or that came from the guest.
#[cfg(unix)]
pub(crate) fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.to_vec())
}

/// A name of the host from bytes that were part of one, or that came from the guest. Windows'
/// names are Unicode; what is none cannot be named there.
#[cfg(windows)]
pub(crate) fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}
