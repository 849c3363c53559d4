/// The largest resident size that the process `pid` has had so far, in KiB
/// (`VmHWM` of its status in /proc).
///
/// # Panics
/// When there is no such process.
pub fn peak_resident_kib(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or_else(|| panic!("{path} has no VmHWM"))
}
