//! Settings of a run that a schedule or a request asks for: keys as in `tagpipe.toml`, values as texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

/// Settings of a run, key by key. Read from JSON, where a value may also be a number, a boolean or a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RunOptions(BTreeMap<String, String>);

impl RunOptions {
    /// Sets `key`. An empty value means that it is not set.
    pub fn set(&mut self, key: &str, value: &str) {
        if value.trim().is_empty() {
            self.0.remove(key);
        } else {
            self.0.insert(key.to_owned(), value.trim().to_owned());
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> Json {
        serde_json::json!(self.0)
    }

    /// Of what is stored or was sent.
    ///
    /// # Errors
    /// It is no object, or a value is no text, number, boolean or list of them; in words.
    pub fn from_json(json: &Json) -> Result<RunOptions, String> {
        let Json::Object(object) = json else {
            return Err("the options are no object of settings and values".to_owned());
        };
        let mut options = RunOptions::default();
        for (key, value) in object {
            options.set(key, &text_of(key, value)?);
        }
        Ok(options)
    }
}

impl<'de> Deserialize<'de> for RunOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RunOptions, D::Error> {
        let json = Json::deserialize(deserializer)?;
        RunOptions::from_json(&json).map_err(serde::de::Error::custom)
    }
}

fn text_of(key: &str, value: &Json) -> Result<String, String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(value) => Ok(value.to_string()),
        Json::Null => Ok(String::new()),
        Json::Array(values) => {
            let texts: Result<Vec<_>, _> = values.iter().map(|value| text_of(key, value)).collect();
            Ok(texts?.join(","))
        }
        Json::Object(_) => Err(format!(
            "`{key}` is an object; it takes a text, a number or a list"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_all_kinds_become_texts() {
        let options = RunOptions::from_json(&json!({
            "categories": ["Baseball", "Hockey"], "year_filter": [1986, "1989-1991"], "max_pages": 100, "full": true,
            "set_filter": "", "card_filter": null, "delay": 0.5,
        }));
        let options = options.expect("an object");
        let pairs: Vec<_> = options.iter().collect();
        assert_eq!(
            pairs,
            [
                ("categories", "Baseball,Hockey"),
                ("delay", "0.5"),
                ("full", "true"),
                ("max_pages", "100"),
                ("year_filter", "1986,1989-1991"),
            ]
        );
        assert_eq!(RunOptions::from_json(&options.to_json()), Ok(options));
    }

    #[test]
    fn what_is_no_set_of_options_is_refused() {
        for json in [
            json!([]),
            json!("full"),
            json!({ "delay": { "s": 1 } }),
            json!(null),
        ] {
            assert!(RunOptions::from_json(&json).is_err(), "{json}");
        }
    }
}
