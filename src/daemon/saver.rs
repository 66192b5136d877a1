use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;

use crate::platform::fault_point;
use crate::runtime::store::Store;
use crate::runtime::{Save, Ticket};

/// The thread that waits for the disk, so that the loop does not.
#[derive(Debug)]
pub(super) struct Saver {
    requests: Sender<Request>,
    thread: JoinHandle<()>,
}

/// How a save ended.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) ticket: Ticket,
    pub(super) result: Result<(), String>,
}

struct Request {
    ticket: Ticket,
    saves: Vec<Save>,
}

impl Saver {
    pub(super) fn start(store: Store, sink: UnboundedSender<Saved>) -> std::io::Result<Self> {
        let (requests, waiting) = channel();
        let thread = std::thread::Builder::new()
            .name("saver".to_owned())
            .stack_size(512 << 10)
            .spawn(move || save_all(store, &waiting, &sink))?;
        Ok(Self { requests, thread })
    }

    pub(super) fn save(&self, ticket: Ticket, saves: Vec<Save>) {
        // The thread ends only with this sender.
        let _ = self.requests.send(Request { ticket, saves });
    }

    /// Returns when everything that was asked for is on disk and the file is closed.
    pub(super) fn finish(self) {
        drop(self.requests);
        let _ = self.thread.join();
    }
}

/// What came while the disk was busy goes out together: one wait for all.
fn save_all(mut store: Store, waiting: &Receiver<Request>, sink: &UnboundedSender<Saved>) {
    while let Ok(first) = waiting.recv() {
        let mut tickets = vec![first.ticket];
        let mut saves = first.saves;
        while let Ok(next) = waiting.try_recv() {
            tickets.push(next.ticket);
            saves.extend(next.saves);
        }
        fault_point();
        let result = store.save(&saves).map_err(|error| error.to_string());
        fault_point();
        for ticket in tickets {
            let _ = sink.send(Saved { ticket, result: result.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ticket_comes_back_in_order_and_is_on_disk() {
        let home = tempfile::tempdir().unwrap();
        let (sink, mut saved) = tokio::sync::mpsc::unbounded_channel();
        let saver = Saver::start(Store::open(home.path()).unwrap(), sink).unwrap();
        for number in 0..50 {
            saver.save(Ticket(number), vec![Save::Generation(number)]);
        }
        saver.finish();
        for number in 0..50 {
            let Saved { ticket, result } = saved.try_recv().unwrap();
            assert_eq!((ticket, result), (Ticket(number), Ok(())));
        }
        assert_eq!(crate::runtime::store::read(home.path()).unwrap().unwrap().generation, 49);
    }
}
