//! Offsets of the per-thread block that generated code reaches through the GS segment.
//!
//! The block is one host thread's view of its guest thread. Everything that the engine emits at run
//! time (stubs, the vDSO) and everything that is written in assembly (entry, signal path) takes its
//! offsets from [`gs`], so that there is one place to change.

/// Offsets into the block that the GS base points at.
#[allow(non_upper_case_globals, reason = "named as the segment register in assembly: `gs.u_rsp`")]
pub const gs: GsLayout =
    GsLayout { u_rsp: 0x00, k_rsp: 0x08, entry: 0x10, pending: 0x18, host_tid: 0x1c, u_rip: 0x20 };

/// The fields of the per-thread block that generated code uses, as byte offsets from the GS base.
///
/// On Linux hosts the block starts at the GS base; on other hosts the same fields can sit at other
/// offsets, which is why the rewriter takes the layout as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GsLayout {
    /// The guest's stack pointer while the thread is in the kernel (u64).
    pub u_rsp: u32,
    /// Where the kernel stack starts (u64).
    pub k_rsp: u32,
    /// Address of the entry routine that stubs call (u64).
    pub entry: u32,
    /// Not 0: signal or stop work waits for this thread (u32).
    pub pending: u32,
    /// The host's id of this thread (u32).
    pub host_tid: u32,
    /// Where a return to the guest with full register state jumps to (u64).
    pub u_rip: u32,
}
