use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;

use crate::platform::fault_point;
use crate::runtime::store::Store;
use crate::runtime::{Recall, RecallError, Recalled, Save, Ticket};

/// The thread that waits for the disk, so that the loop does not.
#[derive(Debug)]
pub(super) struct Saver {
    requests: Sender<Request>,
    thread: JoinHandle<()>,
}

/// How a save ended, or what was read.
#[derive(Debug)]
pub(super) enum Saved {
    Written { ticket: Ticket, result: Result<(), String> },
    Read { ticket: Ticket, result: Result<Box<Recalled>, RecallError> },
}

enum Request {
    Write { ticket: Ticket, saves: Vec<Save> },
    Read { ticket: Ticket, wanted: Recall },
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
        let _ = self.requests.send(Request::Write { ticket, saves });
    }

    /// After what is to be saved before.
    pub(super) fn recall(&self, ticket: Ticket, wanted: Recall) {
        let _ = self.requests.send(Request::Read { ticket, wanted });
    }

    /// Returns when everything that was asked for is on disk and the file is closed.
    pub(super) fn finish(self) {
        drop(self.requests);
        let _ = self.thread.join();
    }
}

/// What came while the disk was busy goes out together: one wait for all.
fn save_all(mut store: Store, waiting: &Receiver<Request>, sink: &UnboundedSender<Saved>) {
    let mut next = waiting.recv().ok();
    while let Some(request) = next.take() {
        match request {
            Request::Read { ticket, wanted } => {
                let result = store.recall(&wanted).map(Box::new);
                let _ = sink.send(Saved::Read { ticket, result });
            }
            Request::Write { ticket, saves } => {
                let (mut tickets, mut all) = (vec![ticket], saves);
                while let Ok(request) = waiting.try_recv() {
                    match request {
                        Request::Write { ticket, saves } => {
                            tickets.push(ticket);
                            all.extend(saves);
                        }
                        read @ Request::Read { .. } => {
                            next = Some(read);
                            break;
                        }
                    }
                }
                fault_point();
                let result = store.save(&all).map_err(|error| error.to_string());
                fault_point();
                for ticket in tickets {
                    let _ = sink.send(Saved::Written { ticket, result: result.clone() });
                }
            }
        }
        next = next.or_else(|| waiting.recv().ok());
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
            let Saved::Written { ticket, result } = saved.try_recv().unwrap() else { panic!("nothing was to be read") };
            assert_eq!((ticket, result), (Ticket(number), Ok(())));
        }
        assert_eq!(crate::runtime::store::read(home.path()).unwrap().unwrap().generation, 49);
    }
}
