use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;

use super::copies::{self, Copies};
use super::rebuild::rebuilt_generation;
use super::{log, utc_name};
use crate::platform::fault_point;
use crate::rpc::wire::{Answer, Call};
use crate::runtime::store::{Store, StoreError};
use crate::runtime::{ClientId, Errand, Recall, RecallError, Recalled, Save, State, Ticket};

/// The thread that waits for the disk, so that the loop does not.
#[derive(Debug)]
pub(super) enum Saver {
    Disk {
        requests: Sender<Request>,
        thread: JoinHandle<Copies>,
    },
    /// Of what is not to outlive this process: all is as if it were saved.
    Nowhere(UnboundedSender<Told>),
}

/// Why there is nothing to look up.
const NOTHING_KEPT: &str = "`pmrun run` keeps nothing";

/// What has become of a request.
#[derive(Debug)]
pub(super) enum Told {
    Written {
        ticket: Ticket,
        result: Result<(), String>,
        /// As [`Store::saves`], after it.
        saves: u64,
    },
    Read {
        ticket: Ticket,
        result: Result<Box<Recalled>, RecallError>,
    },
    Answer {
        client: ClientId,
        answer: Answer,
    },
    /// Another program can go on with what is on disk; or why not.
    Ready {
        client: ClientId,
        call: Box<Call>,
        result: Result<(), Box<Answer>>,
    },
}

#[derive(Debug)]
pub(super) enum Request {
    Write { ticket: Ticket, saves: Vec<Save> },
    Read { ticket: Ticket, wanted: Recall },
    Errand { client: ClientId, errand: Errand },
    Prepare { client: ClientId, call: Box<Call> },
    Mend,
}

impl Saver {
    /// `state` is what `store` has.
    pub(super) fn start(home: &Path, store: Store, state: State, sink: UnboundedSender<Told>) -> std::io::Result<Self> {
        let (requests, waiting) = channel();
        let copies = Copies::start(home, state)?;
        let desk = Desk { home: home.to_owned(), store, copies, sink };
        let thread = std::thread::Builder::new()
            .name("saver".to_owned())
            .stack_size(512 << 10)
            .spawn(move || desk.save_all(&waiting))?;
        Ok(Self::Disk { requests, thread })
    }

    pub(super) fn save(&self, ticket: Ticket, saves: Vec<Save>) {
        self.request(Request::Write { ticket, saves });
    }

    /// After what is to be saved before.
    pub(super) fn recall(&self, ticket: Ticket, wanted: Recall) {
        self.request(Request::Read { ticket, wanted });
    }

    pub(super) fn run(&self, client: ClientId, errand: Errand) {
        self.request(Request::Errand { client, errand });
    }

    /// Before another program goes on with it: one that cannot be read or written would be found out when it is too late.
    pub(super) fn prepare(&self, client: ClientId, call: Box<Call>) {
        self.request(Request::Prepare { client, call });
    }

    /// Where somebody has taken away what is on disk, it is written again.
    pub(super) fn mend(&self) {
        self.request(Request::Mend);
    }

    fn request(&self, request: Request) {
        match self {
            // The thread ends only with this sender.
            Self::Disk { requests, .. } => _ = requests.send(request),
            Self::Nowhere(sink) => _ = unkept(&request).map(|told| sink.send(told)),
        }
    }

    /// Returns when everything that was asked for is on disk and the file is closed.
    pub(super) fn finish(self) {
        if let Some(copies) = self.close() {
            copies.finish();
        }
    }

    /// The same, for a daemon that follows at once: it sees to the backup.
    pub(super) fn close(self) -> Option<Copies> {
        let Self::Disk { requests, thread } = self else { return None };
        drop(requests);
        thread.join().ok()
    }
}

fn unkept(request: &Request) -> Option<Told> {
    Some(match request {
        Request::Write { ticket, .. } => Told::Written { ticket: *ticket, result: Ok(()), saves: 0 },
        Request::Read { ticket, .. } => {
            Told::Read { ticket: *ticket, result: Err(RecallError::Unreadable(NOTHING_KEPT.to_owned())) }
        }
        Request::Errand { client, .. } => {
            let hint =
                Some("its apps end with it; `pmrun apply` has a daemon run them that keeps its state".to_owned());
            Told::Answer { client: *client, answer: Answer::Error { message: NOTHING_KEPT.to_owned(), hint } }
        }
        Request::Prepare { client, call } => Told::Ready { client: *client, call: call.clone(), result: Ok(()) },
        Request::Mend => return None,
    })
}

struct Desk {
    home: PathBuf,
    store: Store,
    copies: Copies,
    sink: UnboundedSender<Told>,
}

impl Desk {
    /// What came while the disk was busy goes out together: one wait for all.
    fn save_all(mut self, waiting: &Receiver<Request>) -> Copies {
        if let Err(error) = self.store.wake() {
            log::line(error);
        }
        let mut next = waiting.recv().ok();
        while let Some(request) = next.take() {
            match request {
                Request::Errand { client, errand } => {
                    let answer = self.run(errand).unwrap_or_else(|error| refusal(&error));
                    let _ = self.sink.send(Told::Answer { client, answer });
                }
                Request::Prepare { client, call } => {
                    let ready = self.run(Errand::Repair).and_then(|_| self.store.can_be_written());
                    // Now, while others are still answered, and not when the other program is already waited for.
                    self.store.sleep();
                    let result = ready.map_err(|error| Box::new(not_ready(&error)));
                    let _ = self.sink.send(Told::Ready { client, call, result });
                }
                Request::Mend => {
                    if let Err(error) = self.mend() {
                        log::line(error);
                    }
                }
                Request::Read { ticket, wanted } => {
                    let result = self.store.recall(&wanted).map(Box::new);
                    let _ = self.sink.send(Told::Read { ticket, result });
                }
                Request::Write { ticket, mut saves } => {
                    let mut tickets = vec![ticket];
                    while let Ok(request) = waiting.try_recv() {
                        let Request::Write { ticket, saves: more } = request else {
                            next = Some(request);
                            break;
                        };
                        tickets.push(ticket);
                        saves.extend(more);
                    }
                    fault_point();
                    let result = self.save(&saves).map_err(|error| error.to_string());
                    fault_point();
                    let saved = result.is_ok();
                    let count = self.store.saves();
                    for ticket in tickets {
                        let _ = self.sink.send(Told::Written { ticket, result: result.clone(), saves: count });
                    }
                    if saved {
                        self.copies.saved(&saves);
                    }
                }
            }
            next = next.or_else(|| waiting.recv().ok());
        }
        self.copies
    }

    fn save(&mut self, saves: &[Save]) -> Result<(), StoreError> {
        if !self.store.is_in_place() {
            self.run(Errand::Repair)?;
        }
        let Err(error) = self.store.save(saves) else { return Ok(()) };
        // Somebody may have cut it or written to it: all that is to be in it is known here.
        match self.run(Errand::Repair) {
            Ok(Answer::State { problem: Some(_), .. }) => self.store.save(saves),
            _ => Err(error),
        }
    }

    fn mend(&mut self) -> Result<(), StoreError> {
        if !self.store.is_in_place() {
            self.run(Errand::Repair)?;
        }
        self.copies.look(&self.home);
        Ok(())
    }

    fn run(&mut self, errand: Errand) -> Result<Answer, StoreError> {
        let state = self.copies.latest();
        let apps = state.apps.len();
        if errand == Errand::Keep {
            let path = copies::keep(&self.home, &state)?.display().to_string();
            return Ok(Answer::Kept { apps, path });
        }
        let problem = self.store.damage(&state)?;
        let aside = match &problem {
            Some(_) if errand == Errand::Repair && self.store.put_back(&self.home).unwrap_or(false) => {
                log::line("somebody has taken the state away: it is there again, with all that was in it");
                None
            }
            Some(problem) if errand == Errand::Repair => {
                let note = rebuilt_generation(state.generation, apps);
                let aside = self.store.renew(&self.home, &state, &note, &utc_name())?;
                let aside = aside.map(|aside| aside.display().to_string());
                log::line(format_args!("the state was damaged ({problem}) and was written anew"));
                aside
            }
            _ => None,
        };
        Ok(Answer::State { problem, apps, aside })
    }
}

fn not_ready(error: &StoreError) -> Answer {
    let hint = error.hint().map(|hint| format!("nothing was done; {hint}"));
    Answer::Error { message: format!("another program could not go on with what is recorded: {error}"), hint }
}

fn refusal(error: &StoreError) -> Answer {
    Answer::Error { message: error.to_string(), hint: error.hint() }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;

    fn begun(home: &Path) -> (Saver, UnboundedReceiver<Told>) {
        let (sink, told) = tokio::sync::mpsc::unbounded_channel();
        let mut store = Store::open(home).unwrap();
        let state = store.load().unwrap();
        (Saver::start(home, store, state, sink).unwrap(), told)
    }

    #[test]
    fn every_ticket_comes_back_in_order_and_is_on_disk() {
        let home = tempfile::tempdir().unwrap();
        let (saver, mut told) = begun(home.path());
        for number in 0..50 {
            saver.save(Ticket(number), vec![Save::Generation(number)]);
        }
        saver.finish();
        for number in 0..50 {
            let Told::Written { ticket, result, .. } = told.try_recv().unwrap() else {
                panic!("nothing was to be read")
            };
            assert_eq!((ticket, result), (Ticket(number), Ok(())));
        }
        assert_eq!(crate::runtime::store::read(home.path()).unwrap().unwrap().generation, 49);
    }

    #[test]
    fn a_state_that_is_damaged_under_a_daemon_is_written_anew_from_what_that_knows() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state");
        let (saver, mut told) = begun(home.path());
        saver.save(Ticket(1), vec![Save::Generation(7)]);
        assert!(matches!(told.blocking_recv(), Some(Told::Written { .. })));
        let mut ask = |errand| {
            saver.run(ClientId(1), errand);
            match told.blocking_recv() {
                Some(Told::Answer { answer: Answer::State { problem, aside, .. }, .. }) => {
                    (problem.is_some(), aside.is_some())
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ask(Errand::Check), (false, false));
        for round in 0..3 {
            match round {
                0 => std::fs::write(&path, "torn").unwrap(),
                1 => std::fs::remove_file(&path).unwrap(),
                _ => {
                    let mut bytes = std::fs::read(&path).unwrap();
                    bytes.iter_mut().skip(4096).step_by(61).for_each(|byte| *byte ^= 0xff);
                    std::fs::write(&path, bytes).unwrap();
                }
            }
            assert_eq!(ask(Errand::Check), (true, false), "{round}");
            assert_eq!(ask(Errand::Repair), (true, round != 1), "{round}");
            assert_eq!(ask(Errand::Repair), (false, false), "{round}");
        }
        saver.finish();
        assert_eq!(crate::runtime::store::read(home.path()).unwrap().unwrap().generation, 7);
    }

    #[test]
    fn wherever_a_state_is_cut_under_a_daemon_the_next_change_is_saved() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state");
        let (saver, mut told) = begun(home.path());
        let cuts = [0, 1, 4095, 4096, 5000, 8192, 20_000, 1 << 20];
        for (number, cut) in (1..).zip(cuts) {
            let length = std::fs::metadata(&path).unwrap().len();
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length.min(cut)).unwrap();
            saver.save(Ticket(number), vec![Save::Generation(number)]);
            match told.blocking_recv() {
                Some(Told::Written { result, .. }) => assert_eq!(result, Ok(()), "cut at {cut}"),
                other => panic!("{other:?}"),
            }
        }
        saver.finish();
        assert_eq!(crate::runtime::store::read(home.path()).unwrap().unwrap().generation, cuts.len() as u64);
    }
}
