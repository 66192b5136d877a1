use std::fs;

/// Resident memory of a process, in bytes; none when it is gone.
///
/// Of the process itself, not of its children: the sum over a tree would need a scan of all processes.
pub(super) fn resident(pid: u32, page_bytes: u64) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_bytes)
}

/// The size of a page, as the kernel told this process when it was started (getauxval(3), `AT_PAGESZ`).
pub(super) fn page_bytes() -> u64 {
    const WORD: usize = size_of::<usize>();
    const AT_PAGESZ: usize = 6;
    let auxv = fs::read("/proc/self/auxv").unwrap_or_default();
    let words: Vec<usize> =
        auxv.chunks_exact(WORD).filter_map(|bytes| Some(usize::from_ne_bytes(bytes.try_into().ok()?))).collect();
    let size = words.chunks_exact(2).find(|pair| pair[0] == AT_PAGESZ).map(|pair| pair[1] as u64);
    size.unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_some_memory() {
        let page = page_bytes();
        assert!(page.is_power_of_two() && page >= 4096, "{page}");
        assert!(resident(std::process::id(), page).unwrap() > 100 * 1024);
        assert_eq!(resident(u32::MAX, page), None);
    }
}
