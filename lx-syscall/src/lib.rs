//! The system-call layer: one table, typed handlers, dispatch, strace.
//!
//! [`table`] has one line per call. A handler in [`sys`] is a plain function whose signature is
//! the ABI: [`handler`] decodes its arguments by type. [`dispatch`] is where a trap enters.
#![no_std]

extern crate alloc;

pub mod dispatch;
pub mod handler;
pub mod strace;
pub mod support;
pub mod sys;
pub mod table;
