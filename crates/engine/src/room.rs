//! Room in memory for what waits, in bytes: whatever comes next waits until there is enough of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so many bytes.
#[derive(Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    most: u32,
}

/// Room that is there for a while.
#[derive(Debug)]
pub(crate) struct Extra {
    free: Arc<Semaphore>,
    bytes: usize,
}

impl Extra {
    /// Gives up as much of it as nobody has taken.
    pub(crate) fn give_up(self) {
        self.free.forget_permits(self.bytes);
    }
}

impl Room {
    /// For so many bytes.
    pub(crate) fn new(most: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// For so many bytes, and for some more for a while.
    pub(crate) fn with_extra(most: u32, extra: u32) -> (Self, Extra) {
        let free = Arc::new(Semaphore::new(most as usize + extra as usize));
        let extra = Extra { free: Arc::clone(&free), bytes: extra as usize };
        (Self { free, most }, extra)
    }

    /// As [`take`](Self::take), if there is room now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(self.counted(bytes)).ok()
    }

    /// Waits until there is room for so many bytes, and takes it until what it returns is dropped. What takes more than there will
    /// be for good counts as that much, so that it has its turn.
    pub(crate) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        // It fails only once the semaphore is closed, which nobody does.
        Arc::clone(&self.free).acquire_many_owned(self.counted(bytes)).await.ok()
    }

    fn counted(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_waits_is_bounded_and_anything_has_its_turn() {
        let (room, extra) = Room::with_extra(10, 20);
        let taken = |bytes| room.take(bytes).now_or_never().flatten();
        let early = taken(4).unwrap();
        extra.give_up();
        assert!(taken(7).is_none(), "what is extra is gone, and what was taken counts");
        drop(early);
        let (first, second) = (taken(7).unwrap(), taken(3).unwrap());
        assert!(taken(1).is_none());
        drop(first);
        assert!(taken(8).is_none() && taken(11).is_none(), "one byte too many, and more than there will ever be");
        drop(second);
        let whole = taken(usize::MAX).unwrap();
        assert!(taken(1).is_none());
        assert!(taken(0).is_some(), "what takes nothing needs none");
        drop(whole);
        assert!(taken(10).is_some());
    }

    #[test]
    fn extra_room_that_is_taken_by_then_stays() {
        let (room, extra) = Room::with_extra(10, 20);
        let taken = |bytes| room.take(bytes).now_or_never().flatten();
        let many: Vec<_> = (0..28).map(|_| taken(1).unwrap()).collect();
        extra.give_up();
        assert!(taken(1).is_none());
        drop(many);
        let again: Vec<_> = std::iter::from_fn(|| taken(1)).collect();
        assert_eq!(again.len(), 28);
    }
}
