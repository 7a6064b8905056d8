//! The status page in a real browser: headless Chromium, driven over its own protocol.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::harness::{Cloud, within};
use crate::status::{ORDERS, Stories, exporter_with_orders};

/// The names that Chromium goes by.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Speaks with the browser through descriptors 3 and 4, which it takes for that.
const ON_DESCRIPTORS: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// The least ratio of contrast between a text and what is behind it, and the text that
/// has it. What is half transparent counts as what shows through.
const LEAST_CONTRAST: &str = r"(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const paint = colours => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(part => {
      part /= 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = [99, ''];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
    if (!text || !element.checkVisibility()) continue;
    const behind = ['white'];
    for (let each = element; each; each = each.parentElement) {
      behind.splice(1, 0, getComputedStyle(each).backgroundColor);
    }
    const [a, b] = [paint(behind), paint([...behind, getComputedStyle(element).color])];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, text];
  }
  return least;
})()";

/// A browser with one page. It is killed when dropped.
struct Browser {
    _child: Child,
    _profile: tempfile::TempDir,
    commands: ChildStdin,
    messages: BufReader<ChildStdout>,
    session: Option<String>,
    sent: u64,
    events: Vec<Value>,
}

/// The browser's name, if there is one; it may be missing, but not in CI. `tests/run`
/// says what is then not checked.
fn name() -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found = NAMES
        .into_iter()
        .find(|name| folders.iter().any(|folder| folder.join(name).is_file()));
    if found.is_none() {
        let missing = "there is no Chromium on PATH; tests/run gets one";
        let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!in_ci, "{missing}");
    }
    found
}

impl Browser {
    async fn start(name: &str) -> Self {
        // Its processes end after it, and some write to the profile until then: what is
        // left of it must be below the target directory.
        let profile = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", ON_DESCRIPTORS, "sh", name])
            .args(FLAGS)
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .env("XDG_CACHE_HOME", profile.path())
            .env("XDG_CONFIG_HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut browser = Self {
            commands: child.stdin.take().unwrap(),
            messages: BufReader::new(child.stdout.take().unwrap()),
            _child: child,
            _profile: profile,
            session: None,
            sent: 0,
            events: Vec::new(),
        };
        let blank = json!({"url": "about:blank"});
        let target = browser.call("Target.createTarget", blank).await;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", target).await;
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Log", "Runtime", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// The next message of the browser.
    async fn message(&mut self) -> Value {
        let mut bytes = Vec::new();
        let read = self.messages.read_until(0, &mut bytes);
        within("the browser", read).await.unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&bytes).unwrap()
    }

    /// What a command of the browser's protocol returns.
    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut command = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let command = command.to_string() + "\0";
        self.commands.write_all(command.as_bytes()).await.unwrap();
        loop {
            let mut message = self.message().await;
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// Waits for the page to have loaded, since `event` was the next to come.
    async fn loaded(&mut self, event: usize) {
        let is_load = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events[event..].iter().any(is_load) {
            let message = self.message().await;
            self.events.push(message);
        }
    }

    async fn open(&mut self, url: &str) {
        let event = self.events.len();
        self.call("Page.navigate", json!({"url": url})).await;
        self.loaded(event).await;
    }

    /// The value of a JavaScript expression on the page.
    async fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", parameters).await;
        let exception = &answer["exceptionDetails"];
        assert!(exception.is_null(), "{expression}: {exception}");
        answer["result"]["value"].take()
    }

    /// Does what an expression does, and waits for the page that comes of it.
    async fn follow(&mut self, expression: &str) {
        let event = self.events.len();
        self.value(expression).await;
        self.loaded(event).await;
    }

    /// Sets the size of the window, and what the reader prefers.
    async fn look(&mut self, width: u32, scheme: &str) {
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let preferred = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", preferred).await;
    }

    /// The names of the accounts that are listed.
    async fn accounts(&mut self) -> Value {
        self.value("[...document.querySelectorAll('.who b')].map(name => name.textContent)")
            .await
    }

    /// Everything that the browser did not like, and all that it asked of others.
    fn complaints(&self, url: &str) -> Vec<&Value> {
        let events = self.events.iter();
        let complaints =
            events.filter(|event| match event["method"].as_str().unwrap_or_default() {
                "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => true,
                "Network.requestWillBeSent" => {
                    let asked = event["params"]["request"]["url"].as_str().unwrap();
                    !asked.starts_with(url) && !asked.starts_with("data:")
                }
                _ => false,
            });
        complaints.collect()
    }
}

#[tokio::test]
async fn the_page_reads_well_on_a_phone_and_on_a_desk_in_the_dark_and_in_the_light() {
    let Some(name) = name() else { return };
    let stories = Stories::start().await;
    let cloud = Cloud::start(ORDERS).await;
    let orders = exporter_with_orders(&cloud).await;
    for url in [&stories.url, &orders.url] {
        reads_well(&mut Browser::start(name).await, url).await;
    }
}

async fn reads_well(browser: &mut Browser, url: &str) {
    browser.open(url).await;
    let mut backs = Vec::new();
    for (width, scheme) in [
        (390, "light"),
        (390, "dark"),
        (720, "light"),
        (820, "light"),
        (1280, "light"),
        (1280, "dark"),
    ] {
        browser.look(width, scheme).await;
        for open in [false, true] {
            let set =
                format!("document.querySelectorAll('details').forEach(each => each.open = {open})");
            browser.value(&set).await;
            let wide = browser.value("document.documentElement.scrollWidth").await;
            assert!(wide.as_u64() <= Some(width.into()), "{wide} on {width}");
            let contrast = browser.value(LEAST_CONTRAST).await;
            assert!(
                contrast[0].as_f64() >= Some(4.5),
                "{contrast} in the {scheme}"
            );
        }
        let back = browser
            .value("getComputedStyle(document.body).backgroundColor")
            .await;
        backs.push(back.as_str().unwrap().to_owned());
    }
    assert_eq!(backs[0], backs[4], "the light is the same on each");
    assert_eq!(backs[1], backs[5], "the dark is the same on each");
    assert_ne!(backs[0], backs[1]);
    assert_eq!(browser.complaints(url), Vec::<&Value>::new());
}

#[tokio::test]
async fn columns_have_heads_where_there_is_room_and_the_header_is_in_line_with_the_rest() {
    let Some(name) = name() else { return };
    let stories = Stories::start().await;
    let mut browser = Browser::start(name).await;
    browser.open(&stories.url).await;
    for (width, has_room) in [
        (390, false),
        (680, false),
        (720, true),
        (1024, true),
        (1600, true),
    ] {
        browser.look(width, "light").await;
        let heads = browser.value("document.querySelector('.heads').checkVisibility()");
        assert_eq!(heads.await, has_room, "{width}");
        let lefts = "['h1', 'main dl'].map(each => document.querySelector(each).getBoundingClientRect().left)";
        let lefts = browser.value(lefts).await;
        assert_eq!(lefts[0], lefts[1], "{width}");
        // The number stands under its head, or its name beside it.
        let places = browser
            .value(
                "[...document.querySelectorAll('.heads span')].slice(3).map((head, index) => \
                 Math.abs(head.getBoundingClientRect().right - \
                 document.querySelectorAll('.value')[index].getBoundingClientRect().right))",
            )
            .await;
        for place in places.as_array().unwrap() {
            assert!(
                !has_room || place.as_f64() <= Some(4.0),
                "{width}: {places}"
            );
        }
        let name = "document.querySelector('.value small').getBoundingClientRect().width > 1";
        assert_eq!(browser.value(name).await, !has_room, "{width}");
    }
}

#[tokio::test]
async fn a_line_shows_that_it_opens_and_the_keyboard_opens_it() {
    let Some(name) = name() else { return };
    let stories = Stories::start().await;
    let mut browser = Browser::start(name).await;
    browser.open(&stories.url).await;
    let marks = "[...document.querySelectorAll('summary')].every(line => \
                 line.querySelector('.opens').getBoundingClientRect().width > 4)";
    assert_eq!(browser.value(marks).await, true);
    let direction = "getComputedStyle(document.querySelector('.opens')).transform";
    let closed = browser.value(direction).await;
    browser
        .value("document.querySelector('summary').focus()")
        .await;
    for kind in ["keyDown", "keyUp"] {
        let enter = json!({"type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13});
        browser.call("Input.dispatchKeyEvent", enter).await;
    }
    let open = browser
        .value("document.querySelector('details').open")
        .await;
    assert_eq!(open, true);
    assert_ne!(browser.value(direction).await, closed);
}

#[tokio::test]
async fn the_page_is_filtered_and_opened_without_a_script() {
    let Some(name) = name() else { return };
    let stories = Stories::start().await;
    let mut browser = Browser::start(name).await;
    let disabled = json!({"value": true});
    browser
        .call("Emulation.setScriptExecutionDisabled", disabled)
        .await;
    browser.open(&stories.url).await;
    let all = browser.accounts().await;
    assert_eq!(all.as_array().unwrap().len(), 8, "{all}");
    // Why an account fails is there without opening anything.
    let failure = "document.querySelector('.failure').innerText";
    let failure = browser.value(failure).await;
    assert!(failure.as_str().unwrap().contains("RequestId"), "{failure}");
    let more = "document.querySelector('.more').checkVisibility()";
    assert_eq!(browser.value(more).await, false);

    browser
        .value("document.querySelector('[type=search]').value = 'NEAR'")
        .await;
    browser
        .follow("document.querySelector('form button').click()")
        .await;
    assert_eq!(browser.accounts().await, json!(["nearer", "near"]));
    assert_eq!(browser.value("location.search").await, "?q=NEAR");
    browser
        .follow("document.querySelector('.healths .failing').click()")
        .await;
    assert_eq!(browser.accounts().await, json!([]));
    browser
        .follow("document.querySelector('.empty a').click()")
        .await;
    assert_eq!(browser.accounts().await, all);

    browser
        .follow("document.querySelector('.healths .exhausted').click()")
        .await;
    assert_eq!(browser.accounts().await, json!(["empty"]));
    browser
        .value("document.querySelector('summary').click()")
        .await;
    let shown = "document.querySelector('details[open] .more').innerText";
    let shown = browser.value(shown).await;
    assert!(
        shown.as_str().unwrap().contains("the configured key"),
        "{shown}"
    );

    let pages = format!("{}/?per_page=3&sort=name", stories.url);
    browser.open(&pages).await;
    assert_eq!(browser.accounts().await, json!(["denied", "empty", "fine"]));
    browser
        .follow("document.querySelector('[rel=next]').click()")
        .await;
    assert_eq!(browser.accounts().await, json!(["hung", "near", "nearer"]));
    assert_eq!(browser.complaints(&stories.url), Vec::<&Value>::new());
}
