//! Macros that define ABI types and check them at compile time.

/// Defines a guest-visible structure with zerocopy derives and checks its layout.
///
/// Two forms: `pub struct Ours = path::to::theirs { pub f: T, .. }` compares size, alignment and
/// every field offset with `linux-raw-sys`; `pub struct Ours [size 16] { @0 pub f: T, .. }` checks
/// the numbers written down. `Default` is the all-zero value.
macro_rules! abi_struct {
    ($(#[$m:meta])* pub struct $n:ident = $sys:ty {
        $($(#[$fm:meta])* pub $f:ident: $t:ty),* $(,)?
    }) => {
        abi_struct!(@define [repr(C)] $(#[$m])* $n { $($(#[$fm])* $f: $t),* });
        const _: () = {
            use core::mem::{align_of, offset_of, size_of};
            assert!(size_of::<$n>() == size_of::<$sys>());
            assert!(align_of::<$n>() == align_of::<$sys>());
            $(assert!(offset_of!($n, $f) == offset_of!($sys, $f));)*
        };
    };
    ($(#[$m:meta])* pub struct $n:ident [size $size:literal] {
        $($(#[$fm:meta])* @ $off:literal pub $f:ident: $t:ty),* $(,)?
    }) => {
        abi_struct!(@define [repr(C)] $(#[$m])* $n { $($(#[$fm])* $f: $t),* });
        abi_struct!(@offsets $n, $size, $($off $f),*);
    };
    ($(#[$m:meta])* pub packed struct $n:ident [size $size:literal] {
        $($(#[$fm:meta])* @ $off:literal pub $f:ident: $t:ty),* $(,)?
    }) => {
        abi_struct!(@define [repr(C, packed)] $(#[$m])* $n { $($(#[$fm])* $f: $t),* });
        abi_struct!(@offsets $n, $size, $($off $f),*);
    };
    (@define [$repr:meta] $(#[$m:meta])* $n:ident { $($(#[$fm:meta])* $f:ident: $t:ty),* }) => {
        $(#[$m])*
        #[derive(
            Clone, Copy, Debug,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
        )]
        #[$repr]
        pub struct $n { $($(#[$fm])* pub $f: $t),* }

        impl Default for $n {
            fn default() -> Self {
                zerocopy::FromZeros::new_zeroed()
            }
        }
    };
    (@offsets $n:ident, $size:literal, $($off:literal $f:ident),*) => {
        const _: () = {
            use core::mem::{offset_of, size_of};
            assert!(size_of::<$n>() == $size);
            $(assert!(offset_of!($n, $f) == $off);)*
        };
    };
}

/// Defines a `bitflags` type. Names after `checked by <module>` are compared with the constants of
/// that `linux-raw-sys` module; names after `and` are not in that crate.
macro_rules! abi_flags {
    ($(#[$m:meta])* pub struct $n:ident: $t:ident $(, checked by $sys:ident {
        $($(#[$($fm:tt)*])* $f:ident = $v:expr),* $(,)?
    })? $(and { $($(#[$($gm:tt)*])* $g:ident = $w:expr),* $(,)? })?) => {
        bitflags::bitflags! {
            $(#[$m])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            pub struct $n: $t {
                $($($(#[$($fm)*])* const $f = $v;)*)?
                $($($(#[$($gm)*])* const $g = $w;)*)?
            }
        }
        $(const _: () = { $(assert!($n::$f.bits() == linux_raw_sys::$sys::$f as $t);)* };)?
    };
}

/// Makes a flags type an argument: unknown bits give `EINVAL`; traced as `A|B|0x40`.
macro_rules! strict_flags_arg {
    ($($n:ident: $t:ident),* $(,)?) => {$(
        impl $crate::abi::FromArg for $n {
            fn from_arg(raw: u64) -> Result<Self, $crate::abi::Errno> {
                // An `int` argument occupies the low half of its register.
                Self::from_bits(raw as $t).ok_or($crate::abi::Errno::EINVAL)
            }
        }

        trace_flags!($n);
    )*};
}

/// Makes a flags type an argument that drops unknown bits, where Linux does not look at them.
macro_rules! truncate_flags_arg {
    ($($n:ident: $t:ident),* $(,)?) => {$(
        impl $crate::abi::FromArg for $n {
            fn from_arg(raw: u64) -> Result<Self, $crate::abi::Errno> {
                Ok(Self::from_bits_truncate(raw as $t))
            }
        }

        trace_flags!($n);
    )*};
}

/// Makes a flags type an argument that keeps unknown bits, where Linux rejects them later or with
/// another error than `EINVAL`.
macro_rules! retain_flags_arg {
    ($($n:ident: $t:ident),* $(,)?) => {$(
        impl $crate::abi::FromArg for $n {
            fn from_arg(raw: u64) -> Result<Self, $crate::abi::Errno> {
                Ok(Self::from_bits_retain(raw as $t))
            }
        }

        trace_flags!($n);
    )*};
}

/// Traces a flags type as `A|B|0x40`, or `0`.
macro_rules! trace_flags {
    ($($n:ident),* $(,)?) => {$(
        impl $crate::abi::TraceArg for $n {
            fn trace(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                $crate::abi::arg::trace_flags(self, f)
            }
        }
    )*};
}

/// Defines a newtype over a number of which some values have names (commands, clock ids).
///
/// Every number is representable, since Linux reports an unknown one only where it is used.
macro_rules! abi_values {
    ($(#[$m:meta])* pub struct $n:ident: $t:ident $(, checked by $sys:ident {
        $($(#[$fm:meta])* $f:ident = $v:expr),* $(,)?
    })? $(and { $($(#[$gm:meta])* $g:ident = $w:expr),* $(,)? })?) => {
        $(#[$m])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
        )]
        #[repr(transparent)]
        pub struct $n(pub $t);

        impl $n {
            $($($(#[$fm])* pub const $f: Self = Self($v);)*)?
            $($($(#[$gm])* pub const $g: Self = Self($w);)*)?

            /// The constant's name in the header, if this value has one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $($(Self::$f => Some(stringify!($f)),)*)?
                    $($(Self::$g => Some(stringify!($g)),)*)?
                    _ => None,
                }
            }
        }

        $(const _: () = { $(assert!($n::$f.0 == linux_raw_sys::$sys::$f as $t);)* };)?

        impl $crate::abi::FromArg for $n {
            fn from_arg(raw: u64) -> Result<Self, $crate::abi::Errno> {
                // An `int` argument occupies the low half of its register.
                Ok(Self(raw as $t))
            }
        }

        impl $crate::abi::TraceArg for $n {
            fn trace(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#x}", self.0),
                }
            }
        }
    };
}

/// Defines plain constants and compares them with those of a `linux-raw-sys` module.
macro_rules! abi_consts {
    ($t:ty, checked by $sys:ident { $($(#[$m:meta])* $f:ident = $v:expr),* $(,)? }) => {
        $($(#[$m])* pub const $f: $t = $v;)*
        const _: () = { $(assert!($f == linux_raw_sys::$sys::$f as $t);)* };
    };
}
