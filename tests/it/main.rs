//! End to end: the built binary, real processes, a `PMRUN_HOME` of its own for each test.
//!
//! Tests wait for states, with a bound, and never sleep: apps report to a FIFO, ends of processes are seen by pidfd.
//! Each test leaves nothing behind; its home checks, and fails it otherwise.
//!
//! Flakes seen, and what mended them (add a line when one is found):
//! * a home whose path is long breaks the socket (108 bytes): homes are in `/tmp`, whatever TMPDIR says.
//! * an orphan that nobody reaps looks alive to a check by pid: `support::procs` takes zombies for dead, and reaps.

mod accounts;
mod api;
mod at_work;
mod bad_input;
mod base;
mod cluster;
mod codes;
mod commands;
mod conformance;
mod cron;
mod durability;
mod editor;
mod explain;
mod faults;
mod formats;
mod fuzzing;
mod health;
mod history;
mod javascript;
mod keeping;
mod limits;
mod listening;
mod logging;
mod looking;
mod memory;
mod migrating;
mod mistakes;
mod monit;
mod named_pm2;
mod named_pm2_files;
mod named_pm2_more;
mod named_pm2_words;
mod nodes;
mod only_what_changed;
mod planning;
mod profiles;
mod reading;
mod readme;
mod reboot;
mod run;
mod running;
mod sandbox;
mod serving;
mod startup;
mod state_damage;
mod stopping;
mod support;
mod talking;
mod traps;
mod typed;
mod watching;
mod web;
mod why;
