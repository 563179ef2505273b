//! Why a command could not be started.

use std::ffi::OsString;
use std::{error, fmt, io};

use lx_core::abi::Errno;
use lx_core::control::SpawnFailed;
pub use lx_core::control::Stage;

const ENOENT: i32 = 2;
const EACCES: i32 = 13;

/// Why a command could not be started; inside the [`io::Error`] that
/// [`Command::spawn`](crate::Command::spawn) returns.
///
/// ```no_run
/// # let machine = lx::Machine::builder().build().unwrap();
/// let error = machine.command("no-such-program").spawn().unwrap_err();
/// let error = error.get_ref().unwrap().downcast_ref::<lx::SpawnError>().unwrap();
/// assert!(error.is_not_found());
/// ```
#[derive(Clone, Debug)]
pub struct SpawnError {
    program: OsString,
    directory: OsString,
    stage: Stage,
    errno: i32,
    message: String,
}

impl SpawnError {
    pub(crate) fn new(program: OsString, directory: OsString, failure: SpawnFailed) -> Self {
        let SpawnFailed { stage, errno, message, .. } = failure;
        Self { program, directory, stage, errno, message }
    }

    /// The step that failed.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The Linux error number.
    pub fn raw_os_error(&self) -> i32 {
        self.errno
    }

    /// The program, or the interpreter it needs, does not exist.
    pub fn is_not_found(&self) -> bool {
        self.is_about_program() && self.errno == ENOENT
    }

    /// The program exists but cannot be executed.
    pub fn is_not_executable(&self) -> bool {
        self.is_about_program() && self.errno != ENOENT
    }

    fn is_about_program(&self) -> bool {
        matches!(self.stage, Stage::Lookup | Stage::Execute)
    }

    /// What went wrong, without saying where.
    fn reason(&self) -> String {
        if !self.message.is_empty() {
            return self.message.clone();
        }
        let errno = u16::try_from(self.errno).ok().and_then(Errno::from_number);
        errno.map_or_else(|| format!("error {}", self.errno), |errno| errno.text().to_lowercase())
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program.display();
        let has_slash = self.program.as_encoded_bytes().contains(&b'/');
        match self.stage {
            Stage::Lookup if self.is_not_found() && !has_slash => {
                write!(f, "cannot find '{program}' in the PATH of the guest")
            }
            Stage::Lookup | Stage::Execute => {
                write!(f, "cannot execute '{program}': {}", self.reason())
            }
            Stage::Directory => write!(
                f,
                "cannot run '{program}' in the working directory '{}': {}",
                self.directory.display(),
                self.reason()
            ),
            Stage::Process => {
                write!(f, "cannot make a process for '{program}': {}", self.reason())
            }
        }
    }
}

impl error::Error for SpawnError {}

impl From<SpawnError> for io::Error {
    fn from(error: SpawnError) -> Self {
        let kind = match error.errno {
            ENOENT => io::ErrorKind::NotFound,
            EACCES => io::ErrorKind::PermissionDenied,
            // The host's own numbers are other ones, unless it is Linux.
            errno if cfg!(unix) => Self::from_raw_os_error(errno).kind(),
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
