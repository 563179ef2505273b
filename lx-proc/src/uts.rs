//! Names of the system, `uname(2)`.

use alloc::vec::Vec;

use lx_core::abi::utsname::NewUtsname;
use lx_core::sync::{Mutex, level};

/// Release that programs see: one that current C libraries and systemd accept.
pub const RELEASE: &str = "6.1.0-lx";
/// Version.
pub const VERSION: &str = concat!("#1 SMP lx ", env!("CARGO_PKG_VERSION"));
/// What `/proc/version` begins with.
pub const SYSNAME: &str = "Linux";

/// Host name and domain name.
pub struct UtsNames {
    names: Mutex<(Vec<u8>, Vec<u8>), { level::TASK }>,
}

impl Default for UtsNames {
    fn default() -> Self {
        Self { names: Mutex::new((b"lx".to_vec(), b"(none)".to_vec())) }
    }
}

impl UtsNames {
    /// Host name.
    pub fn host_name(&self) -> Vec<u8> {
        self.names.lock().0.clone()
    }

    /// `sethostname(2)`.
    pub fn set_host_name(&self, name: Vec<u8>) {
        self.names.lock().0 = name;
    }

    /// Domain name.
    pub fn domain_name(&self) -> Vec<u8> {
        self.names.lock().1.clone()
    }

    /// `setdomainname(2)`.
    pub fn set_domain_name(&self, name: Vec<u8>) {
        self.names.lock().1 = name;
    }

    /// What `uname(2)` reports.
    pub fn utsname(&self) -> NewUtsname {
        NewUtsname {
            sysname: NewUtsname::field(SYSNAME.as_bytes()),
            nodename: NewUtsname::field(&self.host_name()),
            release: NewUtsname::field(RELEASE.as_bytes()),
            version: NewUtsname::field(VERSION.as_bytes()),
            machine: NewUtsname::field(b"x86_64"),
            domainname: NewUtsname::field(&self.domain_name()),
        }
    }
}
