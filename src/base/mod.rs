//! Plain values that everything else is made of: ids, times, sizes, signals, digests, names of secrets. No I/O.

mod cpus;
mod date_format;
mod date_reading;
mod digest;
mod exit;
mod id;
mod offers;
mod quantity;
mod ranges;
mod run;
mod secret;
mod shell;
mod signal;
mod suggest;
mod time;

pub use cpus::{CpuLimit, Cpus};
pub use date_format::{Civil, DateFormat};
pub use date_reading::Dated;
pub use digest::{Key, keyed_checksum, keyed_digest, sha256_hex};
pub use exit::{ExitStatus, Shortage};
pub use id::{InstanceId, first, is_second, second};
pub use offers::{Offer, Offers};
pub use quantity::{format_bytes, format_millis, format_span, parse_bytes, parse_millis};
pub use ranges::merge_ranges;
pub use run::Run;
pub use secret::{TOKEN_BEGINNINGS, announces_user, is_secret_name, user_password};
pub use shell::shell_word;
pub use signal::Signal;
pub use suggest::closest;
pub use time::{Mono, Now, Wall};
