//! A terminal of a size, what was written to it, and what it then shows.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use super::procs;

pub(crate) struct Pty {
    pub child: Child,
    columns: usize,
    reader: JoinHandle<Vec<u8>>,
}

impl Pty {
    /// Starts a command whose output goes to a terminal.
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let size = nix::pty::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(&size, None).expect("a terminal");
        let slave = || Stdio::from(pty.slave.try_clone().expect("dup"));
        command.env("TERM", "xterm");
        command.stdout(slave()).stderr(slave());
        Self::read(&mut command, pty.master, columns, pty.slave)
    }

    fn read(command: &mut Command, master: OwnedFd, columns: u16, slave: OwnedFd) -> Self {
        let child = procs::spawn(command).expect("spawn");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        drop(slave);
        let reader = std::thread::spawn(move || {
            let (mut master, mut bytes, mut chunk) = (std::fs::File::from(master), Vec::new(), [0; 4096]);
            // The system says EIO when nobody has the other end any more.
            while let Ok(count @ 1..) = master.read(&mut chunk) {
                bytes.extend_from_slice(&chunk[..count]);
            }
            bytes
        });
        Self { child, columns: columns.into(), reader }
    }

    /// Waits for the end: its exit status, what was written, and what is to be seen with all that scrolled away.
    pub(crate) fn finish(self) -> (std::process::ExitStatus, String, Vec<String>) {
        let (status, _) = procs::finish(self.child);
        let written = String::from_utf8(self.reader.join().expect("it reads")).expect("UTF-8");
        let seen = seen(&written, self.columns);
        (status, written, seen)
    }
}

/// The lines that a terminal would show, were it endlessly high. Knows what pmrun writes, and no more.
fn seen(written: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\x1b' => {
                assert_eq!(rest.next(), Some('['), "{written:?}");
                let mut number = String::new();
                let order = loop {
                    match rest.next() {
                        Some(c) if c.is_ascii_digit() || c == ';' => number.push(c),
                        other => break other,
                    }
                };
                match order {
                    Some('m') => {}
                    Some('A') => {
                        let up = number.parse::<usize>().expect("a count");
                        let wrapped = lines[row - up..row].iter().any(|line| line.len() >= columns);
                        assert!(!wrapped, "what is drawn over was wrapped: {written:?}");
                        row -= up;
                    }
                    Some('H') => (row, column) = (0, 0),
                    Some('K') => lines[row].truncate(column),
                    Some('J') => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    other => panic!("{other:?} in {written:?}"),
                }
            }
            c => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}
