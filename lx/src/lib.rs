//! Run Linux programs on lx.
