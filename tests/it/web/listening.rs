//! Where the program listens, and what it says of it.

use std::process::Stdio;

use tokio::process::Command;

use super::Folder;
use crate::harness::{Cloud, Program, client, run, within};

const KEY: [(&str, &str); 2] = [
    ("TENCENTCLOUD_SECRET_ID", "AKIDa0"),
    ("TENCENTCLOUD_SECRET_KEY", "key-a0"),
];

#[tokio::test]
async fn the_log_says_where_it_listens_and_whether_tls_is_on() {
    let cloud = Cloud::with_accounts(1).await;
    let variables = [
        KEY[0],
        KEY[1],
        ("CWP_EXPORTER_API__ENDPOINT", cloud.url.as_str()),
    ];
    let flags = [
        "--web.listen-address=127.0.0.1:0",
        "--web.listen-address=[::1]:0",
    ];
    let mut program = Program::start(&flags, &variables);
    let addresses = [
        program.logged("address=127.0.0.1").await,
        program.logged("address=[::1]").await,
    ];
    for line in &addresses {
        assert!(
            line.contains("level=info msg=\"Listening on\" address="),
            "{line}"
        );
        let (_, address) = line.split_once("address=").unwrap();
        let url = format!("http://{address}/-/healthy");
        let answer = within("an answer", client().get(url).send()).await;
        assert_eq!(answer.unwrap().status(), 200);
        program
            .logged(&format!(
                "msg=\"TLS is disabled.\" http2=false address={address}"
            ))
            .await;
    }

    let folder = Folder::new("tls_server_config: {cert_file: server.crt, key_file: server.key}");
    let web = format!("--web.config.file={}", folder.path("web.yml").display());
    let mut program = Program::start(&[&web, "--web.listen-address=127.0.0.1:0"], &variables);
    let line = program.logged("TLS is").await;
    assert!(
        line.contains("msg=\"TLS is enabled.\" http2=true address=127.0.0.1:"),
        "{line}"
    );
}

#[tokio::test]
async fn sockets_that_a_service_manager_passes_are_listened_on() {
    let cloud = Cloud::with_accounts(1).await;
    let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = std::net::TcpListener::bind("[::1]:0").unwrap();
    let addresses = [first.local_addr().unwrap(), second.local_addr().unwrap()];
    // The shell puts the sockets where systemd does, and its own id is the program's.
    let program = env!("CARGO_BIN_EXE_cwp-exporter");
    let script = format!(
        "exec 3<&0 4<&1 0</dev/null 1>/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 exec {program} --web.systemd-socket"
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .envs(KEY)
        .env("CWP_EXPORTER_API__ENDPOINT", &cloud.url)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(first)))
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(second)))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for address in addresses {
        let url = format!("http://{address}/-/healthy");
        let answer = within("an answer", client().get(url).send()).await;
        assert_eq!(answer.unwrap().status(), 200);
    }
    child.kill().await.unwrap();
}

#[tokio::test]
async fn without_a_usable_socket_the_error_names_what_is_missing() {
    let output = run(&["--web.systemd-socket"], &KEY).await;
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("no socket was passed"), "{words}");

    let program = env!("CARGO_BIN_EXE_cwp-exporter");
    let script =
        format!("LISTEN_PID=$$ LISTEN_FDS=1 exec {program} --web.systemd-socket 3</dev/null");
    let running = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .envs(KEY)
        .output();
    let output = within("the program to end", running).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(
        words.contains("socket 0 of the passed sockets cannot be used"),
        "{words}"
    );
}
