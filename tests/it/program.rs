//! The program from outside: its commands, exit codes, signals and what it prints.

use std::time::Duration;

use cwp_exporter::simulator::Answer;
use tokio::net::TcpListener;

use crate::harness::{
    Cloud, LICENSES_ALONE, Program, Scrape, client, config_for, eventually, run, within,
};

/// A configuration file for the first `count` accounts of `cloud`, and the environment.
struct Setup {
    file: tempfile::NamedTempFile,
    variables: Vec<(String, String)>,
}

impl Setup {
    fn of(cloud: &Cloud, count: usize) -> Self {
        let (config, variables) = config_for(cloud, count);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        Self { file, variables }
    }

    fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let variables = self.variables.iter();
        variables
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    async fn run(&self, arguments: &[&str]) -> std::process::Output {
        let file = ["--config.file", self.path()];
        run(&[&file, arguments].concat(), &self.variables()).await
    }

    fn serve(&self) -> Program {
        Program::start(
            &[
                "--config.file",
                self.path(),
                "--web.listen-address=127.0.0.1:0",
            ],
            &self.variables(),
        )
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn two_environment_variables_are_the_whole_set_up() {
    let cloud = Cloud::with_accounts(1).await;
    let variables = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDa0"),
        ("TENCENTCLOUD_SECRET_KEY", "key-a0"),
        ("CWP_EXPORTER_API__ENDPOINT", &cloud.url),
    ];
    let mut program = Program::start(&["--web.listen-address=127.0.0.1:0"], &variables);
    let url = program.url().await;
    cloud.handle.wait_for("a0", 1).await;
    let page = client().get(format!("{url}/metrics")).send().await.unwrap();
    let scrape = Scrape::parse(&page.text().await.unwrap());
    assert!(
        scrape
            .value("tencentcloud_cwp_up{account=\"default\"}")
            .is_some()
    );
}

#[tokio::test]
async fn two_environment_variables_show_every_deadline() {
    let cloud = Cloud::start(
        "accounts:
  - name: a0
    secret_id: AKIDa0
    secret_key: key-a0
    orders:
      - {ResourceId: 'many-{n}', count: 120, Deadline: '2038-01-25 10:11:03'}
      - {ResourceId: isolated, Deadline: '2026-01-25 10:11:03', OrderStatus: 2}
",
    )
    .await;
    let variables = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDa0"),
        ("TENCENTCLOUD_SECRET_KEY", "key-a0"),
        ("CWP_EXPORTER_API__ENDPOINT", &cloud.url),
        ("TZ", "America/New_York"),
    ];
    let mut program = Program::start(&["--web.listen-address=127.0.0.1:0"], &variables);
    let url = program.url().await;
    let deadlines = async || {
        let page = client().get(format!("{url}/metrics")).send().await.unwrap();
        let scrape = Scrape::parse(&page.text().await.unwrap());
        let series = scrape.samples.iter();
        let series = series.filter(|(series, _)| series.contains("_order_deadline_"));
        let deadlines: Vec<f64> = series.map(|(_, value)| *value).collect();
        (!deadlines.is_empty()).then_some(deadlines)
    };
    let mut deadlines = eventually("the deadlines", deadlines).await;
    deadlines.sort_by(f64::total_cmp);
    assert_eq!(deadlines.len(), 121);
    assert_eq!(
        (deadlines[0], deadlines[1]),
        (1_769_307_063.0, 2_147_998_263.0)
    );
}

#[tokio::test]
async fn either_signal_stops_it_cleanly_within_five_seconds_with_calls_in_flight() {
    let cloud = Cloud::with_accounts(2).await;
    cloud.handle.play("a0", Answer::Hang).unwrap();
    let mut setup = Setup::of(&cloud, 2);
    let config = std::fs::read_to_string(setup.path()).unwrap();
    std::fs::write(
        &mut setup.file,
        config.replace("timeout: 500ms", "timeout: 1h"),
    )
    .unwrap();
    for (signal, calls) in [("TERM", 1), ("INT", 2)] {
        let mut program = setup.serve();
        let url = program.url().await;
        cloud.handle.wait_for("a0", calls).await;
        // A connection that stays open must not hold it up either.
        let client = client();
        client.get(format!("{url}/metrics")).send().await.unwrap();
        program.signal(signal).await;
        let ended = tokio::time::timeout(Duration::from_secs(5), program.ended()).await;
        assert_eq!(ended.unwrap().code(), Some(0), "after {signal}");
    }
}

#[tokio::test]
async fn once_prints_the_exposition_and_succeeds() {
    let cloud = Cloud::with_accounts(2).await;
    let output = Setup::of(&cloud, 2).run(&["once"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let scrape = Scrape::parse(text(&output.stdout));
    assert_eq!(scrape.licence_series("a0").len(), 25);
    assert_eq!(scrape.licence_series("a1").len(), 25);
    assert!(!scrape.text.contains("process_"));
}

#[tokio::test]
async fn the_log_tells_once_that_every_account_was_collected() {
    let cloud = Cloud::with_accounts(2).await;
    let setup = Setup::of(&cloud, 2);
    let wrong_key = [("KEY_A0", "wrong"), ("KEY_A1", "key-a1")];
    let arguments = [
        "--config.file",
        setup.path(),
        "--web.listen-address=127.0.0.1:0",
    ];
    let mut program = Program::start(&arguments, &wrong_key);
    let told = program
        .logged("the first collection of every account")
        .await;
    for part in [
        "level=info",
        "accounts=2",
        "succeeded=1",
        "failed=1",
        "after=",
    ] {
        assert!(told.contains(part), "{told}");
    }
    within("further collections", cloud.handle.wait_for("a1", 3)).await;
    let log = program.log();
    let told = log.iter().filter(|line| line.contains("every account"));
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn once_says_which_account_failed_and_why() {
    let cloud = Cloud::with_accounts(2).await;
    let setup = Setup::of(&cloud, 2);
    let wrong_key = [("KEY_A0", "wrong"), ("KEY_A1", "key-a1")];
    let output = run(&["--config.file", setup.path(), "once"], &wrong_key).await;
    assert_eq!(output.status.code(), Some(1));
    let scrape = Scrape::parse(text(&output.stdout));
    assert_eq!(scrape.failure_reason("a0"), Some("credentials"));
    assert_eq!(scrape.succeeded("a1"), Some(true));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("account=a0") && stderr.contains("reason=credentials"));
    assert!(!stderr.contains("account=a1"), "{stderr}");
}

#[tokio::test]
async fn once_still_says_so_when_the_log_is_silenced() {
    let cloud = Cloud::with_accounts(1).await;
    let setup = Setup::of(&cloud, 1);
    let arguments = ["--config.file", setup.path(), "--log.level=error", "once"];
    let output = run(&arguments, &[("KEY_A0", "wrong")]).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("a0") && stderr.contains("credentials"),
        "{stderr}"
    );
}

#[tokio::test]
async fn once_writes_a_file_whole_and_readable_by_others() {
    let cloud = Cloud::with_accounts(1).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cwp.prom");
    let output = Setup::of(&cloud, 1)
        .run(&["once", "--output", path.to_str().unwrap()])
        .await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    let scrape = Scrape::parse(&std::fs::read_to_string(&path).unwrap());
    assert_eq!(scrape.licence_series("a0").len(), 25);
    // node_exporter has some of the others itself, and refuses a series that two files have.
    let lines = scrape.text.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        assert!(line.contains("{account=\"a0\""), "{line}");
    }
    for metric in [
        "collector_last_attempt_timestamp_seconds",
        "collector_success",
    ] {
        assert!(scrape.text.contains(metric), "{metric}");
    }

    let output = Setup::of(&cloud, 1)
        .run(&["once", "--output", "/nowhere/cwp.prom"])
        .await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/cwp.prom"));
}

#[tokio::test]
async fn once_writes_through_what_is_no_file_and_refuses_what_takes_no_text() {
    let cloud = Cloud::with_accounts(1).await;
    let setup = Setup::of(&cloud, 1);
    for (path, on_standard_output) in [
        ("-", true),
        ("/dev/stdout", true),
        ("/dev/fd/1", true),
        ("/proc/self/fd/1", true),
        ("/dev/null", false),
    ] {
        let output = setup.run(&["once", "--output", path]).await;
        assert_eq!(output.status.code(), Some(0), "{path}");
        let printed = Scrape::parse(text(&output.stdout))
            .licence_series("a0")
            .len();
        assert_eq!(printed, if on_standard_output { 25 } else { 0 }, "{path}");
    }
    let asked = cloud.handle.requests();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for (path, why) in [
        (folder.path().to_str().unwrap(), "is a folder"),
        (pipe.to_str().unwrap(), "nobody reads"),
    ] {
        let output = setup.run(&["once", "--output", path]).await;
        assert_eq!(output.status.code(), Some(2), "{path}");
        let told = text(&output.stderr);
        assert!(told.contains(path) && told.contains(why), "{told}");
    }
    assert_eq!(cloud.handle.requests(), asked, "nothing was asked for");
}

#[tokio::test]
async fn a_key_that_is_rotated_in_its_file_needs_no_restart() {
    let cloud = Cloud::with_accounts(1).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |key: &str| {
        let fresh = folder.path().join("key.new");
        std::fs::write(&fresh, key).unwrap();
        std::fs::rename(fresh, folder.path().join("key")).unwrap();
    };
    write("key-a0");
    let config = folder.path().join("cwp.yml");
    std::fs::write(
        &config,
        format!(
            "{LICENSES_ALONE}poll: {{interval: 1s}}\napi: {{endpoint: '{}'}}\naccounts: [{{name: a0, credentials: {{type: static, secret_id: AKIDa0, secret_key_file: key}}}}]",
            cloud.url
        ),
    )
    .unwrap();
    let mut program = Program::start(
        &[
            "--config.file",
            config.to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
        ],
        &[],
    );
    let url = program.url().await;
    cloud.handle.set_secret("a0", "rotated", None).unwrap();
    program.logged("reason=credentials").await;
    write("rotated");
    program.logged("collection works again").await;
    let page = client().get(format!("{url}/metrics")).send().await.unwrap();
    let scrape = Scrape::parse(&page.text().await.unwrap());
    let refreshes = "cwp_exporter_credential_refreshes_total{result=\"success\"}";
    assert_eq!(scrape.value(refreshes), Some(1.0));
}

#[tokio::test]
async fn wrong_usage_and_wrong_configuration_exit_with_2_and_say_what_to_do() {
    let bad = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bad.path(), "poll: {intervall: 1s, timeout: 5}\n").unwrap();
    let bad = bad.path().to_str().unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["--log.level=loud"], &["debug, info, warn, error"]),
        (&["--web.telemetry-path=metrics"], &["--web.telemetry-path"]),
        (
            &["--web.telemetry-path=/-/ready"],
            &["--web.telemetry-path"],
        ),
        (&[], &["TENCENTCLOUD_SECRET_ID", "accounts"]),
        (
            &["--config.file", bad],
            &[
                "poll.intervall",
                "did you mean `interval`",
                "poll.timeout",
                "accounts",
            ],
        ),
        (
            &["--config.file", bad, "--config.check"],
            &["poll.intervall"],
        ),
        (&["--config.file", bad, "once"], &["poll.intervall"]),
        (&["--config.file=/nowhere.yml"], &["/nowhere.yml"]),
        (&["demo", "--config.file", bad], &["--config.file"]),
        (&["simulate", "--scenario=/nowhere.yml"], &["/nowhere.yml"]),
        (&["simulate", "--scenario", bad], &["poll"]),
    ];
    for (arguments, expected) in cases {
        let output = run(arguments, &[]).await;
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        for part in *expected {
            assert!(
                stderr.contains(part),
                "{arguments:?}: no {part} in {stderr}"
            );
        }
    }
}

#[tokio::test]
async fn a_scenario_that_cannot_be_read_is_told_with_its_file_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.yml");
    let utf_16 = "accounts: []".encode_utf16().flat_map(u16::to_le_bytes);
    let utf_16: Vec<u8> = [0xff, 0xfe].into_iter().chain(utf_16).collect();
    for (bytes, expected) in [
        (
            utf_16.as_slice(),
            "cwp-exporter: FILE: 1 problem\n  FILE: the file is UTF-16, or is not text; save the \
             file as UTF-8\n",
        ),
        (
            b"accounts: []\nrepeat: 0s",
            "cwp-exporter: FILE: 2 problems\n  FILE:1: accounts: the list is empty; add an account\n  \
             FILE:2: repeat: 0s is too short; write at least `1ms`\n",
        ),
        (
            b"accounts: [{name: a, secret_id: b, secret_key: c, timeline: [{at: 5, hang: true}]}]",
            "cwp-exporter: FILE: 1 problem\n  FILE:1: accounts[0].timeline[0].at: a number without a \
             unit; add the unit, such as `5s`\n",
        ),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let file = file.display().to_string();
        let output = run(&["simulate", "--scenario", &file], &[]).await;
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stderr).replace(&file, "FILE"), expected);
    }
    let folder = folder.path().display().to_string();
    let output = run(&["simulate", "--scenario", &folder], &[]).await;
    assert_eq!(output.status.code(), Some(2));
    let expected = format!(
        "cwp-exporter: {folder}: 1 problem\n  {folder}: cannot read the file: Is a directory (os \
         error 21); name a file\n"
    );
    assert_eq!(text(&output.stderr), expected);
}

#[tokio::test]
async fn a_good_configuration_is_called_good() {
    let cloud = Cloud::with_accounts(3).await;
    let output = Setup::of(&cloud, 3).run(&["--config.check"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "configuration is good: 3 accounts\n");
    assert!(cloud.handle.received().is_empty());
}

/// A pipe that nobody writes to: opening it to read hangs, as a file does whose disk hangs.
fn hung_file(folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("hung").to_str().unwrap().to_owned();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path
}

#[tokio::test]
async fn a_check_gives_up_on_a_file_that_hangs_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let hung = hung_file(&folder);
    let write = |name: &str, text: String| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(&path, text).unwrap();
        path
    };
    let web = format!("tls_server_config: {{cert_file: '{hung}', key_file: '{hung}'}}");
    let web = write("web.yml", web);
    let main = write("cwp.yml", format!("accounts_files: ['{hung}']"));
    let account = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDa0"),
        ("TENCENTCLOUD_SECRET_KEY", "key-a0"),
    ];
    let checks = [
        ["--config.file", &hung],
        ["--config.file", &main],
        ["--web.config.file", &web],
    ]
    .map(|[flag, file]| {
        let account = &account;
        async move { run(&["--config.check", flag, file], account).await }
    });
    for output in futures_util::future::join_all(checks).await {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("reading {hung} has not ended after 10 s")));
        assert!(said.contains("disk or mount"), "{said}");
    }
}

#[tokio::test]
async fn a_start_that_waits_for_a_file_that_hangs_tells_so_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let hung = hung_file(&folder);
    let arguments = ["--config.file", &hung, "--web.listen-address=127.0.0.1:0"];
    let mut program = Program::start(&arguments, &[]);
    let told = program.logged("the start waits until a file").await;
    assert!(
        told.contains("level=warn") && told.contains(&hung),
        "{told}"
    );
    program.signal("TERM").await;
    assert!(program.ended().await.success());
}

#[tokio::test]
async fn an_address_in_use_exits_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let cloud = Cloud::with_accounts(1).await;
    let output = Setup::of(&cloud, 1)
        .run(&["--web.listen-address", &address])
        .await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&address) && stderr.contains("--web.listen-address"));
}

#[tokio::test]
async fn several_addresses_are_listened_on() {
    let cloud = Cloud::with_accounts(1).await;
    let setup = Setup::of(&cloud, 1);
    let mut program = Program::start(
        &[
            "--config.file",
            setup.path(),
            "--web.listen-address=127.0.0.1:0",
            "--web.listen-address=127.0.0.2:0",
        ],
        &setup.variables(),
    );
    program.logged("msg=collecting").await;
    let log = program.log();
    let listening = |line: &&String| line.contains("msg=\"Listening on\"");
    for line in log.iter().filter(listening) {
        let address = line.split("address=").nth(1).unwrap().split(' ').next();
        let url = format!("http://{}/-/healthy", address.unwrap());
        assert_eq!(client().get(url).send().await.unwrap().status(), 200);
    }
    assert_eq!(log.iter().filter(listening).count(), 2);
}

#[tokio::test]
async fn a_simulated_api_plays_a_scenario_file_for_a_program_that_collects_it() {
    let scenario = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        scenario.path(),
        "accounts: [{name: mine, secret_id: AKIDmine, secret_key: mine, fields: {LicenseCnt: 7}}]",
    )
    .unwrap();
    let scenario = scenario.path().to_str().unwrap();
    let mut simulator = Program::start(
        &["simulate", "--listen=127.0.0.1:0", "--scenario", scenario],
        &[],
    );
    let line = simulator.logged("url=").await;
    let url = line
        .split("url=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let output = run(
        &["once"],
        &[
            ("TENCENTCLOUD_SECRET_ID", "AKIDmine"),
            ("TENCENTCLOUD_SECRET_KEY", "mine"),
            ("CWP_EXPORTER_API__ENDPOINT", url),
        ],
    )
    .await;
    let scrape = Scrape::parse(text(&output.stdout));
    assert_eq!(
        scrape.value("tencentcloud_cwp_licenses{account=\"default\"}"),
        Some(7.0)
    );
    simulator.signal("TERM").await;
    assert_eq!(simulator.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_simulated_api_stays_on_this_machine() {
    for listen in ["--listen=0.0.0.0:0", "--listen=:0", "--listen=[::]:0"] {
        let output = run(&["simulate", listen], &[]).await;
        assert_eq!(output.status.code(), Some(2), "{listen}");
        assert!(text(&output.stderr).contains("loopback"), "{listen}");
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_put_to_work_is_wrong_at_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let state = format!("--state.dir={}/none/none", folder.path().display());
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDexample"),
        ("TENCENTCLOUD_SECRET_KEY", "example"),
    ];
    let damaged = folder.path().join("damaged.pem");
    std::fs::write(&damaged, "no certificate").unwrap();
    let damaged = ("CWP_EXPORTER_API__CA_FILE", damaged.to_str().unwrap());
    let (usual, damaged) = (key.to_vec(), [&key[..], &[damaged]].concat());
    let listen = "--web.listen-address=127.0.0.1:0";
    for (arguments, variables, part) in [
        (&[listen][..], &damaged, "ca_file"),
        (&["once"], &damaged, "ca_file"),
        (&[listen, &state], &usual, "/none"),
        (&[listen, "demo", &state], &usual, "/none"),
    ] {
        let output = run(arguments, variables).await;
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_wrong_usage_and_an_unknown_name_is_not() {
    let key = [
        ("TENCENTCLOUD_SECRET_ID", "AKIDexample"),
        ("TENCENTCLOUD_SECRET_KEY", "example"),
    ];
    let twice = "--web.listen-address=127.0.0.1:10064";
    let cases: [(&[&str], i32, &str); 10] = [
        (&["--web.listen-address=10064"], 2, "127.0.0.1:10064"),
        (&["--config.check", twice, twice], 2, "together"),
        (&[twice, twice], 2, "together"),
        (
            &["--config.check", "--web.listen-address=10064"],
            2,
            ":10064",
        ),
        (&["--web.listen-address=localhost:"], 2, "port is missing"),
        (&["demo", "--web.listen-address=[::1"], 2, "[::1]:10064"),
        (&["simulate", "--listen=10065"], 2, "127.0.0.1:10065"),
        (
            &["--web.listen-address=none.invalid:0"],
            1,
            "none.invalid:0",
        ),
        (
            &["demo", "--web.listen-address=none.invalid:0"],
            1,
            "none.invalid:0",
        ),
        (
            &["simulate", "--listen=none.invalid:0"],
            1,
            "none.invalid:0",
        ),
    ];
    for (arguments, code, part) in cases {
        let output = run(arguments, &key).await;
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}

#[tokio::test]
async fn the_version_names_revision_and_compiler() {
    let output = run(&["--version"], &[]).await;
    let version = text(&output.stdout);
    assert!(
        version.starts_with(concat!(
            "cwp-exporter ",
            env!("CARGO_PKG_VERSION"),
            " (revision "
        )),
        "{version}"
    );
    assert!(version.contains("rustc 1."), "{version}");
}

#[tokio::test]
async fn no_secret_reaches_the_log_the_metrics_or_a_page_even_when_echoed() {
    let cloud = Cloud::start(
        "accounts: [{name: a0, secret_id: AKIDa0, secret_key: s3cr3t-key, token: s3cr3t-token}]",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cwp.yml");
    std::fs::write(
        &config,
        format!(
            "{LICENSES_ALONE}poll: {{interval: 1s}}\napi: {{endpoint: '{}'}}\naccounts: [{{name: a0, credentials: {{type: static, secret_id: AKIDa0, secret_key_env: KEY, token_env: TOKEN}}}}]",
            cloud.url
        ),
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let echo = Answer::Error {
        code: "InternalError.s3cr3t-key".to_owned(),
        message: "you sent s3cr3t-key and s3cr3t-token".to_owned(),
    };
    for (key, token) in [("s3cr3t-key", "s3cr3t-token"), ("wr0ng-key", "wr0ng-token")] {
        cloud.handle.resume("a0").unwrap();
        let mut program = Program::start(
            &[
                "--config.file",
                config,
                "--log.level=debug",
                "--web.listen-address=127.0.0.1:0",
            ],
            &[("KEY", key), ("TOKEN", token)],
        );
        let url = program.url().await;
        cloud.handle.play("a0", echo.clone()).unwrap();
        program.logged("collection failed").await;
        for path in ["/metrics", "/", "/-/ready", "/none"] {
            let page = client().get(format!("{url}{path}")).send().await.unwrap();
            let page = page.text().await.unwrap();
            assert!(!page.contains(key) && !page.contains(token), "{path}");
        }
        let log = program.log().join("\n");
        assert!(!log.contains(key) && !log.contains(token), "{log}");
    }
}
