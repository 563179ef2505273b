//! From registers to a typed handler and back.
//!
//! [`Handler`] is implemented for every function `fn(&CurrentTask, A, B, …) -> Result<R>` whose
//! arguments are [`FromArg`] and whose result is [`IntoReturn`]: the number and the types of the
//! arguments are never written down twice.

use core::fmt;

use lx_core::Result;
use lx_core::abi::{FromArg, IntoReturn, TraceArg};
use lx_proc::CurrentTask;

use crate::strace::TracedArg;

/// A system-call handler with arguments `Args` (a tuple) and result `R`.
pub trait Handler<Args, R> {
    /// Decodes the arguments, left to right, and calls. They come from the registers one by one:
    /// to load them in pairs would stall, as they were stored one by one just before.
    ///
    /// # Errors
    /// The first argument's that does not decode, else the handler's.
    fn call(&self, task: &CurrentTask<'_>) -> Result<u64>;

    /// Prints one of the arguments as `strace(1)` does, as far as its type tells.
    ///
    /// # Errors
    /// The formatter's.
    fn trace(
        &self,
        task: &CurrentTask<'_>,
        index: usize,
        args: &[u64; 6],
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result;

    /// For each argument, whether it is a pointer.
    fn pointers(&self) -> &'static [bool];
}

macro_rules! handlers {
    ($($arg:ident $index:tt),*) => {
        impl<F, R, $($arg),*> Handler<($($arg,)*), R> for F
        where
            F: Fn(&CurrentTask<'_>, $($arg),*) -> Result<R>,
            R: IntoReturn,
            $($arg: FromArg + TraceArg + 'static,)*
        {
            #[inline]
            fn call(&self, task: &CurrentTask<'_>) -> Result<u64> {
                Ok(self(task, $($arg::from_arg(task.arg($index))?),*)?.into_return())
            }

            fn trace(
                &self,
                task: &CurrentTask<'_>,
                index: usize,
                args: &[u64; 6],
                f: &mut fmt::Formatter<'_>,
            ) -> fmt::Result {
                let _ = (task, args, &mut *f);
                match index {
                    $($index => TracedArg::<$arg>::new(task, args[$index]).trace(f),)*
                    _ => Ok(()),
                }
            }

            fn pointers(&self) -> &'static [bool] {
                const { &[$($arg::POINTER),*] }
            }
        }
    };
}

handlers!();
handlers!(A 0);
handlers!(A 0, B 1);
handlers!(A 0, B 1, C 2);
handlers!(A 0, B 1, C 2, D 3);
handlers!(A 0, B 1, C 2, D 3, E 4);
handlers!(A 0, B 1, C 2, D 3, E 4, G 5);
