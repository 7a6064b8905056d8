//! Files and variables with keys: a key that is read is the one that is written, and no error
//! quotes a value.
//!
//! The first byte of an input chooses the kind of file; the rest is the file.

use std::path::Path;

use cwp_exporter::config::{
    EnvKey, Environment, Fault, IdSource, Key, NoText, Profile, SecretSource, StaticKey, Tccli,
};
use serde_json::Value;

use crate::input::{parts, text};
use crate::measure::{Bound, bounded};

/// A file is read once, by one line or one JSON value after the other.
const BOUND: Bound = Bound {
    bytes: 32 * 1024,
    bytes_per_byte: 200,
};

pub fn run(input: &[u8]) {
    let (kind, file) = match input.split_first() {
        Some((kind, file)) => (kind % 4, text(file)),
        None => return,
    };
    let texts = |_: &Path| -> Result<String, NoText> { Ok(file.clone().into_owned()) };
    let home = Environment::from([("HOME", "/home")]);
    let read: Result<Key, Fault> = bounded(input.len(), &BOUND, || match kind {
        0 => Profile::default().read(&home, &texts).map_err(Fault::from),
        1 => {
            let key = Tccli::default().read(&home, &texts);
            key.map(|read| read.key).map_err(Fault::from)
        }
        2 => {
            let place = || SecretSource::File("/home/file".into());
            let key = StaticKey {
                secret_id: IdSource::Literal("AKIDfuzz".to_owned()),
                secret_key: place(),
                token: Some(place()),
            };
            key.read(&home, &texts)
        }
        _ => EnvKey::read(&variables(&file)).map_err(Fault::from),
    });
    match read {
        Err(fault) => {
            let shown = format!("{fault} {fault:?}");
            assert!(is_name(&file) || !shown.contains("hunter2"), "{shown}");
        }
        Ok(key) => check(kind, &file, &key),
    }
}

fn variables(file: &str) -> Environment {
    let mut values = parts(file.as_bytes()).map(|part| text(part).into_owned());
    let names = [
        "TENCENTCLOUD_SECRET_ID",
        "TENCENTCLOUD_SECRET_KEY",
        "TENCENTCLOUD_TOKEN",
    ];
    names
        .into_iter()
        .map(|name| (name, values.next().unwrap_or_default()))
        .collect()
}

/// Whether the word that no error may show is the name of a setting, which errors may show.
fn is_name(file: &str) -> bool {
    let is_setting = |line: &str| {
        line.split_once('=')
            .is_some_and(|(name, _)| name.contains("hunter2"))
    };
    let is_field = |file: &str| {
        let value: Value = serde_json::from_str(file).unwrap_or_default();
        value
            .as_object()
            .is_some_and(|fields| fields.keys().any(|name| name.contains("hunter2")))
    };
    file.lines().any(is_setting) || is_field(file)
}

fn check(kind: u8, file: &str, key: &Key) {
    let token = key.token.as_deref();
    for part in [key.secret_id.as_str(), &key.secret_key]
        .into_iter()
        .chain(token)
    {
        assert!(
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()),
            "{part}"
        );
    }
    let written = match kind {
        0 => ["secret_id", "secret_key", "token"].map(|name| setting(file, name)),
        1 => {
            let file: Value = serde_json::from_str(file).expect("it is JSON");
            ["secretId", "secretKey", "token"].map(|name| file[name].as_str().map(str::to_owned))
        }
        2 => [Some("AKIDfuzz"), Some(file), Some(file)].map(|text| text.map(str::to_owned)),
        _ => {
            let mut values = parts(file.as_bytes()).map(|part| text(part).into_owned());
            [(); 3].map(|()| values.next())
        }
    };
    let written = written.map(|text| text.map(|text| text.trim().to_owned()));
    let written = written.map(|text| text.filter(|text| !text.is_empty()));
    let read = [
        Some(&key.secret_id),
        Some(&key.secret_key),
        key.token.as_ref(),
    ];
    assert_eq!(written.each_ref().map(Option::as_ref), read, "{file}");
}

/// The value of a setting in the section `[default]`. A file with the section or the setting
/// twice is not accepted.
fn setting(file: &str, name: &str) -> Option<String> {
    let file = file.trim_start_matches('\u{feff}');
    let lines = file.lines().map(str::trim);
    let heads = lines.clone().filter(|line| is_head(line, "default"));
    assert_eq!(heads.count(), 1, "{file}");
    let inside = lines.skip_while(|line| !is_head(line, "default")).skip(1);
    let inside = inside.take_while(|line| !line.starts_with('['));
    let settings = inside.filter(|line| !line.starts_with(['#', ';']));
    let mut values = settings.filter_map(|line| {
        let (known, value) = line.split_once('=')?;
        (known.trim() == name).then(|| value.to_owned())
    });
    let value = values.next();
    assert!(values.next().is_none(), "{name} comes twice: {file}");
    value
}

fn is_head(line: &str, name: &str) -> bool {
    let inside = line
        .strip_prefix('[')
        .and_then(|line| line.strip_suffix(']'));
    inside.is_some_and(|inside| inside.trim() == name)
}
