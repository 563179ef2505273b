//! What a program finds on its stack.
//!
//! ```text
//! top      8 zero bytes
//!          path of the program
//!          environment strings
//!          argument strings
//!          platform name, 16 random bytes
//!          auxiliary vector
//!          environment pointers, null
//!          argument pointers, null
//! pointer  number of arguments
//! ```

use alloc::vec::Vec;

use lx_core::abi::auxv::AuxType;

use super::strings::StringList;

const PLATFORM: &[u8] = b"x86_64\0";

/// What goes there.
pub(super) struct Content<'a> {
    pub(super) args: &'a StringList,
    pub(super) env: &'a StringList,
    pub(super) name: &'a [u8],
    pub(super) random: [u8; 16],
}

/// Addresses that the auxiliary vector tells.
pub(super) struct Places {
    pub(super) random: u64,
    pub(super) name: u64,
    pub(super) platform: u64,
}

/// The auxiliary vector.
#[derive(Default)]
pub(super) struct Auxv(Vec<u64>);

impl Auxv {
    /// Adds an entry.
    pub(super) fn push(&mut self, kind: AuxType, value: u64) {
        self.0.extend([kind.0, value]);
    }
}

/// The finished stack.
pub(super) struct Built {
    /// Initial stack pointer: where `bytes` go.
    pub(super) pointer: u64,
    pub(super) bytes: Vec<u8>,
    /// The auxiliary vector as it is in `bytes`.
    pub(super) auxv: Vec<u8>,
    /// First address and end of the argument strings.
    pub(super) args: (u64, u64),
    /// First address and end of the environment strings.
    pub(super) env: (u64, u64),
}

/// Lays the stack out below `top`; `fill` makes the auxiliary vector.
pub(super) fn build(
    top: u64,
    content: &Content<'_>,
    fill: impl FnOnce(&mut Auxv, &Places),
) -> Built {
    let len = |bytes: &[u8]| bytes.len() as u64;
    let name = top.wrapping_sub(8).wrapping_sub(len(content.name)).wrapping_sub(1);
    let env = name.wrapping_sub(len(content.env.bytes()));
    let args = env.wrapping_sub(len(content.args.bytes()));
    let platform = args.wrapping_sub(len(PLATFORM));
    let random = platform.wrapping_sub(16) & !15;
    let mut auxv = Auxv::default();
    fill(&mut auxv, &Places { random, name, platform });
    auxv.push(AuxType::AT_NULL, 0);

    let mut words: Vec<u64> = Vec::new();
    words.push(content.args.len() as u64);
    words.extend(content.args.starts().map(|start| args.wrapping_add(start as u64)));
    words.push(0);
    words.extend(content.env.starts().map(|start| env.wrapping_add(start as u64)));
    words.push(0);
    let aux_start = words.len().saturating_mul(8);
    words.extend(&auxv.0);
    let words_len = (words.len() as u64).saturating_mul(8);
    let pointer = random.wrapping_sub(words_len) & !15;

    let mut bytes = Vec::with_capacity(top.wrapping_sub(pointer) as usize);
    for word in words {
        bytes.extend(word.to_le_bytes());
    }
    let auxv = bytes.get(aux_start..).unwrap_or_default().to_vec();
    let mut put = |addr: u64, part: &[u8]| {
        bytes.resize(addr.wrapping_sub(pointer) as usize, 0);
        bytes.extend_from_slice(part);
    };
    put(random, &content.random);
    put(platform, PLATFORM);
    put(args, content.args.bytes());
    put(env, content.env.bytes());
    put(name, content.name);
    put(top, &[]);
    Built { pointer, bytes, auxv, args: (args, env), env: (env, name) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{AuxType, Content, build};
    use crate::exec::strings::StringList;

    #[test]
    fn lays_out_what_a_program_expects() {
        let mut args = StringList::default();
        args.push(b"echo");
        args.push(b"hi");
        let mut env = StringList::default();
        env.push(b"A=1");
        let content = Content { args: &args, env: &env, name: b"/bin/echo", random: [7; 16] };
        let top = 0x6fff_0000;
        let built = build(top, &content, |auxv, places| {
            auxv.push(AuxType::AT_RANDOM, places.random);
            auxv.push(AuxType::AT_EXECFN, places.name);
        });
        assert_eq!(built.pointer % 16, 0);
        assert_eq!(built.pointer + built.bytes.len() as u64, top);
        let word = |at: usize| u64::from_le_bytes(built.bytes[at * 8..][..8].try_into().unwrap());
        let string = |addr: u64| {
            let text = &built.bytes[(addr - built.pointer) as usize..];
            text.split(|&byte| byte == 0).next().unwrap().to_vec()
        };
        assert_eq!(word(0), 2);
        assert_eq!(
            (string(word(1)), string(word(2)), word(3)),
            (b"echo".to_vec(), b"hi".to_vec(), 0)
        );
        assert_eq!((string(word(4)), word(5)), (b"A=1".to_vec(), 0));
        assert_eq!((word(6), word(8)), (AuxType::AT_RANDOM.0, AuxType::AT_EXECFN.0));
        assert_eq!(built.bytes[(word(7) - built.pointer) as usize..][..16], [7; 16]);
        assert_eq!(string(word(9)), b"/bin/echo");
        assert_eq!((word(10), word(11)), (0, 0));
        assert_eq!(built.auxv.len(), 48);
        assert_eq!(built.args.1, built.env.0);
    }
}
