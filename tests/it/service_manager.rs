//! The notifications of systemd, over a socket like systemd's.

use tokio::net::UnixDatagram;

use crate::harness::{Cloud, Program, config_for, within};

/// The receiving end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    /// The lines of the next message that has one beginning with `start`.
    async fn hears(&self, start: &str) -> Vec<String> {
        let mut buffer = vec![0; 4096];
        within(start, async {
            loop {
                let length = self.socket.recv(&mut buffer).await.unwrap();
                let text = std::str::from_utf8(&buffer[..length]).unwrap();
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                if lines.iter().any(|line| line.starts_with(start)) {
                    return lines;
                }
            }
        })
        .await
    }

    /// Starts the program under this manager.
    fn start(&self, cloud: &Cloud, variables: &[(&str, &str)]) -> Program {
        let (config, keys) = config_for(cloud, 2);
        let file = self.folder.path().join("cwp-exporter.yml");
        std::fs::write(&file, config).unwrap();
        let file = format!("--config.file={}", file.display());
        let socket = self.folder.path().join("notify");
        let mut variables = variables.to_vec();
        variables.push(("NOTIFY_SOCKET", socket.to_str().unwrap()));
        variables.extend(keys.iter().map(|(name, key)| (name.as_str(), key.as_str())));
        Program::start(&[&file, "--web.listen-address=127.0.0.1:0"], &variables)
    }
}

#[tokio::test]
async fn systemd_is_notified_of_readiness_reloads_and_the_end_in_this_order() {
    let cloud = Cloud::with_accounts(2).await;
    let manager = Manager::new();
    let mut program = manager.start(&cloud, &[]);
    manager.hears("READY=1").await;
    // Once ready, the program answers.
    program.url().await;

    program.signal("HUP").await;
    let reloading = manager.hears("RELOADING=1").await;
    let since = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(since.parse::<u64>().unwrap() > 0);
    manager.hears("READY=1").await;

    program.signal("TERM").await;
    manager.hears("STOPPING=1").await;
    assert!(program.ended().await.success());
}

#[tokio::test]
async fn systemd_is_notified_of_the_end_of_a_failed_reload() {
    let cloud = Cloud::with_accounts(2).await;
    let manager = Manager::new();
    let program = manager.start(&cloud, &[]);
    manager.hears("READY=1").await;
    std::fs::write(manager.folder.path().join("cwp-exporter.yml"), "poll: 1").unwrap();
    program.signal("HUP").await;
    manager.hears("RELOADING=1").await;
    manager.hears("READY=1").await;
}

#[tokio::test]
async fn systemd_is_notified_of_the_accounts_and_of_liveness_in_time_for_its_watchdog() {
    let cloud = Cloud::with_accounts(1).await;
    let manager = Manager::new();
    let _program = manager.start(&cloud, &[("WATCHDOG_USEC", "200000")]);
    let status = "STATUS=accounts: 2; last collections: 1 succeeded, 1 failed, 0 to come";
    assert_eq!(manager.hears(status).await, [status, "WATCHDOG=1"]);
}

#[tokio::test]
async fn without_a_watchdog_systemd_is_not_notified_of_liveness() {
    let cloud = Cloud::with_accounts(2).await;
    let manager = Manager::new();
    let _program = manager.start(&cloud, &[]);
    let message = manager.hears("STATUS=").await;
    assert_eq!(message.len(), 1, "{message:?}");
}
