//! Counters of a registry: subtracts their values before the run, and repeated requests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Paths of counters in the metrics.
pub(super) const PATHS: &[&str] = &["$.handlers.", "$.capture."];

/// What a run subtracts from the metrics.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// The metrics before the run, if they were asked for.
    before: Option<Value>,
    /// Requests that were repeated, by RPC.
    repeated: BTreeMap<String, i64>,
}

impl Counters {
    pub(super) fn new(before: Option<Value>) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    pub(super) fn note_repeated(&mut self, subject: &str, times: i64) {
        *self.repeated.entry(rpc(subject).to_owned()).or_default() += times;
    }

    /// Reduces the metrics to what the run itself caused. `Err` gives the reason if that is impossible.
    pub(super) fn subtract(
        &self,
        metrics: &mut Value,
        repeated_now: i64,
        registries: &BTreeSet<String>,
    ) -> Result<(), String> {
        let others = |id: &Value| id.as_str().is_some_and(|id| registries.iter().any(|other| other != id));
        let before_elsewhere = self
            .before
            .as_ref()
            .is_some_and(|before| before["server_id"] != metrics["server_id"]);
        if others(&metrics["server_id"]) || before_elsewhere {
            return Err("several registries answer, each with its own counters".to_owned());
        }
        if let Some(before) = &self.before {
            for path in PATHS {
                let name = path.trim_matches(['$', '.']);
                subtract_numbers(&mut metrics[name], &before[name]);
            }
        }
        let counted = self.repeated.iter().map(|(rpc, more)| (rpc.as_str(), *more));
        for (rpc, more) in counted.chain([("metrics", repeated_now)]) {
            if let Some(calls) = metrics.pointer_mut(&format!("/handlers/{rpc}/calls"))
                && let Some(number) = calls.as_i64()
            {
                *calls = (number - more).into();
            }
        }
        // A registry measures a request after its answer, so this latency comes from repeated requests only.
        let is_first = metrics.pointer("/handlers/metrics/calls") == Some(&Value::from(1));
        if repeated_now > 0
            && is_first
            && let Some(latency) = metrics["latency_ms"].as_object_mut()
        {
            // The order of the others is compared.
            latency.shift_remove("handler.metrics");
        }
        Ok(())
    }
}

fn rpc(subject: &str) -> &str {
    subject.strip_prefix("registry.").unwrap_or(subject)
}

/// Subtracts numbers at the same path.
fn subtract_numbers(now: &mut Value, before: &Value) {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => {
            for (name, now) in now.iter_mut() {
                if let Some(before) = before.get(name) {
                    subtract_numbers(now, before);
                }
            }
        }
        (now @ Value::Number(_), Value::Number(before)) => {
            if let (Some(number), Some(before)) = (now.as_i64(), before.as_i64()) {
                // A gauge may be lower than before.
                *now = (number - before).max(0).into();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn earlier_and_repeated_calls_are_subtracted() {
        let metrics = |server: &str, list: i64, metrics: i64, stored: i64| {
            let latency = if metrics > 1 {
                json!({"handler.list": 1, "handler.metrics": 1, "handler.search": 1, "handler.threads": 1})
            } else {
                json!({"handler.list": 1, "handler.search": 1, "handler.threads": 1})
            };
            json!({"server_id": server, "handlers": {"list": {"calls": list}, "metrics": {"calls": metrics}}, "latency_ms": latency,
                   "capture": {"mode": "jetstream", "stored": stored, "lag": 0}})
        };
        let mut counters = Counters::new(Some(metrics("r", 10, 1, 7)));
        counters.note_repeated("registry.list", 2);
        let mut now = metrics("r", 16, 5, 22);
        let one = BTreeSet::from(["r".to_owned()]);
        assert_eq!(counters.subtract(&mut now, 3, &one), Ok(()));
        // As text, since the order of the members is compared.
        assert_eq!(now.to_string(), metrics("r", 4, 1, 15).to_string());
        assert!(counters.subtract(&mut metrics("other", 16, 5, 22), 0, &one).is_err());
        let two = BTreeSet::from(["r", "s"].map(str::to_owned));
        assert!(counters.subtract(&mut metrics("r", 16, 5, 22), 0, &two).is_err());
        let mut alone = metrics("r", 4, 1, 15);
        assert_eq!(Counters::default().subtract(&mut alone, 0, &one), Ok(()));
        assert_eq!(alone, metrics("r", 4, 1, 15));
    }
}
