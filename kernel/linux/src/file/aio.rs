//! Contexts of asynchronous input and output: io_setup(2) and its relatives.
//!
//! As on Linux for files without O_DIRECT, a transfer is made when it is submitted, and only a poll is waited for meanwhile.
//! A context is part of an address space. Its id is the address of a page there, of which libaio asks whether it is a
//! ring that can be read without a call: it is not.

use super::OpenFile;
use super::eventfd::EventFd;
use crate::errno::Errno;
use crate::task::wait::{Registration, WaitEnd, WaitLimit, WaitQueue, Wake, wait_event};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use linux_raw_sys::general::{EPOLLERR, EPOLLHUP};

/// What a request says of itself when it is done: `struct io_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub data: u64,
    /// Address of the request.
    pub request: u64,
    /// Result, or the negative of an error number.
    pub result: i64,
}

/// Whom the end of a request concerns: its context, and the counter it may have named.
pub struct Ticket {
    pub data: u64,
    pub request: u64,
    pub told: Option<Arc<OpenFile>>,
}

/// One context.
pub struct Context {
    /// Most requests that are under way or whose events wait to be taken.
    capacity: usize,
    state: KCell<State>,
    queue: WaitQueue,
}

#[derive(Default)]
struct State {
    in_use: usize,
    done: VecDeque<Event>,
    polls: Vec<Arc<Poll>>,
    destroyed: bool,
}

impl Context {
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, state: KCell::default(), queue: WaitQueue::new() })
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes a place for a request: EAGAIN if there is none.
    pub fn enter(&self) -> Result<(), Errno> {
        let mut state = self.state.borrow_mut();
        if state.destroyed {
            return Err(Errno::EINVAL);
        }
        if state.in_use >= self.capacity {
            return Err(Errno::EAGAIN);
        }
        state.in_use += 1;
        Ok(())
    }

    /// Gives the place of a request back that did not come about.
    pub fn leave(&self) {
        self.state.borrow_mut().in_use -= 1;
    }

    /// A request is done.
    pub fn complete(&self, ticket: &Ticket, result: i64) {
        let event = Event { data: ticket.data, request: ticket.request, result };
        self.state.borrow_mut().done.push_back(event);
        self.queue.wake_all(!0);
        if let Some(counter) = ticket.told.as_ref().and_then(|file| file.object.downcast::<EventFd>()) {
            counter.signal();
        }
    }

    /// Takes up to `most` events, waiting for `least` until the deadline (monotonic ns). An interrupted wait gives what there
    /// is, EINTR if that is nothing.
    pub fn take(&self, least: usize, most: usize, deadline: Option<u64>) -> Result<Vec<Event>, Errno> {
        let mut taken = Vec::new();
        let ready = || {
            let mut state = self.state.borrow_mut();
            let count = state.done.len().min(most - taken.len());
            taken.extend(state.done.drain(..count));
            state.in_use -= count;
            (taken.len() >= least || state.destroyed).then_some(())
        };
        let limit = WaitLimit { deadline, ..WaitLimit::default() };
        match wait_event(&[&self.queue], limit, ready) {
            Err(WaitEnd::Interrupted) if taken.is_empty() => Err(Errno::EINTR),
            _ => Ok(taken),
        }
    }

    /// Completes `ticket` when `file` is ready for one of the EPOLL* `events`.
    pub fn poll(self: &Arc<Self>, file: Arc<OpenFile>, events: u32, ticket: Ticket) -> Result<(), Errno> {
        let poll = Arc::new(Poll {
            context: Arc::downgrade(self),
            file,
            events: events | EPOLLERR | EPOLLHUP,
            ticket,
            registration: KCell::default(),
        });
        let waker: Arc<dyn Wake> = poll.clone();
        let queue = poll.file.object.wait_queue(&poll.file).ok_or(Errno::EINVAL)?;
        poll.registration.set(Some(queue.add(&waker, false)));
        self.state.borrow_mut().polls.push(poll.clone());
        poll.wake(!0);
        Ok(())
    }

    /// Ends a poll that is waited for: its event comes with nothing in it. EINVAL if there is no such request.
    pub fn cancel(&self, request: u64) -> Result<(), Errno> {
        let found = self.state.borrow().polls.iter().find(|poll| poll.ticket.request == request).cloned();
        found.ok_or(Errno::EINVAL)?.finish(0);
        Ok(())
    }

    /// Nobody takes events any more.
    pub fn destroy(&self) {
        let polls = {
            let mut state = self.state.borrow_mut();
            state.destroyed = true;
            core::mem::take(&mut state.polls)
        };
        for poll in polls {
            poll.forget();
        }
        self.queue.wake_all(!0);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// A poll that is waited for.
struct Poll {
    context: Weak<Context>,
    file: Arc<OpenFile>,
    events: u32,
    ticket: Ticket,
    registration: KCell<Option<Registration>>,
}

impl Poll {
    /// Stops listening. False: it had before.
    fn forget(&self) -> bool {
        let Some(registration) = self.registration.take() else { return false };
        if let Some(queue) = self.file.object.wait_queue(&self.file) {
            queue.remove(registration);
        }
        true
    }

    fn finish(self: &Arc<Self>, result: i64) {
        if !self.forget() {
            return;
        }
        if let Some(context) = self.context.upgrade() {
            context.state.borrow_mut().polls.retain(|other| !Arc::ptr_eq(other, self));
            context.complete(&self.ticket, result);
        }
    }
}

impl Wake for Poll {
    fn wake(&self, _events: u32) {
        let ready = self.file.object.poll(&self.file) & self.events;
        if ready == 0 {
            return;
        }
        let Some(context) = self.context.upgrade() else { return };
        let me =
            context.state.borrow().polls.iter().find(|poll| core::ptr::eq(&raw const ***poll, self)).cloned();
        if let Some(me) = me {
            me.finish(i64::from(ready));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::test::enter;
    use linux_raw_sys::general::EPOLLIN;

    fn ticket(request: u64) -> Ticket {
        Ticket { data: request + 1, request, told: None }
    }

    #[test]
    fn places_are_taken_until_events_are() {
        let _t = enter();
        let context = Context::new(2);
        assert_eq!((context.enter(), context.enter()), (Ok(()), Ok(())));
        assert_eq!(context.enter(), Err(Errno::EAGAIN));
        context.complete(&ticket(1), 5);
        assert_eq!(context.enter(), Err(Errno::EAGAIN), "its event was not taken yet");
        assert_eq!(context.take(1, 9, None), Ok(vec![Event { data: 2, request: 1, result: 5 }]));
        assert_eq!(context.enter(), Ok(()));
        assert_eq!(context.take(0, 9, None), Ok(vec![]));
    }

    #[test]
    fn a_poll_ends_once_by_readiness_or_by_being_cancelled() {
        let _t = enter();
        let context = Context::new(4);
        let file = EventFd::open(0, 0);
        for request in [1, 2] {
            context.enter().unwrap();
            context.poll(file.clone(), EPOLLIN, ticket(request)).unwrap();
        }
        assert_eq!(context.cancel(1), Ok(()));
        assert_eq!(context.cancel(1), Err(Errno::EINVAL));
        file.object.downcast::<EventFd>().unwrap().signal();
        file.object.downcast::<EventFd>().unwrap().signal();
        let results: Vec<_> = context.take(2, 9, None).unwrap().iter().map(|event| event.result).collect();
        assert_eq!(results, [0, i64::from(EPOLLIN)]);
        context.enter().unwrap();
        context.poll(file, EPOLLIN, ticket(3)).unwrap();
        assert_eq!(context.take(1, 9, None).unwrap().len(), 1, "it was ready at once");
    }
}
