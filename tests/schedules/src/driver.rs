//! In place of the runtime's `driver.rs`: one runtime, and no thread that runs by itself.

use futures_util::FutureExt;

use crate::sync::runtime::Handle;

pub(crate) fn engine() -> Option<&'static Handle> {
    None
}

pub(crate) fn begin_on(_: &Handle, future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    future.now_or_never().is_some()
}
