//! What an app says about itself over its channel, in the words of PM2's libraries (`pmx`, `tx2`, `@pm2/io`): actions that can be
//! asked of it, and what it measures. Nobody can make this grow.

use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const ACTIONS_MAX: usize = 100;
const ACTION_BYTES_MAX: usize = 1 << 10;
const MEASURES_BYTES_MAX: usize = 16 << 10;
const OPTIONS_BYTES_MAX: usize = 4 << 10;
/// A look for it costs less than to take each message of an app apart.
const MARK: &[u8] = b"\"axm:";

/// All that is known of one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Offers {
    /// `{ action_name, action_type, arity, opts }`
    pub actions: Vec<Value>,
    /// `{ name: { value, type, unit, historic } }`
    pub measures: Map<String, Value>,
    pub options: Map<String, Value>,
}

/// One thing more.
#[derive(Clone, Debug, PartialEq)]
pub enum Offer {
    Action(Value),
    Measures(Map<String, Value>),
    Options(Map<String, Value>),
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    data: Value,
}

impl Offer {
    /// None where it says something else.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        memmem::find(line, MARK)?;
        let Message { kind, data } = serde_json::from_slice(line).ok()?;
        match (kind.as_str(), data) {
            ("axm:action", data) => {
                data.get("action_name")?.as_str()?;
                Some(Self::Action(data))
            }
            ("axm:monitor", Value::Object(measures)) => Some(Self::Measures(measures)),
            ("axm:option:configuration", Value::Object(options)) => Some(Self::Options(options)),
            _ => None,
        }
    }
}

impl Offers {
    pub fn take(&mut self, offer: Offer) {
        let size = |fields: &Map<String, Value>| serde_json::to_string(fields).map_or(usize::MAX, |text| text.len());
        match offer {
            Offer::Action(action) => {
                if action.to_string().len() > ACTION_BYTES_MAX {
                    return;
                }
                let name = action["action_name"].clone();
                self.actions.retain(|known| known["action_name"] != name);
                if self.actions.len() < ACTIONS_MAX {
                    self.actions.push(action);
                }
            }
            Offer::Measures(measures) if size(&measures) <= MEASURES_BYTES_MAX => self.measures = measures,
            Offer::Options(options) => {
                let mut all = self.options.clone();
                all.extend(options);
                if size(&all) <= OPTIONS_BYTES_MAX {
                    self.options = all;
                }
            }
            Offer::Measures(_) => {}
        }
    }

    #[must_use]
    pub fn has(&self, action: &str) -> bool {
        self.actions.iter().any(|known| known["action_name"] == action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_app_offers_is_known_and_never_grows() {
        let mut offers = Offers::default();
        let mut say = |line: &str| Offer::of(line.as_bytes()).map(|offer| offers.take(offer)).is_some();
        assert!(say(r#"{"type":"axm:action","data":{"action_name":"db:clean","arity":1}}"#));
        assert!(say(r#"{"type":"axm:action","data":{"action_name":"db:clean","arity":2}}"#));
        assert!(say(r#"{"type":"axm:monitor","data":{"Users":{"value":3}}}"#));
        assert!(say(r#"{"type":"axm:option:configuration","data":{"module_name":"x"}}"#));
        for other in [
            "\"axm:action\"",
            r#"{"type":"axm:action","data":{}}"#,
            r#"{"type":"axm:action","data":{"action_name":1}}"#,
            r#"{"type":"axm:monitor","data":[1]}"#,
            r#"{"type":"axm:reply","data":{"return":1}}"#,
            r#"{"kind":"axm:action"}"#,
            "{\"axm:",
        ] {
            assert!(!say(other), "{other}");
        }
        for number in 0..1_000 {
            assert!(say(&format!(r#"{{"type":"axm:action","data":{{"action_name":"a{number}"}}}}"#)));
        }
        let long = "x".repeat(100_000);
        assert!(say(&format!(r#"{{"type":"axm:action","data":{{"action_name":"{long}"}}}}"#)));
        assert!(say(&format!(r#"{{"type":"axm:monitor","data":{{"{long}":1}}}}"#)));
        assert!(say(&format!(r#"{{"type":"axm:option:configuration","data":{{"{long}":1}}}}"#)));
        assert_eq!((offers.actions.len(), offers.actions[0]["arity"].as_u64()), (ACTIONS_MAX, Some(2)));
        assert!(offers.has("a0") && !offers.has("a999"));
        assert_eq!(offers.measures["Users"]["value"], 3);
        assert_eq!(offers.options["module_name"], "x");
    }
}
