use jiff::Timestamp;

use super::*;
use crate::cloud::Error;
use crate::collection::snapshot::{
    AccountState, Attempt, CollectorState, Revision, Slot, Success, TestKey,
};
use crate::collectors::license_general::LicenseGeneral;
use crate::collectors::license_general::defs as licences;
use crate::collectors::{Sample, Schedule};
use crate::metrics::reason::Reason;

fn exposition(accounts: usize) -> Exposition {
    with_keys(accounts, None)
}

/// The exposition of so many accounts whose keys expire then.
fn with_keys(accounts: usize, expires_at: Option<Timestamp>) -> Exposition {
    let revision = Revision::default();
    let accounts = (0..accounts).map(|number| {
        Arc::new(AccountState {
            name: format!("account-{number:05}"),
            identity: String::new(),
            endpoint: "https://cwp.tencentcloudapi.com".to_owned(),
            region: None,
            labels: [("team".to_owned(), "x".to_owned())].into(),
            key_source: Box::new(TestKey {
                expires_at,
                ..TestKey::default()
            }),
            slots: vec![Slot::new(
                &LicenseGeneral,
                &format!("account-{number:05}"),
                Schedule::default(),
                &revision,
            )],
        })
    });
    let store = Store::new(accounts.collect());
    let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
    Exposition::new(Registry::new(), Arc::new(store), clock, None)
}

/// What is known after a collection at this moment.
fn collected(at: TimePoint) -> CollectorState {
    CollectorState {
        last_success: Some(Success {
            at,
            samples: [Sample::new(licences::LICENSES, [], 7.0)].into(),
            rows_hidden: None,
            requests: 1,
        }),
        last_attempt: Some(Attempt {
            at,
            duration: Duration::ZERO,
            failure: None,
        }),
        ..CollectorState::default()
    }
}

#[tokio::test(start_paused = true)]
async fn of_values_that_are_too_old_it_is_still_told_what_came_of_their_collection() {
    let shown = exposition(1);
    shown.store.load().list()[0].slots[0].store(collected(shown.now()));
    let names = || -> Vec<String> {
        let text = String::from_utf8(shown.render(Format::Text).unwrap()).unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let names = samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned());
        names.collect()
    };
    let is_up = || {
        let text = String::from_utf8(shown.render(Format::Text).unwrap()).unwrap();
        text.contains("tencentcloud_cwp_up{account=\"account-00000\"} 1\n")
    };
    assert!(is_up());
    let mut fresh = names();
    tokio::time::advance(Duration::from_secs(600)).await;
    assert!(fresh.contains(&"cwp_exporter_collector_success".to_owned()));
    let values = fresh.len();
    fresh.retain(|name| name != licences::LICENSES.name);
    assert_eq!(fresh.len(), values - 1);
    assert_eq!(names(), fresh);
    assert!(!is_up());
}

#[test]
fn a_scrape_has_each_family_once_and_all_accounts_in_both_formats() {
    for format in [Format::Text, Format::OpenMetrics] {
        let large = exposition(5_000);
        let text = String::from_utf8(large.render(format).unwrap()).unwrap();
        let infos = "\ntencentcloud_cwp_account_info{account=\"account-";
        assert_eq!(text.matches(infos).count(), 5_000);
        assert_eq!(text.matches("# TYPE tencentcloud_cwp_up ").count(), 1);
    }
}

#[test]
fn each_of_many_accounts_has_what_it_has_alone() {
    let many = exposition(200);
    let (noon, accounts) = (many.now(), many.store.load());
    for (number, account) in accounts.list().iter().enumerate() {
        let failure = (number % 7 == 0).then(|| Box::new(Error::new(Reason::Timeout, "")));
        let word = ["FLAGSHIP_PREPAY", "odd \"word\"", "other"][number % 3];
        let value = number as f64;
        let samples = [
            Sample::new(licences::LICENSES, [], value),
            Sample::new(licences::EDITION, ["ultimate".into()], 0.5 + value),
            Sample::new(licences::PROTECT_TYPE, [word.into()], 1.0),
        ];
        let samples = samples.into_iter().skip(number % 4);
        account.slots[0].store(CollectorState {
            last_success: (number % 5 != 0).then(|| Success {
                at: noon,
                samples: samples.collect(),
                rows_hidden: None,
                requests: 1,
            }),
            last_attempt: Some(Attempt {
                at: noon,
                duration: Duration::ZERO,
                failure,
            }),
            ..CollectorState::default()
        });
    }
    let text = String::from_utf8(many.render(Format::Text).unwrap()).unwrap();
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("tencentcloud"));
        lines.map(str::to_owned).collect()
    };
    let alone = accounts.list().iter().flat_map(|account| {
        let text = many.render_account(Format::Text, &account.name).unwrap();
        let text = text.unwrap();
        lines(&String::from_utf8(text).unwrap())
    });
    let (mut alone, mut together): (Vec<_>, _) = (alone.collect(), lines(&text));
    alone.sort();
    together.sort();
    assert_eq!(together, alone);
    for line in [
        "tencentcloud_cwp_licenses{account=\"account-00132\"} 132",
        "tencentcloud_cwp_edition_licenses{account=\"account-00133\",edition=\"ultimate\"} 133.5",
        "tencentcloud_cwp_protect_type{account=\"account-00134\",type=\"other\"} 1",
        "tencentcloud_cwp_protect_type{account=\"account-00001\",type=\"odd \\\"word\\\"\"} 1",
        "tencentcloud_cwp_up{account=\"account-00132\"} 1",
        "tencentcloud_cwp_up{account=\"account-00133\"} 0",
        "cwp_exporter_collector_failure_reason{account=\"account-00133\",collector=\"license_general\",reason=\"timeout\"} 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}");
    }
    assert_eq!(
        text.matches("reason=\"timeout\"").count(),
        200_usize.div_ceil(7)
    );
}

#[test]
fn other_accounts_are_shown_as_soon_as_they_are_there() {
    let shown = exposition(2);
    let count = || {
        let text = String::from_utf8(shown.render(Format::Text).unwrap()).unwrap();
        text.matches("\ntencentcloud_cwp_up{").count()
    };
    assert_eq!((count(), shown.account_count()), (2, 2));
    let prepared = shown.families.load_full().unwrap();
    assert_eq!(count(), 2);
    assert!(Arc::ptr_eq(&prepared, &shown.families.load_full().unwrap()));
    shown
        .store
        .replace(exposition(5).store.load().list().to_vec());
    assert_eq!((count(), shown.account_count()), (5, 5));
}

#[test]
fn what_is_told_of_all_accounts_alone_is_what_names_one() {
    let text = exposition(2).render_accounts(Format::Text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let mut samples = text.lines().filter(|line| !line.starts_with('#'));
    assert!(samples.all(|line| line.contains("account=\"account-0000")));
    assert_eq!(text.matches("\ntencentcloud_cwp_up{").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_an_error_however_much_was_written_before() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let room = self.0.min(text.len());
            self.0 -= room;
            match room {
                0 => Err(io::ErrorKind::StorageFull.into()),
                room => Ok(room),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let large = with_keys(1000, Some(Timestamp::UNIX_EPOCH));
    for account in large.store.load().list() {
        account.slots[0].store(collected(large.now()));
    }
    let mut text = Vec::new();
    large.write_accounts(Format::Text, &mut text).unwrap();
    for room in (0..text.len()).step_by(10_000) {
        let written = large.write_accounts(Format::Text, &mut Full(room));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    let whole = large.write_accounts(Format::Text, &mut Full(text.len()));
    assert!(whole.is_ok());
}

#[test]
fn without_accounts_only_their_number_is_told() {
    let text = String::from_utf8(exposition(0).render(Format::Text).unwrap()).unwrap();
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(samples, ["cwp_exporter_accounts 0"]);
}

#[test]
fn openmetrics_ends_with_its_mark_and_text_without() {
    let (name, mark) = ("account-00000", b"} 0\n# EOF\n");
    let one = exposition(1);
    let account = one
        .render_account(Format::OpenMetrics, name)
        .unwrap()
        .unwrap();
    assert!(account.ends_with(mark));
    assert!(one.render(Format::OpenMetrics).unwrap().ends_with(mark));
    assert!(one.render(Format::Text).unwrap().ends_with(b"} 0\n"));
}

#[test]
fn an_account_that_was_never_collected_is_down_and_has_no_values() {
    assert_eq!(
        String::from_utf8(
            exposition(1)
                .render_account(Format::Text, "account-00000")
                .unwrap()
                .unwrap()
        )
        .unwrap(),
        "# HELP cwp_exporter_collector_failures_total Collections that failed.\n\
         # TYPE cwp_exporter_collector_failures_total counter\n\
         cwp_exporter_collector_failures_total{account=\"account-00000\",\
         collector=\"license_general\"} 0\n\
         # HELP cwp_exporter_collector_interval_seconds Interval between two collections of an \
         account, in seconds.\n\
         # TYPE cwp_exporter_collector_interval_seconds gauge\n\
         cwp_exporter_collector_interval_seconds{collector=\"license_general\"} 60\n\
         # HELP cwp_exporter_collector_max_age_seconds Time after a collection for which its \
         values are exposed, in seconds.\n\
         # TYPE cwp_exporter_collector_max_age_seconds gauge\n\
         cwp_exporter_collector_max_age_seconds{collector=\"license_general\"} 600\n\
         # HELP tencentcloud_cwp_account_info Every configured account; always 1. \
         Its configured labels carry the prefix label_.\n\
         # TYPE tencentcloud_cwp_account_info gauge\n\
         tencentcloud_cwp_account_info{account=\"account-00000\",\
         endpoint=\"https://cwp.tencentcloudapi.com\",region=\"\",label_team=\"x\"} 1\n\
         # HELP tencentcloud_cwp_up 1 if the last collection of license_general succeeded \
         and its values are not too old, else 0; 0 before the first collection.\n\
         # TYPE tencentcloud_cwp_up gauge\n\
         tencentcloud_cwp_up{account=\"account-00000\"} 0\n"
    );
    assert!(
        exposition(1)
            .render_account(Format::Text, "other")
            .unwrap()
            .is_none()
    );
}
