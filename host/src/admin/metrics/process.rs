//! What the system says of this process, under the names that every client library of Prometheus uses for it.
//!
//! Source: Linux `proc(5)`: `/proc/self/status`, `/proc/self/stat`, `/proc/self/fd`, `/proc/stat`. What cannot be read has no
//! series.

use super::catalogue::Family;
use super::catalogue::broker::{CPU, OPEN_FILES, OPEN_FILES_MAX, RESIDENT, STARTED, THREADS, VIRTUAL};
use super::text::{Exposition, Labels};

/// Ticks of a second in `/proc`: `USER_HZ`, which Linux promises to programs whatever its own clock does.
const TICKS_PER_S: f64 = 100.0;

pub(super) fn add(out: &mut Exposition, cluster: &Labels) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (status, stat) = (read("/proc/self/status"), read("/proc/self/stat"));
    let mut show = |family: &Family, value: Option<f64>| {
        if let Some(value) = value {
            out.sample(family, cluster, value);
        }
    };
    show(&RESIDENT, field(&status, "VmRSS:").map(|kib| kib * 1024.0));
    show(&VIRTUAL, field(&status, "VmSize:").map(|kib| kib * 1024.0));
    show(&THREADS, field(&status, "Threads:"));
    show(&CPU, cpu_seconds(&stat));
    let booted_s = field(&read("/proc/stat"), "btime");
    show(&STARTED, booted_s.zip(started_seconds(&stat)).map(|(booted_s, after_s)| booted_s + after_s));
    show(&OPEN_FILES, std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64));
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    show(&OPEN_FILES_MAX, limit.map(|files| files as f64));
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields behind the program's name, which may hold anything and ends with the last bracket.
fn ticks(stat: &str, place: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(place)?.parse().ok()
}

/// `utime` and `stime`, fields 14 and 15 of the whole line; the first behind the name is field 3.
fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((ticks(stat, 14 - 3)? + ticks(stat, 15 - 3)?) / TICKS_PER_S)
}

/// `starttime`, field 22: after the machine's start.
fn started_seconds(stat: &str) -> Option<f64> {
    Some(ticks(stat, 22 - 3)? / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read_whatever_the_program_is_called() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 150 0 0 20 0 9 0 4200 99 12";
        assert_eq!((cpu_seconds(stat), started_seconds(stat)), (Some(4.0), Some(42.0)));
        let status = "Name:\tx\nVmSize:\t  20 kB\nVmRSS:\t  8 kB\nThreads:\t3\n";
        assert_eq!((field(status, "VmRSS:"), field(status, "Threads:")), (Some(8.0), Some(3.0)));
        for cut in ["", "7 (a", "7 (a) S 1"] {
            assert_eq!((cpu_seconds(cut), started_seconds(cut), field(cut, "btime")), (None, None, None));
        }
    }

    #[test]
    fn this_process_has_all_of_them() {
        let mut out = Exposition::default();
        add(&mut out, &Labels::default().with("cluster", "c"));
        let text = out.finish();
        for family in [CPU, OPEN_FILES, OPEN_FILES_MAX, RESIDENT, STARTED, THREADS, VIRTUAL] {
            let sample = text.lines().find(|line| line.starts_with(&format!("{}{{", family.name)));
            let value = sample.and_then(|line| line.rsplit_once(' ')).and_then(|(_, value)| value.parse::<f64>().ok());
            assert!(value.is_some_and(|value| value >= 0.0), "{}: {sample:?}", family.name);
        }
    }
}
