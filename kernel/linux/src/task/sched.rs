//! The scheduler: which task runs on which vCPU.
//!
//! A `Group` is a set of vCPUs and the queue of tasks they serve. In the process tender each guest process with memory of
//! own is a host process and so a group; in the kvm tender there is one group. A vCPU with nothing to run idles on a stack
//! of its own, so a task that is woken goes on on any vCPU.
//!
//! A task that has woken another is often about to sleep: who answers a request reads the next one. Where a task has that
//! habit, the one it wakes is left to it, and no idle vCPU is woken, until it sleeps (the other then goes
//! on on the same vCPU) or does not (an idle vCPU, which naps meanwhile, takes the other).
//!
//! Among those that wait for a vCPU the one goes first that has run least (`Entity::virtual_time`). One that slept may be
//! at most a slice behind the others, so whoever wakes runs soon, however many spin; a new one begins a slice behind.
//!
//! Everything here runs under the big kernel lock, so a state read is a state that holds.

mod charge;
mod group;
mod idle;
mod lost;

use super::wait::{WaitEnd, WaitLimit, Wake};
use super::{Task, barrier, park};
use crate::mem::remote;
use crate::signal;
use crate::time::timer;
use crate::time::{monotonic_ns, timer::Timer};
use alloc::sync::{Arc, Weak};
use husk_machine::cell::KCell;
use husk_machine::cpu;
use husk_machine::global::Global;
use husk_machine::start::boot;
use husk_machine::thread::Thread;

pub use charge::run_time;
pub use group::Group;
use group::{CPUS, start_cpu, with_cpu};
pub(crate) use group::{cpus_in_use, first_cpus, restored, spaces_here};
pub(super) use group::{has_barriers, kick_running, take_barriers};
use idle::keep_time;
pub(crate) use idle::take_host_signals;
pub use idle::{cover_waiters, idle};

/// How long a task may keep its vCPU while others wait for it.
pub const SLICE_NS: u64 = 4_000_000;

/// A task that sleeps this soon after it has woken another is expected to do so again.
const SOON_NS: u64 = 20_000;
/// From this habit on. A time that it did so adds one to it, up to the maximum; a time that it did not takes some away.
const HABIT: u8 = 4;
const HABIT_MAX: u8 = 8;
const HABIT_LOSS: u8 = 3;
/// An idle vCPU sleeps no longer than this while woken tasks are left to their wakers,
const NAP_NS: u64 = 2_000_000;
/// and takes those who have waited for longer than this.
const PATIENCE_NS: u64 = 100_000;

/// What a task does, as the scheduler sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Made, but not yet queued.
    #[default]
    New,
    Running,
    Queued,
    Sleeping,
    Dead,
}

/// How often a task lost its vCPU: because it waited for something, and because others had their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    pub voluntary: u64,
    pub involuntary: u64,
}

impl core::ops::AddAssign for Switches {
    fn add_assign(&mut self, other: Self) {
        self.voluntary += other.voluntary;
        self.involuntary += other.involuntary;
    }
}

/// A task's part of the scheduler.
pub struct Entity {
    state: KCell<State>,
    /// A wake-up came since `prepare_to_sleep`.
    woken: KCell<bool>,
    /// The sleep ends only for SIGKILL.
    uninterruptible: KCell<bool>,
    /// The vCPU that runs it, or idles on its stack.
    on_cpu: KCell<Option<usize>>,
    /// When it got the vCPU, monotonic ns.
    since: KCell<u64>,
    /// Nanoseconds that it had a processor until `charged_at`, and what others were told at most (`charge`).
    ran: KCell<u64>,
    charged_at: KCell<u64>,
    told: KCell<u64>,
    switches: KCell<Switches>,
    /// The same, put forward by what it did not want to run while others did: who has the least goes first.
    virtual_time: KCell<u64>,
    /// When it first woke another since it last slept, by `own_ns`; 0: it did not.
    woke_at: KCell<u64>,
    /// How used it is to sleeping soon after it has woken another.
    habit: KCell<u8>,
    group: KCell<Option<Arc<Group>>>,
    thread: Option<Thread>,
    waker: KCell<Option<Arc<TaskWaker>>>,
    timer: KCell<Option<Arc<Timer>>>,
    /// Where the new task writes its id when it first runs (CLONE_CHILD_SETTID).
    child_tid: KCell<Option<usize>>,
}

impl Entity {
    pub(crate) fn new(thread: Option<Thread>, group: Option<Arc<Group>>) -> Self {
        Self {
            state: KCell::default(),
            woken: KCell::default(),
            uninterruptible: KCell::default(),
            on_cpu: KCell::default(),
            since: KCell::default(),
            ran: KCell::default(),
            charged_at: KCell::default(),
            told: KCell::default(),
            switches: KCell::default(),
            virtual_time: KCell::default(),
            woke_at: KCell::default(),
            habit: KCell::default(),
            group: KCell::new(group),
            thread,
            waker: KCell::default(),
            timer: KCell::default(),
            child_tid: KCell::default(),
        }
    }

    pub(super) fn set_child_tid(&self, address: usize) {
        self.child_tid.set(Some(address));
    }

    pub(super) fn take_child_tid(&self) -> Option<usize> {
        self.child_tid.take()
    }

    fn thread(&self) -> &Thread {
        self.thread.as_ref().expect("a scheduled task has a kernel stack")
    }

    fn group(&self) -> Arc<Group> {
        self.group.borrow().clone().expect("a scheduled task belongs to a group")
    }

    /// Lets time pass in a unit test.
    #[cfg(test)]
    pub fn add_run_time(&self, ns: u64) {
        self.ran.set(self.ran.get() + ns);
    }

    pub fn switches(&self) -> Switches {
        self.switches.get()
    }

    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Counts a switch.
    fn note_switch(&self, voluntary: bool) {
        let mut switches = self.switches.borrow_mut();
        *(if voluntary { &mut switches.voluntary } else { &mut switches.involuntary }) += 1;
        SWITCHES.set(SWITCHES.get() + 1);
    }

    /// The application's registers while the task does not run.
    pub fn saved_regs(&self) -> Option<husk_machine::context::Regs> {
        self.thread.as_ref().map(Thread::regs)
    }
}

/// How often a task gave its vCPU away.
static SWITCHES: Global<KCell<u64>> = Global::new(KCell::default);

/// How often any task gave its vCPU away, for /proc/stat.
pub fn switch_count() -> u64 {
    SWITCHES.get()
}

/// The task that runs on this vCPU.
pub fn current() -> Arc<Task> {
    CPUS.borrow().get(cpu::index()).and_then(|cpu| cpu.current.clone()).expect("a task runs")
}

/// Makes `task` the one that runs on this vCPU.
pub(crate) fn set_current(task: Option<Arc<Task>>) {
    let old = with_cpu(cpu::index(), |cpu| core::mem::replace(&mut cpu.current, task));
    drop(old);
}

/// Wakes its task; the task keeps it, for queues and timers to refer to.
struct TaskWaker(Weak<Task>);

impl Wake for TaskWaker {
    fn wake(&self, _events: u32) {
        if let Some(task) = self.0.upgrade() {
            wake(&task);
        }
    }
}

impl timer::Expire for TaskWaker {
    fn expire(&self) {
        self.wake(0);
    }
}

/// Ends a task's sleep.
pub fn wake(task: &Arc<Task>) {
    task.sched.woken.set(true);
    rouse(task);
}

/// Makes a sleeping task look again at why it sleeps.
fn rouse(task: &Arc<Task>) {
    if task.sched.state.get() != State::Sleeping {
        return;
    }
    // What it had run more than others it has made up for by sleeping as long.
    let least = task.sched.group().virtual_now.get().saturating_sub(SLICE_NS);
    let slept = monotonic_ns().saturating_sub(task.sched.since.get());
    let own = &task.sched.virtual_time;
    own.set(own.get().saturating_sub(slept).max(least));
    enqueue(task.clone());
}

/// A signal or an errand arrived: a sleep looks at it, an application comes into the kernel.
pub fn wake_for_signal(task: &Arc<Task>) {
    match task.sched.state.get() {
        State::Sleeping => rouse(task),
        State::Running => match task.sched.on_cpu.get() {
            Some(index) if index == cpu::index() => cpu::request_work(),
            Some(index) => cpu::kick(index),
            None => {}
        },
        _ => {}
    }
}

/// The number of the vCPU that runs this code, among those of its process: below `cpu_count`.
pub fn cpu_index() -> u32 {
    cpu::slot() as u32
}

/// vCPUs of one guest process.
pub fn cpu_count() -> u32 {
    boot().cpus
}

/// Queues a task that can run and finds a vCPU for it.
fn enqueue(task: Arc<Task>) {
    task.sched.state.set(State::Queued);
    let group = task.sched.group();
    group.queue.borrow_mut().push_back(task);
    provide_cpu(&group);
}

/// Starts a new task.
pub fn start(task: Arc<Task>) {
    let group = task.sched.group();
    group.tasks.set(group.tasks.get() + 1);
    group.starting.set(false);
    task.sched.virtual_time.set(group.virtual_now.get() + SLICE_NS);
    enqueue(task);
}

/// Starts the first task: the vCPU that boots takes it when it idles, so no other is woken.
pub fn start_first(task: Arc<Task>) {
    let group = task.sched.group();
    group.tasks.set(1);
    group.starting.set(false);
    task.sched.state.set(State::Queued);
    group.queue.borrow_mut().push_back(task);
}

fn provide_cpu(group: &Arc<Group>) {
    if group.queue.borrow().len() == 1 && group.is_mine() && !group.starting.get() {
        let free = with_cpu(cpu::index(), |cpu| cpu.current.is_none() && !cpu.ticker);
        if free {
            // This vCPU takes it when it is done here.
            return;
        }
    }
    if let Some(index) = group.idle_cpu() {
        if may_leave_to_waker(group) {
            // Decided when it is about to leave the kernel, if it does.
            return cpu::request_work();
        }
        return cpu::notify(index);
    }
    let running = group.busy_cpus().len();
    if running < boot().cpus as usize && group.is_mine() && running > 0 && start_cpu(group, false) {
        return;
    }
    // Whoever runs must share: its slice is watched from when it next leaves the kernel.
    for index in group.busy_cpus() {
        if index == cpu::index() {
            cpu::request_work();
        } else {
            cpu::kick(index);
        }
    }
}

/// A clock that stands while this vCPU is busy with others.
fn own_ns() -> u64 {
    monotonic_ns().wrapping_sub(cpu::overhead_ns())
}

/// Whether the only one queued may be left to the current task, which has just queued it: notes when it did.
fn may_leave_to_waker(group: &Group) -> bool {
    if group.queue.borrow().len() != 1 || !group.is_mine() {
        return false;
    }
    let Some(me) = with_cpu(cpu::index(), |cpu| cpu.current.clone()) else { return false };
    if me.sched.state.get() != State::Running {
        return false;
    }
    if me.sched.woke_at.get() == 0 {
        me.sched.woke_at.set(own_ns());
    }
    true
}

/// Whether `me`, which is about to leave the kernel, is expected to sleep so soon that the only one queued can wait for it.
fn is_left_to_waker(group: &Group, me: &Task, now: u64) -> bool {
    let woke_at = me.sched.woke_at.get();
    if woke_at == 0 || group.queue.borrow().len() != 1 {
        return false;
    }
    if me.sched.habit.get() < HABIT || own_ns().saturating_sub(woke_at) > SOON_NS {
        return false;
    }
    group.left_at.set(now);
    let cpus = CPUS.borrow();
    let naps = |index: &usize| {
        let cpu = &cpus[*index];
        cpu.idle && !cpu.ticker && cpu.sleeps_until.is_some_and(|until| until <= now + NAP_NS)
    };
    let idle = group.cpus.borrow().iter().any(naps);
    // Without one that naps the idle one is woken once; it may take the other or nap.
    idle
}

/// `me` goes to sleep: did it so soon after it woke another?
fn note_sleep(me: &Task) {
    let woke_at = me.sched.woke_at.take();
    if woke_at != 0 {
        let soon = own_ns().saturating_sub(woke_at) <= SOON_NS;
        let habit = me.sched.habit.get();
        me.sched.habit.set(if soon { (habit + 1).min(HABIT_MAX) } else { habit.saturating_sub(HABIT_LOSS) });
    }
}

/// The waker of the current task, made once per task.
fn waker_of(task: &Arc<Task>) -> Arc<TaskWaker> {
    task.sched.waker.borrow_mut().get_or_insert_with(|| Arc::new(TaskWaker(Arc::downgrade(task)))).clone()
}

pub(super) fn current_waker() -> Arc<dyn Wake> {
    waker_of(&current())
}

fn timer_of(task: &Arc<Task>) -> Arc<Timer> {
    let waker: Arc<dyn timer::Expire> = waker_of(task);
    task.sched.timer.borrow_mut().get_or_insert_with(|| Arc::new(Timer::new(Arc::downgrade(&waker)))).clone()
}

pub(super) fn prepare_to_sleep() {
    current().sched.woken.set(false);
}

pub(super) fn cancel_sleep() {}

/// Sleeps until woken, or until `limit` ends it.
pub(super) fn sleep(limit: WaitLimit) -> Result<(), WaitEnd> {
    if cfg!(not(husk_image)) {
        // In a unit test nothing else runs that could end a wait: it ends as if interrupted.
        return Err(WaitEnd::Interrupted);
    }
    let me = current();
    let entity = &me.sched;
    entity.uninterruptible.set(limit.uninterruptible);
    let must_end =
        |me: &Arc<Task>| if limit.uninterruptible { signal::killed(me) } else { signal::interrupts(me) };
    let timer = limit.deadline.map(|deadline| {
        let timer = timer_of(&me);
        timer.arm(deadline);
        timer
    });
    let end = loop {
        // Running one may have slept itself, so whoever waits looks again.
        if remote::run_errands(&me) || entity.woken.get() {
            break Ok(());
        }
        if must_end(&me) {
            cpu::request_work();
            break Err(WaitEnd::Interrupted);
        }
        if limit.deadline.is_some_and(|deadline| monotonic_ns() >= deadline) {
            break Err(WaitEnd::TimedOut);
        }
        entity.state.set(State::Sleeping);
        block(&me);
    };
    if let Some(timer) = timer {
        timer.disarm();
    }
    end
}

/// Gives the vCPU to others until the current task, whose state is set, can go on.
fn block(me: &Arc<Task>) {
    note_sleep(me);
    me.sched.note_switch(true);
    match take_next() {
        Some(next) => {
            // Those who were left to this task are more than it can take along.
            let group = my_group();
            if !group.queue.borrow().is_empty()
                && let Some(index) = group.idle_cpu()
            {
                cpu::notify(index);
            }
            drop(group);
            switch(me, next);
        }
        None => {
            account();
            me.sched.on_cpu.set(None);
            cpu::leave(me.sched.thread());
        }
    }
    runs_again(me);
}

/// The task has its vCPU back. A signal that came meanwhile is due on the way out, and so is care for those who still
/// wait for a vCPU: whoever queued them may have woken this one only.
fn runs_again(me: &Arc<Task>) {
    me.sched.state.set(State::Running);
    me.rseq.runs_again();
    barrier::resume(me);
    if signal::interrupts(me) || !me.errands.borrow().is_empty() || !my_group().queue.borrow().is_empty() {
        cpu::request_work();
    }
}

fn my_group() -> Arc<Group> {
    with_cpu(cpu::index(), |cpu| cpu.group.clone()).expect("a vCPU in use has a group")
}

/// The next task that can run; none while the guest is to be parked.
fn take_next() -> Option<Arc<Task>> {
    if park::is_wanted() {
        return None;
    }
    let group = my_group();
    let mut queue = group.queue.borrow_mut();
    let (first, _) = queue.iter().enumerate().min_by_key(|(_, task)| task.sched.virtual_time.get())?;
    let next = queue.remove(first)?;
    group.virtual_now.set(group.virtual_now.get().max(next.sched.virtual_time.get()));
    Some(next)
}

/// Stops the clock of the task that runs on this vCPU.
fn account() {
    let Some(task) = with_cpu(cpu::index(), |cpu| cpu.current.clone()) else { return };
    charge::settle(&task);
    task.sched.since.set(monotonic_ns());
}

/// Makes `next` the task of this vCPU and its stack the one to go on with. The vCPU's reference keeps it alive.
fn choose(next: Arc<Task>) {
    account();
    lost::watch();
    next.sched.on_cpu.set(Some(cpu::index()));
    next.sched.state.set(State::Running);
    let now = monotonic_ns();
    next.sched.since.set(now);
    next.sched.charged_at.set(now);
    next.space().activate();
    cpu::choose(next.sched.thread());
    set_current(Some(next));
}

/// Lets `next` run on this vCPU. Returns when `from` runs again.
fn switch(from: &Arc<Task>, next: Arc<Task>) {
    from.sched.on_cpu.set(None);
    choose(next);
    cpu::switch(from.sched.thread());
}

/// Before a vCPU returns to its application: lets others run whose turn it is, and sees to it that somebody keeps time.
pub fn before_return() {
    let me = current();
    lost::look_if_suspected();
    crate::mem::oom::relieve_if_short();
    let now = monotonic_ns();
    timer::run_expired(now);
    take_host_signals();
    if park::is_wanted() {
        rest(&me);
    }
    let group = my_group();
    if !group.queue.borrow().is_empty() {
        provide_cpu_here(&group, &me, now);
        let spent = now.saturating_sub(me.sched.since.get());
        if spent >= SLICE_NS {
            yield_now();
        }
    }
}

/// The current task has had its turn, if others wait for a vCPU.
pub(super) fn end_turn() {
    if let Some(me) = with_cpu(cpu::index(), |cpu| cpu.current.clone()) {
        me.sched.since.set(me.sched.since.get().saturating_sub(SLICE_NS));
    }
}

/// Leaves the vCPU to a park. The task goes on afterwards, before others.
fn rest(me: &Arc<Task>) {
    account();
    me.sched.state.set(State::Queued);
    me.sched.on_cpu.set(None);
    me.sched.group().queue.borrow_mut().push_front(me.clone());
    cpu::leave(me.sched.thread());
    runs_again(me);
}

/// A queued task and no idle vCPU: starts a further vCPU if the guest may have one, else a ticker that ends slices.
fn provide_cpu_here(group: &Arc<Group>, me: &Task, now: u64) {
    if let Some(index) = group.idle_cpu() {
        if !is_left_to_waker(group, me, now) {
            cpu::notify(index);
        }
        return;
    }
    if group.busy_cpus().len() < boot().cpus as usize {
        return provide_cpu(group);
    }
    keep_time(group);
}

/// Lets every queued task of the group run before the current one goes on (sched_yield(2)).
pub fn yield_now() {
    let me = current();
    let group = my_group();
    if group.queue.borrow().is_empty() || park::is_wanted() {
        return;
    }
    account();
    let last = group.queue.borrow().iter().map(|task| task.sched.virtual_time.get()).max();
    let own = &me.sched.virtual_time;
    own.set(own.get().max(last.unwrap_or(0)));
    me.sched.state.set(State::Queued);
    group.queue.borrow_mut().push_back(me.clone());
    if let Some(next) = take_next()
        && !Arc::ptr_eq(&next, &me)
    {
        me.sched.note_switch(false);
        switch(&me, next);
    }
    runs_again(&me);
}

/// Moves the current task to another group: it goes on on one of that group's vCPUs (execve after vfork).
pub(super) fn migrate(to: &Arc<Group>) {
    let me = current();
    let from = me.sched.group();
    if Arc::ptr_eq(&from, to) {
        return;
    }
    from.tasks.set(from.tasks.get() - 1);
    to.tasks.set(to.tasks.get() + 1);
    to.starting.set(false);
    drop(me.sched.group.replace(Some(to.clone())));
    leave(&me, to);
}

/// The current task goes to sleep as queued elsewhere; this vCPU must not idle on its stack.
fn leave(me: &Arc<Task>, to: &Arc<Group>) {
    me.sched.state.set(State::Queued);
    me.sched.on_cpu.set(None);
    me.sched.virtual_time.set(to.virtual_now.get());
    my_group().left_at.set(0);
    to.queue.borrow_mut().push_back(me.clone());
    provide_cpu(to);
    cpu::leave(me.sched.thread());
    runs_again(me);
}

/// Ends the current task. Its stack is freed once the vCPU has left it.
pub(crate) fn exit_current() -> ! {
    let me = current();
    account();
    me.sched.state.set(State::Dead);
    let group = me.sched.group();
    group.tasks.set(group.tasks.get() - 1);
    // Whom it has woken this vCPU takes at once.
    group.left_at.set(0);
    me.sched.on_cpu.set(None);
    drop(me.sched.timer.take());
    drop(me.sched.waker.take());
    drop(group);
    drop(me);
    cpu::idle()
}
