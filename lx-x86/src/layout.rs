//! What generated code reaches through the GS segment.
//!
//! The [`ThreadBlock`](crate::thread_block::ThreadBlock) is one host thread's view of its guest
//! thread. Everything that the engine emits at run time (stubs) and everything that is written in
//! assembly (entry) takes its offsets from [`gs`], so that there is one place to change.
//!
//! On Linux hosts the GS base is the block's address. On Windows GS belongs to the system: it
//! points at the thread's TEB, where a few slots for thread-local storage are ours. What the
//! shortest ways need is in the slots, the rest is reached through [`GsLayout::this`]. An image for
//! Windows is compiled with `--cfg lx_teb`.

/// First of the TEB's slots that the engine uses; the loader reserves it and the next ones.
pub const FIRST_TEB_SLOT: u32 = 40;
/// Slots that the engine uses.
pub const TEB_SLOT_COUNT: u32 = 5;

/// Where the fields are.
#[allow(non_upper_case_globals, reason = "named as the segment register in assembly: `gs.u_rsp`")]
#[cfg(not(lx_teb))]
pub const gs: GsLayout =
    GsLayout { u_rsp: 0x00, k_rsp: 0x08, entry: 0x10, u_rip: 0x20, this: 0x28 };

/// Where the fields are.
#[allow(non_upper_case_globals, reason = "named as the segment register in assembly: `gs.u_rsp`")]
#[cfg(lx_teb)]
pub const gs: GsLayout = GsLayout {
    u_rsp: teb_slot(0),
    k_rsp: teb_slot(1),
    entry: teb_slot(2),
    u_rip: teb_slot(3),
    this: teb_slot(4),
};

/// Offset of one of our slots in the TEB.
#[cfg(lx_teb)]
const fn teb_slot(index: u32) -> u32 {
    const TLS_SLOTS: u32 = 0x1480;
    TLS_SLOTS + 8 * (FIRST_TEB_SLOT + index)
}

/// The fields that generated code uses, as byte offsets from the GS base, 8 bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GsLayout {
    /// The guest's stack pointer while the thread is in the kernel.
    pub u_rsp: u32,
    /// Where the kernel stack starts.
    pub k_rsp: u32,
    /// Address of the entry routine that stubs call.
    pub entry: u32,
    /// Where a return to the guest with full register state jumps to.
    pub u_rip: u32,
    /// Address of the thread block.
    pub this: u32,
}
