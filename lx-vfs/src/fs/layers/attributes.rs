//! Extended attributes. Those of the overlay itself, `trusted.overlay.*`, nobody sees; so that an overlay
//! can be a layer of another one, attributes of such names are kept under a longer one.

use alloc::borrow::Cow;

/// In front of the overlay's own attributes.
const OWN: &[u8] = b"trusted.overlay.";
/// What follows it where such an attribute is somebody else's.
const ESCAPE: &[u8] = b"overlay.";

/// The name in a layer.
pub(super) fn real_name(name: &[u8]) -> Cow<'_, [u8]> {
    match name.strip_prefix(OWN) {
        Some(rest) => Cow::Owned([OWN, ESCAPE, rest].concat()),
        None => Cow::Borrowed(name),
    }
}

/// The name that is seen of one in a layer, if it is.
pub(super) fn seen_name(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    match name.strip_prefix(OWN) {
        Some(own) => own.strip_prefix(ESCAPE).map(|rest| Cow::Owned([OWN, rest].concat())),
        None => Some(Cow::Borrowed(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::{real_name, seen_name};

    #[test]
    fn own_names_are_hidden_and_others_come_back() {
        assert_eq!(seen_name(b"trusted.overlay.opaque"), None);
        for name in [&b"user.a"[..], b"trusted.a", b"trusted.overlay.opaque"] {
            assert_eq!(seen_name(&real_name(name)).as_deref(), Some(name));
        }
        assert_eq!(&*real_name(b"trusted.overlay.x"), b"trusted.overlay.overlay.x");
    }
}
