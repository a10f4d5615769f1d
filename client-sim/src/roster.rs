//! Who takes part: for each client of the plan whoever is it now, those who leave, and the books of
//! all.

use std::{
    collections::VecDeque,
    ops::{AddAssign, Range},
    sync::Arc,
    time::{Duration, Instant},
};

use client::{
    driver::{Commands, Running},
    kernel_drops,
};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::{
    bot::{Books, Command},
    ledger::{Balance, Incoming, Outgoing, Settler, Shared},
    plan::Plan,
};

/// How each client of the plan is told something, in the clients' order.
pub(crate) type Lines = Arc<Mutex<Vec<Commands<Command>>>>;

#[derive(Debug, Default)]
pub(crate) struct Roster {
    seats: Vec<Seat>,
    lines: Lines,
    outgoing: Vec<Shared<Outgoing>>,
    /// Those who made place and still take in what is under way, by when they are closed.
    leaving: VecDeque<Leaving>,
    former: Vec<Former>,
    /// What the books say that are closed for good.
    retired: Balance,
    /// What the sockets did that are closed.
    sockets: Sockets,
}

/// What the clients' sockets did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sockets {
    pub(crate) datagrams_in: u64,
    pub(crate) datagrams_out: u64,
    /// By the kernel.
    pub(crate) drops: u64,
}

/// Whoever is a client of the plan now.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) running: Running<Command>,
    pub(crate) books: Books,
}

#[derive(Debug)]
struct Leaving {
    seat: Seat,
    left_at: Instant,
}

/// Told to end; its book is settled when all that concerns it is known.
#[derive(Debug)]
struct Former {
    incoming: Shared<Incoming>,
    tasks: TaskTracker,
    left_at: Instant,
}

impl Roster {
    /// What the next client of the plan, or the next who takes its place, publishes into.
    pub(crate) fn outgoing(&mut self, client: usize) -> Shared<Outgoing> {
        while self.outgoing.len() <= client {
            self.outgoing.push(Shared::default());
        }
        self.outgoing.get(client).cloned().unwrap_or_default()
    }

    /// The next client of the plan.
    pub(crate) fn push(&mut self, seat: Seat) {
        self.lines.lock().push(seat.running.commands.clone());
        self.seats.push(seat);
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    /// How everybody who is there now is told something, in the clients' order.
    pub(crate) fn commands(&self) -> Vec<Commands<Command>> {
        self.lines.lock().clone()
    }

    pub(crate) fn lines(&self) -> Lines {
        Arc::clone(&self.lines)
    }

    /// Somebody takes a client's place, who has been told to leave.
    pub(crate) fn replace(&mut self, now: Instant, client: usize, seat: Seat) {
        if let Some(line) = self.lines.lock().get_mut(client) {
            *line = seat.running.commands.clone();
        }
        if let Some(place) = self.seats.get_mut(client) {
            let seat = std::mem::replace(place, seat);
            // One that has ended before has not heard that it is to leave.
            seat.books.incoming.lock().until.get_or_insert(now);
            let left_at = now;
            self.leaving.push_back(Leaving { seat, left_at });
        }
    }

    /// Tells a client something. One that has stopped does not hear it, and is counted as stopped.
    pub(crate) async fn tell(&self, client: usize, command: Command) {
        if let Some(seat) = self.seats.get(client) {
            let _heard = timeout(COMMAND_TIMEOUT, seat.running.commands.send(command)).await;
        }
    }

    /// Closes those whose time is over, and the books that nothing is added to any more.
    pub(crate) fn clear(&mut self, now: Instant, linger: Duration, plan: &Plan, start: Instant) {
        let over = self
            .leaving
            .iter()
            .take_while(|leaving| leaving.left_at + linger <= now)
            .count();
        let closing: Vec<Leaving> = self.leaving.drain(..over).collect();
        // Before the sockets are closed, and their counters with them.
        self.sockets += Sockets::of(closing.iter().map(|leaving| &leaving.seat));
        for Leaving { seat, left_at } in closing {
            seat.running.stop.cancel();
            self.former.push(Former {
                incoming: seat.books.incoming,
                tasks: seat.running.tasks,
                left_at,
            });
        }
        let outgoing = &*self.outgoing;
        let settler = Settler {
            plan,
            start,
            outgoing,
        };
        let retired = &mut self.retired;
        self.former.retain(|former| {
            let over = former.tasks.is_empty() && former.left_at + KEPT_FOR <= now;
            if over {
                *retired += settler.settle(&former.incoming.lock());
            }
            !over
        });
    }

    /// What all books say.
    pub(crate) fn settle(&self, plan: &Plan, start: Instant) -> Balance {
        let mut balance = self.retired;
        for incoming in self.incoming() {
            balance += self.settler(plan, start).settle(&incoming.lock());
        }
        balance
    }

    /// What they say of what was due in a stretch of time.
    pub(crate) fn settle_due(&self, plan: &Plan, start: Instant, due: &Range<Instant>) -> Balance {
        let mut balance = Balance::default();
        for incoming in self.incoming() {
            let settler = self.settler(plan, start);
            balance += settler.settle_due(&incoming.lock(), Some(due.clone()));
        }
        balance
    }

    /// What all sockets did so far.
    pub(crate) fn sockets(&self) -> Sockets {
        let mut sockets = self.sockets;
        sockets += Sockets::of(self.present());
        sockets
    }

    /// Lets everybody leave politely. What has not left by then is cut off with its thread.
    pub(crate) async fn dismiss(&self) {
        for seat in self.present() {
            seat.running.stop.cancel();
        }
        let left = async {
            let former = self.former.iter().map(|former| &former.tasks);
            for tasks in self.present().map(|seat| &seat.running.tasks).chain(former) {
                tasks.wait().await;
            }
        };
        let _left = timeout(DISMISS_TIMEOUT, left).await;
    }

    fn settler<'a>(&'a self, plan: &'a Plan, start: Instant) -> Settler<'a> {
        Settler {
            plan,
            start,
            outgoing: &self.outgoing,
        }
    }

    fn present(&self) -> impl Iterator<Item = &Seat> {
        let leaving = self.leaving.iter().map(|leaving| &leaving.seat);
        self.seats.iter().chain(leaving)
    }

    fn incoming(&self) -> impl Iterator<Item = &Shared<Incoming>> {
        let present = self.present().map(|seat| &seat.books.incoming);
        present.chain(self.former.iter().map(|former| &former.incoming))
    }
}

impl Sockets {
    fn of<'a>(seats: impl Iterator<Item = &'a Seat>) -> Self {
        let sockets: Vec<_> = seats.map(|seat| &*seat.running.socket).collect();
        if sockets.is_empty() {
            return Self::default();
        }
        Self {
            datagrams_in: sockets
                .iter()
                .map(|socket| socket.datagrams_in.value())
                .sum(),
            datagrams_out: sockets
                .iter()
                .map(|socket| socket.datagrams_out.value())
                .sum(),
            // This is a look at every socket of the system.
            drops: kernel_drops(sockets).unwrap_or(0),
        }
    }

    /// Without what went on before, but for the drops, which are those of the whole run.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            datagrams_in: self.datagrams_in.saturating_sub(before.datagrams_in),
            datagrams_out: self.datagrams_out.saturating_sub(before.datagrams_out),
            drops: self.drops,
        }
    }
}

impl AddAssign for Sockets {
    fn add_assign(&mut self, other: Self) {
        self.datagrams_in += other.datagrams_in;
        self.datagrams_out += other.datagrams_out;
        self.drops += other.drops;
    }
}

/// A packet that has not come so long after it was due is known to be lost, and whether both its
/// ends were there is known, too: who loses a server notices within 15 s.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(20);

/// A former client's book is settled when everything that was due to it is known, and the timeline
/// has told it.
const KEPT_FOR: Duration = Duration::from_secs(25);

/// A bot's task takes commands between passes of a few milliseconds.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

const DISMISS_TIMEOUT: Duration = Duration::from_secs(10);
