use std::fmt;

/// The CPUs that may be used: what `instances: "max"` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    pub usable: u32,
    pub limit: CpuLimit,
}

/// What makes it so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuLimit {
    /// There are no more.
    Machine,
    /// Of so many that there are, the process may run on no others (`sched_setaffinity(2)`, `taskset`, a cpuset).
    Affinity { of: u32 },
    /// Of so many, no more time is given to its cgroup (`cpu.max`; a container's limit).
    Quota { of: u32 },
}

impl Cpus {
    #[must_use]
    pub fn of_machine(usable: u32) -> Self {
        Self { usable: usable.max(1), limit: CpuLimit::Machine }
    }

    /// From those that are there, those that the process may run on, and those that are left with its cgroup's quota.
    #[must_use]
    pub fn of(online: u32, allowed: u32, usable: u32) -> Self {
        let usable = usable.max(1);
        let limit = if usable < allowed {
            CpuLimit::Quota { of: online }
        } else if allowed < online {
            CpuLimit::Affinity { of: online }
        } else {
            CpuLimit::Machine
        };
        Self { usable, limit }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { usable, limit } = self;
        let plural = if *usable == 1 { "" } else { "s" };
        match limit {
            CpuLimit::Machine => write!(f, "{usable} CPU{plural}"),
            CpuLimit::Affinity { of } => write!(f, "{usable} of {of} CPUs, by CPU affinity"),
            CpuLimit::Quota { of } => write!(f, "{usable} of {of} CPUs, by the cgroup's quota"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_limit_is_named() {
        let table = [
            ((8, 8, 8), "8 CPUs"),
            ((1, 1, 1), "1 CPU"),
            ((8, 4, 4), "4 of 8 CPUs, by CPU affinity"),
            ((8, 8, 2), "2 of 8 CPUs, by the cgroup's quota"),
            ((8, 4, 2), "2 of 8 CPUs, by the cgroup's quota"),
            ((8, 4, 0), "1 of 8 CPUs, by the cgroup's quota"),
        ];
        for ((online, allowed, usable), want) in table {
            assert_eq!(Cpus::of(online, allowed, usable).to_string(), want);
        }
    }
}
