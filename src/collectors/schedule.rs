//! When a collector runs, as the configuration says.

use std::time::Duration;

use super::{Collector, Collectors};
use crate::config::{Config, Poll};

/// When a collector collects an account, and how much of what it finds is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From one collection to the next.
    pub interval: Duration,
    /// The longest that one collection may take between two answers.
    pub deadline: Duration,
    /// How long values are shown after the collection that found them.
    pub max_age: Duration,
    /// How many rows of a list are shown; `None` for a collector without rows.
    pub max_rows: Option<usize>,
}

/// The schedule without a configuration.
impl Default for Schedule {
    fn default() -> Self {
        let poll = Poll::default();
        Self {
            interval: poll.interval,
            deadline: poll.deadline(poll.interval),
            max_age: poll.max_age,
            max_rows: None,
        }
    }
}

impl Schedule {
    /// Those of `collectors` that `config` enables, with their schedules.
    #[must_use]
    pub fn enabled(collectors: Collectors, config: &Config) -> Vec<(&'static dyn Collector, Self)> {
        let enabled = collectors.iter().filter_map(|collector| {
            let schedule = Self::configured(*collector, config)?;
            Some((*collector, schedule))
        });
        enabled.collect()
    }

    /// The schedule of `collector`; nothing if `config` does not enable it.
    fn configured(collector: &dyn Collector, config: &Config) -> Option<Self> {
        let settings = match collector.defaults() {
            None => None,
            Some(_) => Some(config.collectors.get(collector.name())?),
        };
        if settings.is_some_and(|settings| !settings.enabled) {
            return None;
        }
        let poll = &config.poll;
        let interval = settings.map_or(poll.interval, |settings| settings.interval);
        Some(Self {
            interval,
            deadline: poll.deadline(interval),
            max_age: settings.map_or(poll.max_age, |settings| settings.max_age),
            max_rows: settings.and_then(|settings| settings.max_rows),
        })
    }

    /// How many requests of an account there are in a day, where a collection takes so many.
    #[must_use]
    pub fn requests_per_day(&self, requests: u32) -> u64 {
        const DAY_IN_MILLIS: u128 = 86_400_000;
        let collections = DAY_IN_MILLIS / self.interval.as_millis().max(1);
        let collections = u64::try_from(collections).unwrap_or(u64::MAX);
        collections.saturating_mul(requests.max(1).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_of_a_day_follow_from_the_interval() {
        for (millis, requests, in_a_day) in [
            (60_000, 1, 1440),
            (60_000, 0, 1440),
            (60_000, 5, 7200),
            (86_400_000, 3, 3),
            (86_400_001, 3, 0),
            (0, 1, 86_400_000),
        ] {
            let schedule = Schedule {
                interval: Duration::from_millis(millis),
                ..Schedule::default()
            };
            assert_eq!(schedule.requests_per_day(requests), in_a_day, "{millis}");
        }
    }

    #[test]
    fn an_account_is_collected_every_minute_and_shown_for_ten_by_default() {
        let schedule = Schedule::default();
        let times = [schedule.interval, schedule.max_age].map(|time| time.as_secs());
        assert_eq!((times, schedule.max_rows), ([60, 600], None));
    }

    #[test]
    fn a_collector_is_scheduled_as_configured_unless_it_is_switched_off() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let yaml = "poll: {interval: 2m, max_age: 20m}
collectors:
  license_list: {interval: 10m, max_age: 40m, max_rows: 7}
  general_stat: {enabled: true}
accounts: [{name: a, credentials: {type: env}}]";
        std::fs::write(file.path(), yaml).unwrap();
        let environment = crate::config::Environment::default();
        let (all, path) = (crate::collectors::all(), Some(file.path()));
        let known = crate::collectors::defaults(all);
        let config = Config::load(path, &environment, &known).unwrap();
        let found = Schedule::enabled(all, &config).into_iter();
        let found = found.map(|(collector, schedule)| {
            let Schedule {
                interval,
                deadline,
                max_age,
                max_rows,
            } = schedule;
            assert_eq!(deadline, config.poll.deadline(interval));
            let times = [interval, max_age].map(|time| time.as_secs() / 60);
            (collector.name(), times, max_rows)
        });
        let expected = [
            ("license_general", [2, 20], None),
            ("license_list", [10, 40], Some(7)),
            ("general_stat", [5, 30], None),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
