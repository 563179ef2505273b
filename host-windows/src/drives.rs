//! The drives of Windows.

use alloc::vec::Vec;

use lx_core::host::HostDrive;

use crate::nt::nt;

/// Letters of the drives that are mounted, as bits.
fn letters() -> u32 {
    const DEVICE_MAP: u32 = 23;
    const FIXED: u8 = 3;
    // A word with a bit for each drive, then the kinds of 32 drives.
    let mut map = [0u8; 36];
    let len = map.len() as u32;
    // SAFETY: the call writes the structure.
    let status = unsafe {
        nt!(
            query_process,
            lx_nt::CURRENT_PROCESS,
            DEVICE_MAP,
            map.as_mut_ptr(),
            len,
            core::ptr::null_mut()
        )
    };
    const ALL: u32 = (1 << 26) - 1;
    let Some((bits, kinds)) = map.split_first_chunk::<4>() else { return ALL };
    if status < 0 {
        // Those that cannot be opened are left out later.
        return ALL;
    }
    let bits = u32::from_le_bytes(*bits);
    let fixed = |letter: &u32| kinds.get(*letter as usize).is_some_and(|&kind| kind == FIXED);
    (0..26).filter(fixed).fold(0, |all, letter| all | 1 << letter) & bits
}

/// All drives that stay, as disks do.
pub(crate) fn all() -> Vec<HostDrive> {
    let letters = letters();
    let present = (b'a'..=b'z').filter(|letter| letters >> (letter - b'a') & 1 != 0);
    present
        .map(|letter| HostDrive {
            name: alloc::vec![letter],
            path: alloc::vec![letter.to_ascii_uppercase(), b':', b'\\'],
        })
        .collect()
}
