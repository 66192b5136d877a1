//! When a cron pattern's time comes. Pure: clock and time zone are arguments.
//!
//! [`Pattern`] is PM2's dialect: five fields, or six with seconds first; where both days are given both must fit (Friday
//! the 13th); Monday is 1, Sunday 0 or 7. [`Agenda`] is one app's times, and knows what a clock that jumps does to them:
//!
//! | what happens | what becomes of a run |
//! | --- | --- |
//! | its time does not exist (clocks go forward at 2:00, it is due at 2:30) | it comes when the gap is over, at 3:00 |
//! | its time comes twice (clocks go back) | with a fixed hour and minute the first counts; a pattern with `*`, `/` or lists of them goes on through both |
//! | the clock is set forward, or the machine slept | runs that were missed by a day or less are made up for by one, at once |
//! | the clock is set back by three hours or less | what has run does not run again: the next is the one after it |
//! | the clock is set back further | it was wrong before: times are as the clock says now |

mod agenda;
mod pattern;

pub use agenda::Agenda;
pub use pattern::{Pattern, PatternError};
