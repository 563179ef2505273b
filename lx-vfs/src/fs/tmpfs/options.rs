//! Options of the mount, `tmpfs(5)`.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::S_IALLUGO;

use super::PAGE;

/// What `mount(2)` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Mode of the root.
    pub mode: u32,
    /// Owner of the root; else it is root's.
    pub uid: Option<u32>,
    /// Group of the root.
    pub gid: Option<u32>,
    /// Most pages; without it, as many as there is memory for.
    pub pages: Option<u64>,
    /// Most inodes, with one for each further link.
    pub inodes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: 0o1777, uid: None, gid: None, pages: None, inodes: None }
    }
}

impl Options {
    /// Reads the options; `memory` is the size that a percentage is of.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn parse(text: &[u8], memory: u64) -> Result<Self> {
        let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        let mut options = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let number = |radix| u32::from_str_radix(value, radix).map_err(|_| Errno::EINVAL);
            // Nothing is no limit.
            let limit = |value: u64| (value != 0).then_some(value);
            match name {
                "mode" => options.mode = number(8)? & S_IALLUGO,
                "uid" => options.uid = Some(number(10)?),
                "gid" => options.gid = Some(number(10)?),
                "size" => {
                    let size = match value.strip_suffix('%') {
                        Some(part) => quantity(part)?.saturating_mul(memory / 100),
                        None => quantity(value)?,
                    };
                    options.pages = limit(size.div_ceil(PAGE));
                }
                "nr_blocks" => options.pages = limit(quantity(value)?),
                "nr_inodes" => options.inodes = limit(quantity(value)?),
                // Where the pages come from, and how long numbers are, is not the guest's concern.
                "huge" | "noswap" | "inode32" | "inode64" => {}
                _ => return Err(Errno::EINVAL.into()),
            }
        }
        Ok(options)
    }
}

/// A number with a suffix for a power of 1024.
fn quantity(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return Err(Errno::EINVAL.into()),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    number.checked_mul(1 << shift).ok_or(Errno::EINVAL.into())
}

#[cfg(test)]
mod tests {
    use super::Options;
    use lx_core::abi::Errno;

    #[test]
    fn sizes_have_suffixes_and_are_rounded_to_pages() {
        let pages = |text: &str| Options::parse(text.as_bytes(), 1 << 20).map(|o| o.pages);
        assert_eq!(pages("size=1"), Ok(Some(1)));
        assert_eq!(pages("size=8k"), Ok(Some(2)));
        assert_eq!(pages("size=1M,mode=755"), Ok(Some(256)));
        assert_eq!(pages("nr_blocks=1k"), Ok(Some(1024)));
        assert_eq!(pages("size=50%"), Ok(Some(128)));
        assert_eq!(pages("size=0"), Ok(None));
        for wrong in ["size=", "size=k", "size=1x", "size=-1", "nonesuch", "mode=9"] {
            assert_eq!(pages(wrong), Err(Errno::EINVAL.into()), "{wrong}");
        }
    }
}
