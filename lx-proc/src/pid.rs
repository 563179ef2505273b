//! The pid table: every id that exists, and the tree of processes.
//!
//! One lock, the outermost, decides who is whose child, who has ended, and who is in which process
//! group and session.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::sync::{Mutex, MutexGuard, level};

use crate::task::Task;
use crate::thread_group::ThreadGroup;

/// Largest id, `/proc/sys/kernel/pid_max` - 1.
pub const PID_MAX: i32 = 4_194_303;
/// Where numbering begins again after the largest id.
const FIRST_REUSED: i32 = 300;

/// A thread group's place in the tree.
pub(crate) struct Node {
    pub(crate) group: Arc<ThreadGroup>,
    pub(crate) children: Vec<Arc<ThreadGroup>>,
}

/// What the lock protects.
#[derive(Default)]
pub(crate) struct Tree {
    tasks: BTreeMap<i32, Arc<Task>>,
    groups: BTreeMap<i32, Node>,
    /// The members of each process group, in the order in which they joined.
    process_groups: BTreeMap<i32, Vec<Arc<ThreadGroup>>>,
    /// Number of members of each session.
    sessions: BTreeMap<i32, usize>,
    last: i32,
}

/// Takes a group out of a list and keeps the order of the others, which guests see.
fn take_out(list: &mut Vec<Arc<ThreadGroup>>, group: &ThreadGroup) {
    if let Some(at) = list.iter().position(|other| core::ptr::eq(&**other, group)) {
        list.remove(at);
    }
}

impl Tree {
    fn join_process_group(&mut self, group: &Arc<ThreadGroup>) {
        self.process_groups.entry(group.pgid()).or_default().push(Arc::clone(group));
    }

    fn leave_process_group(&mut self, group: &ThreadGroup) {
        let pgid = group.pgid();
        if let Some(members) = self.process_groups.get_mut(&pgid) {
            take_out(members, group);
            if members.is_empty() {
                self.process_groups.remove(&pgid);
            }
        }
    }

    fn join_session(&mut self, sid: i32) {
        let count = self.sessions.entry(sid).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn leave_session(&mut self, sid: i32) {
        if let Some(count) = self.sessions.get_mut(&sid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sessions.remove(&sid);
            }
        }
    }

    fn is_used(&self, id: i32) -> bool {
        self.tasks.contains_key(&id)
            || self.groups.contains_key(&id)
            || self.process_groups.contains_key(&id)
            || self.sessions.contains_key(&id)
    }

    /// A group's place.
    pub(crate) fn node(&self, tgid: i32) -> Option<&Node> {
        self.groups.get(&tgid)
    }

    /// A group's place, to be changed.
    pub(crate) fn node_mut(&mut self, tgid: i32) -> Option<&mut Node> {
        self.groups.get_mut(&tgid)
    }

    /// A task.
    pub(crate) fn task(&self, tid: i32) -> Option<&Arc<Task>> {
        self.tasks.get(&tid)
    }

    /// A group.
    pub(crate) fn group(&self, tgid: i32) -> Option<&Arc<ThreadGroup>> {
        self.groups.get(&tgid).map(|node| &node.group)
    }

    /// All groups, by id.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<ThreadGroup>> {
        self.groups.values().map(|node| &node.group)
    }

    /// The members of a process group, first the one that has joined it last: so signals and
    /// priorities reach them.
    pub(crate) fn members(&self, pgid: i32) -> impl Iterator<Item = &Arc<ThreadGroup>> {
        self.process_groups.get(&pgid).into_iter().flatten().rev()
    }

    /// Adds a group as a child of its parent.
    pub(crate) fn insert_group(&mut self, group: &Arc<ThreadGroup>) {
        self.join_process_group(group);
        self.join_session(group.sid());
        let node = Node { group: Arc::clone(group), children: Vec::new() };
        self.groups.insert(group.tgid(), node);
        if let Some(parent) = self.groups.get_mut(&group.parent_tgid()) {
            parent.children.push(Arc::clone(group));
        }
    }

    /// Makes a task findable.
    pub(crate) fn insert_task(&mut self, task: &Arc<Task>) {
        self.tasks.insert(task.tid(), Arc::clone(task));
    }

    /// Removes a group for good: it has been waited for, or nobody will.
    pub(crate) fn release(&mut self, group: &ThreadGroup) -> Option<Arc<ThreadGroup>> {
        let node = self.groups.remove(&group.tgid())?;
        group.set_released();
        self.leave_process_group(group);
        self.leave_session(group.sid());
        if let Some(parent) = self.groups.get_mut(&group.parent_tgid()) {
            take_out(&mut parent.children, group);
        }
        Some(node.group)
    }

    /// Moves a group to another process group.
    pub(crate) fn move_to_process_group(&mut self, group: &Arc<ThreadGroup>, pgid: i32) {
        self.leave_process_group(group);
        group.set_pgid(pgid);
        self.join_process_group(group);
    }

    /// Moves a group to a session of its own.
    pub(crate) fn start_session(&mut self, group: &Arc<ThreadGroup>) {
        self.move_to_process_group(group, group.tgid());
        self.leave_session(group.sid());
        group.set_sid(group.tgid());
        self.join_session(group.sid());
    }
}

/// The table.
#[derive(Default)]
pub struct PidTable {
    tree: Mutex<Tree, { level::PID_TABLE }>,
}

impl PidTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Tree, { level::PID_TABLE }> {
        self.tree.lock()
    }

    /// Enters internal init; the next id given is 2.
    pub(crate) fn adopt_init(&self, init: &Arc<ThreadGroup>) {
        let mut tree = self.tree.lock();
        tree.insert_group(init);
        tree.last = init.tgid();
    }

    /// A new id: the next one that names no task, thread group, process group or session.
    ///
    /// # Errors
    /// `EAGAIN` if all are in use.
    pub fn allocate(&self) -> Result<i32> {
        let mut tree = self.tree.lock();
        for _ in 0..PID_MAX {
            let next = if tree.last >= PID_MAX { FIRST_REUSED } else { tree.last + 1 };
            tree.last = next;
            if !tree.is_used(next) {
                return Ok(next);
            }
        }
        Err(Errno::EAGAIN.into())
    }

    /// Makes a task findable, and its group, if it is the group's first one.
    pub(crate) fn insert(&self, task: &Arc<Task>) {
        let mut tree = self.tree.lock();
        tree.insert_task(task);
        if !tree.groups.contains_key(&task.tgid()) {
            tree.insert_group(task.group());
        }
    }

    /// Forgets a task that has ended.
    pub(crate) fn remove_task(&self, tid: i32) -> Option<Arc<Task>> {
        self.tree.lock().tasks.remove(&tid)
    }

    /// Gives a task the id of its leader, which has ended.
    pub(crate) fn rename_to_leader(&self, task: &Arc<Task>) {
        let mut tree = self.tree.lock();
        tree.tasks.remove(&task.tid());
        task.become_leader();
        tree.insert_task(task);
    }

    /// The task with this thread id.
    pub fn task(&self, tid: i32) -> Option<Arc<Task>> {
        self.tree.lock().task(tid).cloned()
    }

    /// The thread group with this id.
    pub fn group(&self, tgid: i32) -> Option<Arc<ThreadGroup>> {
        self.tree.lock().group(tgid).cloned()
    }

    /// The thread group of a task or, if the id is that of a group, the group: what calls that
    /// take a `pid_t` accept.
    pub fn group_of(&self, id: i32) -> Option<Arc<ThreadGroup>> {
        let tree = self.tree.lock();
        let of_task = || tree.task(id).map(|task| task.group());
        tree.group(id).or_else(of_task).cloned()
    }

    /// All thread groups, by id.
    pub fn groups(&self) -> Vec<Arc<ThreadGroup>> {
        self.tree.lock().groups().cloned().collect()
    }

    /// All tasks, by id.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tree.lock().tasks.values().cloned().collect()
    }

    /// Number of tasks.
    pub fn task_count(&self) -> usize {
        self.tree.lock().tasks.len()
    }

    /// The id that was given last, for `/proc/loadavg`.
    pub fn last_id(&self) -> i32 {
        self.tree.lock().last
    }

    /// The members of a process group, first the one that has joined it last.
    pub fn process_group(&self, pgid: i32) -> Vec<Arc<ThreadGroup>> {
        self.tree.lock().members(pgid).cloned().collect()
    }

    /// The children of a thread group.
    pub fn children(&self, tgid: i32) -> Vec<Arc<ThreadGroup>> {
        self.tree.lock().node(tgid).map(|node| node.children.clone()).unwrap_or_default()
    }
}
