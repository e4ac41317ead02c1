//! What a configuration's text says. Fuzzed by itself.

use std::collections::BTreeMap;
use toml::Value;

/// Keys and values, as the command line would have them.
pub(crate) type Config = BTreeMap<String, Vec<String>>;

/// What is no option: see [`super::hooks`].
pub(crate) const TABLES: [&str; 2] = ["hook", "webhook"];

/// # Errors
/// It is no TOML, or has keys or values that mean nothing.
pub(crate) fn parse(text: &str, known: &[String]) -> Result<Config, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes()[..before].iter().filter(|&&byte| byte == b'\n').count();
        format!("line {line}: {}", error.message().lines().next().unwrap_or_default())
    })?;
    table
        .into_iter()
        .filter(|(name, _)| !TABLES.contains(&name.as_str()))
        .map(|(name, value)| {
            if !known.contains(&name) {
                return Err(format!(
                    "there is no setting '{}'; 'rawtorrent daemon --print-config' lists them",
                    name.escape_debug()
                ));
            }
            let values = match value {
                Value::Array(values) => {
                    values.iter().map(|value| plain(&name, value)).collect::<Result<_, _>>()?
                }
                value => vec![plain(&name, &value)?],
            };
            Ok((name, values))
        })
        .collect()
}

fn plain(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(switch) => Ok(switch.to_string()),
        _ => Err(format!("'{name}' must be a text, a number, true or false, or a list of them")),
    }
}
