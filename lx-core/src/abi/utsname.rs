//! The system's name: `include/uapi/linux/utsname.h`, uname(2).

/// The size of each field, with its NUL.
pub const UTS_FIELD_LEN: usize = 65;

abi_struct! {
    /// `struct new_utsname`: NUL-terminated strings
    pub struct NewUtsname = linux_raw_sys::system::new_utsname {
        pub sysname: [u8; UTS_FIELD_LEN],
        pub nodename: [u8; UTS_FIELD_LEN],
        pub release: [u8; UTS_FIELD_LEN],
        pub version: [u8; UTS_FIELD_LEN],
        pub machine: [u8; UTS_FIELD_LEN],
        pub domainname: [u8; UTS_FIELD_LEN],
    }
}

impl NewUtsname {
    /// A field that holds `text`, cut to 64 bytes.
    #[must_use]
    pub fn field(text: &[u8]) -> [u8; UTS_FIELD_LEN] {
        let mut field = [0; UTS_FIELD_LEN];
        for (to, from) in field.iter_mut().take(UTS_FIELD_LEN - 1).zip(text) {
            *to = *from;
        }
        field
    }
}

#[cfg(test)]
mod tests {
    use super::NewUtsname;

    #[test]
    fn fields_end_with_nul() {
        assert_eq!(&NewUtsname::field(b"Linux")[..6], b"Linux\0");
        assert_eq!(NewUtsname::field(&[b'x'; 100])[64], 0);
    }
}
