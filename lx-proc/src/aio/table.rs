//! The contexts of an address space.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::{Errno, UserPtr};
use lx_core::caller::Caller;
use lx_core::sync::{Mutex, level};

use super::context::Context;
use crate::kernel::Kernel;
use crate::mm::AddressSpace;

/// Contexts by their index, which stands in their rings. With the last reference to the address
/// space they end.
#[derive(Default)]
pub struct Contexts {
    list: Mutex<Vec<Option<Arc<Context>>>, { level::ADDRESS_SPACE }>,
}

impl Contexts {
    /// Adds a context; its index.
    fn add(&self, context: Arc<Context>) -> u32 {
        let mut list = self.list.lock();
        let index = list.iter().position(Option::is_none).unwrap_or(list.len());
        match list.get_mut(index) {
            Some(slot) => *slot = Some(context),
            None => list.push(Some(context)),
        }
        index as u32
    }

    fn get(&self, index: u32) -> Option<Arc<Context>> {
        self.list.lock().get(index as usize)?.clone()
    }

    /// Takes a context out; `false` if somebody else has done that.
    fn remove(&self, context: &Arc<Context>) -> bool {
        let mut list = self.list.lock();
        let is = |slot: &&mut Option<Arc<Context>>| {
            slot.as_ref().is_some_and(|known| Arc::ptr_eq(known, context))
        };
        let found = list.iter_mut().find(is).and_then(Option::take);
        drop(list);
        found.is_some()
    }

    /// Ends all contexts.
    pub(crate) fn end(&self) {
        let list = core::mem::take(&mut *self.list.lock());
        for context in list.into_iter().flatten() {
            context.end();
        }
    }
}

impl Drop for Contexts {
    fn drop(&mut self) {
        self.end();
    }
}

impl AddressSpace {
    /// `io_setup(2)`: the address of the new context's ring, which names it.
    ///
    /// # Errors
    /// `EINVAL`, `EAGAIN`, `ENOMEM`.
    pub fn new_context(&self, kernel: &Kernel, caller: &Caller<'_>, requests: u32) -> Result<u64> {
        let context = Context::new(kernel, caller, requests)?;
        let mapped = self.map_ring(caller, Arc::clone(context.mapping()));
        match mapped {
            Ok(address) => {
                context.start(|context| self.contexts().add(context));
                Ok(address)
            }
            Err(_) => {
                context.end();
                Err(Errno::ENOMEM.into())
            }
        }
    }

    /// The context whose ring lies at this address. The guest may have moved the ring.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn context(&self, caller: &Caller<'_>, address: u64) -> Result<Arc<Context>> {
        let index = caller.memory().read(UserPtr::<u32>::new(address));
        let context = index.ok().and_then(|index| self.contexts().get(index));
        let found = context.filter(|context| self.shows_start(address, context.mapping()));
        found.ok_or_else(|| Errno::EINVAL.into())
    }

    /// `io_destroy(2)`: ends a context and waits for what others do in it.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn destroy_context(&self, caller: &Caller<'_>, address: u64) -> Result<()> {
        let context = self.context(caller, address)?;
        if !self.contexts().remove(&context) {
            return Err(Errno::EINVAL.into());
        }
        context.end();
        // Linux does not tell either whether the ring was there.
        let _ = self.unmap(caller, address, context.mapping().len());
        context.wait_for_operations(caller);
        Ok(())
    }
}
