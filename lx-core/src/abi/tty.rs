//! Terminals: `include/uapi/asm-generic/termbits.h`, `termios.h`; termios(3), ioctl_tty(2).

use linux_raw_sys::general as sys;

/// The number of control characters in the kernel's structure.
pub const NCCS: usize = 19;

abi_flags! {
    /// `c_iflag`
    pub struct InputFlags: u32, checked by general {
        IGNBRK = 0x0001,
        BRKINT = 0x0002,
        IGNPAR = 0x0004,
        PARMRK = 0x0008,
        INPCK = 0x0010,
        ISTRIP = 0x0020,
        INLCR = 0x0040,
        IGNCR = 0x0080,
        ICRNL = 0x0100,
        IUCLC = 0x0200,
        IXON = 0x0400,
        IXANY = 0x0800,
        IXOFF = 0x1000,
        IMAXBEL = 0x2000,
        IUTF8 = 0x4000,
    }
}

abi_flags! {
    /// `c_oflag`
    pub struct OutputFlags: u32, checked by general {
        OPOST = 0x01,
        OLCUC = 0x02,
        ONLCR = 0x04,
        OCRNL = 0x08,
        ONOCR = 0x10,
        ONLRET = 0x20,
        OFILL = 0x40,
        OFDEL = 0x80,
        /// Both bits: expand tabs.
        XTABS = 0x1800,
    }
}

abi_flags! {
    /// `c_cflag`. A pseudo terminal keeps these bits but does nothing with them.
    pub struct ControlFlags: u32, checked by general {
        CBAUD = 0x100f,
        CSIZE = 0x0030,
        CSTOPB = 0x0040,
        CREAD = 0x0080,
        PARENB = 0x0100,
        PARODD = 0x0200,
        HUPCL = 0x0400,
        CLOCAL = 0x0800,
        CRTSCTS = 0x8000_0000,
    }
}

impl ControlFlags {
    /// Eight data bits.
    pub const CS8: Self = Self::CSIZE;
    /// The speed code of 38400 baud.
    pub const B38400: Self = Self::from_bits_retain(0x000f);
}

abi_flags! {
    /// `c_lflag`
    pub struct LocalFlags: u32, checked by general {
        ISIG = 0x0001,
        ICANON = 0x0002,
        XCASE = 0x0004,
        ECHO = 0x0008,
        ECHOE = 0x0010,
        ECHOK = 0x0020,
        ECHONL = 0x0040,
        NOFLSH = 0x0080,
        TOSTOP = 0x0100,
        ECHOCTL = 0x0200,
        ECHOPRT = 0x0400,
        ECHOKE = 0x0800,
        FLUSHO = 0x1000,
        PENDIN = 0x4000,
        IEXTEN = 0x8000,
        EXTPROC = 0x1_0000,
    }
}

abi_consts!(usize, checked by general {
    VINTR = 0,
    VQUIT = 1,
    VERASE = 2,
    VKILL = 3,
    VEOF = 4,
    VTIME = 5,
    VMIN = 6,
    VSWTC = 7,
    VSTART = 8,
    VSTOP = 9,
    VSUSP = 10,
    VEOL = 11,
    VREPRINT = 12,
    VDISCARD = 13,
    VWERASE = 14,
    VLNEXT = 15,
    VEOL2 = 16,
});

/// A control character that is switched off.
pub const POSIX_VDISABLE: u8 = 0;

/// The control characters of a fresh terminal: ^C ^\ DEL ^U ^D, min 1, ^Q ^S ^Z ^R ^O ^W ^V.
pub const INITIAL_CC: [u8; NCCS] =
    [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0];

abi_struct! {
    /// `struct termios` of `TCGETS` and `TCSETS`
    #[derive(PartialEq, Eq)]
    pub struct Termios = sys::termios {
        pub c_iflag: u32,
        pub c_oflag: u32,
        pub c_cflag: u32,
        pub c_lflag: u32,
        pub c_line: u8,
        pub c_cc: [u8; NCCS],
    }
}

impl Termios {
    /// The settings of a fresh terminal (`tty_std_termios`).
    pub const INITIAL: Self = Self {
        c_iflag: InputFlags::ICRNL.union(InputFlags::IXON).bits(),
        c_oflag: OutputFlags::OPOST.union(OutputFlags::ONLCR).bits(),
        c_cflag: ControlFlags::B38400
            .union(ControlFlags::CS8)
            .union(ControlFlags::CREAD)
            .union(ControlFlags::HUPCL)
            .bits(),
        c_lflag: LocalFlags::ISIG
            .union(LocalFlags::ICANON)
            .union(LocalFlags::ECHO)
            .union(LocalFlags::ECHOE)
            .union(LocalFlags::ECHOK)
            .union(LocalFlags::ECHOCTL)
            .union(LocalFlags::ECHOKE)
            .union(LocalFlags::IEXTEN)
            .bits(),
        c_line: 0,
        c_cc: INITIAL_CC,
    };

    /// The known input flags.
    #[must_use]
    pub const fn input(&self) -> InputFlags {
        InputFlags::from_bits_truncate(self.c_iflag)
    }

    /// The known output flags.
    #[must_use]
    pub const fn output(&self) -> OutputFlags {
        OutputFlags::from_bits_truncate(self.c_oflag)
    }

    /// The known local flags.
    #[must_use]
    pub const fn local(&self) -> LocalFlags {
        LocalFlags::from_bits_truncate(self.c_lflag)
    }

    /// The control character at one of the `V*` indices; disabled if there is none.
    #[must_use]
    pub fn cc(&self, index: usize) -> u8 {
        self.c_cc.get(index).copied().unwrap_or(POSIX_VDISABLE)
    }
}

abi_struct! {
    /// `struct termios2` of `TCGETS2` and `TCSETS2`: with the speeds in baud
    #[derive(PartialEq, Eq)]
    pub struct Termios2 = sys::termios2 {
        pub c_iflag: u32,
        pub c_oflag: u32,
        pub c_cflag: u32,
        pub c_lflag: u32,
        pub c_line: u8,
        pub c_cc: [u8; NCCS],
        pub c_ispeed: u32,
        pub c_ospeed: u32,
    }
}

abi_struct! {
    /// `struct termio` of the old `TCGETA` and `TCSETA`
    pub struct Termio [size 18] {
        @0 pub c_iflag: u16,
        @2 pub c_oflag: u16,
        @4 pub c_cflag: u16,
        @6 pub c_lflag: u16,
        @8 pub c_line: u8,
        @9 pub c_cc: [u8; 8],
        @17 pub pad: u8,
    }
}

abi_struct! {
    /// `struct winsize` of `TIOCGWINSZ`
    #[derive(PartialEq, Eq)]
    pub struct Winsize = sys::winsize {
        pub ws_row: u16,
        pub ws_col: u16,
        pub ws_xpixel: u16,
        pub ws_ypixel: u16,
    }
}

abi_consts!(u32, checked by general {
    /// `TCFLSH`: discard input.
    TCIFLUSH = 0,
    /// `TCFLSH`: discard output.
    TCOFLUSH = 1,
    /// `TCFLSH`: discard both.
    TCIOFLUSH = 2,
    /// `TCXONC`: suspend output.
    TCOOFF = 0,
    /// `TCXONC`: resume output.
    TCOON = 1,
    /// `TCXONC`: send STOP.
    TCIOFF = 2,
    /// `TCXONC`: send START.
    TCION = 3,
});
