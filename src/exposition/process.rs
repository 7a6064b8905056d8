//! The `process_*` metrics, under the names every Prometheus client uses.
//!
//! The `prometheus` crate has its own, but counts CPU time in whole seconds and
//! takes the start time from `/proc/stat`, which a hardened service cannot read.

use std::sync::Arc;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use crate::config::ActiveConfig;
use crate::metrics::defs::RELOAD_SUCCESS_TIMESTAMP;
use crate::metrics::{MetricDef, unix_seconds};
use crate::system::clock::TimePoint;

/// The definitions of the process metrics.
pub mod defs {
    crate::metrics::define_metrics! {
        CPU = Counter "process_cpu_seconds_total" []
            "Total user and system CPU time spent in seconds."
        MAX_FDS = Gauge "process_max_fds" []
            "Maximum number of open file descriptors."
        OPEN_FDS = Gauge "process_open_fds" []
            "Number of open file descriptors."
        RESIDENT = Gauge "process_resident_memory_bytes" []
            "Resident memory size in bytes."
        START_TIME = Gauge "process_start_time_seconds" []
            "Start time of the process since unix epoch in seconds."
        THREADS = Gauge "process_threads" []
            "Number of operating system threads in the process."
        VIRTUAL = Gauge "process_virtual_memory_bytes" []
            "Virtual memory size in bytes."
    }
}

/// Reads this process's figures from `/proc/self`.
#[derive(Debug)]
pub struct ProcessMetrics {
    started: TimePoint,
    active: Arc<ActiveConfig>,
}

impl ProcessMetrics {
    /// Metrics of a process that started at `started` and whose configuration is in `active`.
    #[must_use]
    pub fn new(started: TimePoint, active: Arc<ActiveConfig>) -> Self {
        Self { started, active }
    }

    /// The figures as they are `now`. Moments are seconds by the wall clock of now, which may
    /// have been set since. One that cannot be read is left out.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub fn read(&self, now: TimePoint) -> Vec<(&'static MetricDef, f64)> {
        let seconds = |moment| unix_seconds(now.time_of(moment));
        let mut figures = vec![
            (defs::START_TIME, seconds(self.started)),
            (RELOAD_SUCCESS_TIMESTAMP, seconds(self.active.load().since)),
        ];
        let stat = std::fs::read_to_string("/proc/self/stat").ok();
        figures.extend(stat.and_then(|stat| of_stat(&stat)).into_iter().flatten());
        if let Some(count) = open_files() {
            figures.push((defs::OPEN_FDS, count as f64));
        }
        // `/proc/self/limits` takes much longer to read.
        if let Some(most) = getrlimit(Resource::Nofile).current {
            figures.push((defs::MAX_FDS, most as f64));
        }
        figures
    }
}

/// The figures in the text of `/proc/self/stat`.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn of_stat(stat: &str) -> Option<[(&'static MetricDef, f64); 4]> {
    // The program's name comes first, in parentheses, and may have blanks.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    // The numbers are those of proc_pid_stat(5), where the name is the second field.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let (user, system) = (field(14)?, field(15)?);
    Some([
        (defs::CPU, (user + system) / clock_ticks_per_second() as f64),
        (defs::RESIDENT, field(24)? * page_size() as f64),
        (defs::THREADS, field(20)?),
        (defs::VIRTUAL, field(23)?),
    ])
}

/// How many files are open.
fn open_files() -> Option<usize> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder itself, for the counting.
    open.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use jiff::Timestamp;
    use procfs::process::Process;

    use super::*;
    use crate::config::{Config, Environment};
    use crate::system::clock::Clock;

    fn active(since: TimePoint) -> Arc<ActiveConfig> {
        let environment = Environment::from([
            ("TENCENTCLOUD_SECRET_ID", "AKIDtest"),
            ("TENCENTCLOUD_SECRET_KEY", "unused"),
        ]);
        let config = Config::load(None, &environment, &[]).unwrap();
        Arc::new(ActiveConfig::new(config, since))
    }

    #[test]
    fn the_figures_of_stat_are_found_by_their_numbers_whatever_the_name() {
        // Each field is its own number.
        let fields: Vec<String> = (4..=24).map(|number| number.to_string()).collect();
        let stat = format!("7 (an (odd) name) S {}", fields.join(" "));
        let figures = of_stat(&stat).unwrap();
        let expected = [
            (defs::CPU, 29.0 / clock_ticks_per_second() as f64),
            (defs::RESIDENT, 24.0 * page_size() as f64),
            (defs::THREADS, 20.0),
            (defs::VIRTUAL, 23.0),
        ];
        assert_eq!(figures, expected);
        for length in 0..fields.len() {
            let cut = format!("7 (name) S {}", fields[..length].join(" "));
            assert_eq!(of_stat(&cut), None, "{cut}");
        }
        for number in [14, 15, 20, 23, 24] {
            let mut fields = fields.clone();
            fields[number - 4] = "x".to_owned();
            let odd = format!("7 (name) S {}", fields.join(" "));
            assert_eq!(of_stat(&odd), None, "{odd}");
        }
        assert_eq!(of_stat(&fields.join(" ")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn times_are_told_by_the_wall_clock_of_now_though_it_was_wrong_at_the_start() {
        let seconds = Arc::new(AtomicI64::new(17));
        let wall = Arc::clone(&seconds);
        let clock =
            Clock::new(move || Timestamp::from_second(wall.load(Ordering::Relaxed)).unwrap());
        let started = clock.moment();
        let metrics = ProcessMetrics::new(started, active(started));
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        seconds.store(1_717_200_060, Ordering::Relaxed);
        let figures = metrics.read(clock.moment());
        for def in [defs::START_TIME, RELOAD_SUCCESS_TIMESTAMP] {
            let figure = figures.iter().find(|(known, _)| *known == def).unwrap();
            assert!((figure.1 - 1_717_200_000.0).abs() < 1e-6, "{figure:?}");
        }
    }

    #[test]
    fn figures_are_those_of_this_process() {
        let clock = Clock::new(|| Timestamp::from_millisecond(1_717_200_000_250).unwrap());
        let (started, now) = (clock.moment(), clock.moment());
        let figures = ProcessMetrics::new(started, active(started)).read(now);
        let figure = |def: &MetricDef| {
            let found = figures.iter().find(|(each, _)| each.name == def.name);
            found.map(|(_, value)| *value).unwrap()
        };
        assert!((figure(defs::START_TIME) - 1_717_200_000.25).abs() < 1e-6);
        assert!(figure(defs::RESIDENT) > 500_000.0);
        assert!(figure(defs::VIRTUAL) >= figure(defs::RESIDENT));
        assert!(figure(defs::OPEN_FDS) >= 3.0);
        assert!(figure(defs::THREADS) >= 1.0);
        let stat = Process::myself().unwrap().stat().unwrap();
        let ticks = (stat.utime + stat.stime) as f64;
        assert!(figure(defs::CPU) * (procfs::ticks_per_second() as f64) < ticks + 0.5);
        let limits = Process::myself().unwrap().limits().unwrap();
        let most = match limits.max_open_files.soft_limit {
            procfs::process::LimitValue::Value(most) => most as f64,
            procfs::process::LimitValue::Unlimited => panic!("no limit at all"),
        };
        assert!((figure(defs::MAX_FDS) - most).abs() < 0.5);
        assert_eq!(figures.len(), defs::ALL.len() + 1);
    }
}
