use std::fs;

use nix::libc;

/// Gives back what work has left behind: free heap, and the pages of the program itself.
///
/// The kernel maps 64 KiB around every page of code that is touched, so starting up and one big command leave some
/// 6 MB of the JavaScript engine and the command line mapped that an idle daemon never looks at again. What is
/// needed again is mapped again from the page cache, at about a microsecond a fault.
#[cfg(target_os = "linux")]
pub fn give_back() {
    #[expect(unsafe_code, reason = "asks the allocator to release free memory")]
    // SAFETY: malloc_trim(3) is thread-safe and touches only memory that is free.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    let (Ok(program), Ok(maps)) = (fs::read_link("/proc/self/exe"), fs::read_to_string("/proc/self/maps")) else {
        return;
    };
    let program = program.to_string_lossy();
    for (start, length) in maps.lines().filter_map(|line| unwritten(line, &program)) {
        #[expect(unsafe_code, reason = "drops pages that the kernel can read again from the program's file")]
        // SAFETY: madvise(2): a private file mapping that was never written is read again from its file. The code
        // segment and the first read-only one hold no relocations, so nothing has ever been written to them.
        unsafe {
            libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn give_back() {}

/// What the calling thread does can wait for everything else.
pub fn low_priority() {
    // Of a thread, on Linux: setpriority(2), NOTES.
    let _ = rustix::process::setpriority_process(None, 19);
}

/// Keeps the allocator to one heap: each further thread would reserve 128 MB of address space for one of its own, and keep what
/// it no longer needs where no other thread finds it.
pub fn one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "sets a parameter of the allocator")]
    // SAFETY: mallopt(3) takes two numbers; it is called before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Start and length of a mapping of the program that holds only what its file does: code, and the constants at the
/// file's beginning. Read-only mappings further on are relocated data, which only look alike (proc_pid_maps(5)).
fn unwritten(line: &str, program: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (access, offset) = (fields.next()?, fields.next()?);
    if !line.ends_with(program) || !(access == "r-xp" || access == "r--p" && offset.bytes().all(|b| b == b'0')) {
        return None;
    }
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_its_file_can_replace_is_given_back() {
        let table = [
            ("1000-3000 r--p 00000000 fe:00 1  /bin/pmrun", Some((0x1000, 0x2000))),
            ("3000-4000 r-xp 00002000 fe:00 1  /bin/pmrun", Some((0x3000, 0x1000))),
            ("4000-5000 r--p 00003000 fe:00 1  /bin/pmrun", None),
            ("5000-6000 rw-p 00004000 fe:00 1  /bin/pmrun", None),
            ("6000-7000 r-xp 00000000 fe:00 2  /lib/libc.so.6", None),
            ("7000-8000 rw-p 00000000 00:00 0  [heap]", None),
            ("", None),
        ];
        for (line, want) in table {
            assert_eq!(unwritten(line, "/bin/pmrun"), want, "{line}");
        }
    }

    #[test]
    fn the_program_goes_on_afterwards() {
        give_back();
        assert_eq!(crate::base::sha256_hex(b"").len(), 64);
    }
}
