//! How much of this machine was taken away while something was measured.
//!
//! On a virtual machine the hypervisor may run others instead ("steal"). Everything stands still
//! then, server and generator alike, and latencies say nothing about the server.

/// CPU time since boot, in clock ticks, all processors together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuTimes {
    total: u64,
    stolen: u64,
}

/// A reading to compare with later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuWatch(Option<CpuTimes>);

impl CpuWatch {
    pub fn start() -> Self {
        Self(read())
    }

    /// Percent of all CPU time since the start that the host gave to others; none where the system
    /// does not tell (anything but Linux).
    pub fn stolen_percent(self) -> Option<f64> {
        let (before, now) = (self.0?, read()?);
        Some(crate::measure::percent(
            now.stolen.checked_sub(before.stolen)?,
            now.total.checked_sub(before.total)?,
        ))
    }
}

fn read() -> Option<CpuTimes> {
    parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line of `/proc/stat` (proc_stat(5)): `cpu user nice system idle iowait irq softirq steal …`.
/// Guest time, after steal, is part of user time already.
fn parse(text: &str) -> Option<CpuTimes> {
    let mut fields = text.lines().next()?.split_ascii_whitespace();
    if fields.next()? != "cpu" {
        return None;
    }
    let times: Vec<u64> = fields.take(8).map(|f| f.parse().ok()).collect::<Option<_>>()?;
    Some(CpuTimes {
        total: times.iter().sum(),
        stolen: *times.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_the_eighth_figure_and_guest_time_is_not_counted_again() {
        let stat = "cpu  10 20 30 40 50 60 70 80 1000 1000\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(
            parse(stat),
            Some(CpuTimes {
                total: 360,
                stolen: 80
            })
        );
        assert_eq!(parse("cpu  1 2 3"), None);
        assert_eq!(parse("intr 1"), None);
        assert_eq!(parse(""), None);
    }
}
