use std::fs;

/// Resident memory of a process, in bytes; none when it is gone.
///
/// Of the process itself, not of its children: the sum over a tree would need a scan of all processes.
pub(super) fn resident(pid: u32, page_bytes: u64) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_bytes)
}

#[cfg(test)]
mod tests {
    use rustix::param::page_size;

    use super::*;

    #[test]
    fn this_process_uses_some_memory() {
        let page = page_size() as u64;
        assert!(page.is_power_of_two() && page >= 4096, "{page}");
        assert!(resident(std::process::id(), page).unwrap() > 100 * 1024);
        assert_eq!(resident(u32::MAX, page), None);
    }
}
