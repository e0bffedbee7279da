//! Counters of an agent's own work, sent with its hello (PROTOCOL.md section 0.10).

use crate::json::{Kind, Object, ObjectWriter, Value};

/// An agent's counters at the moment of a hello. They are the added member `counters` of the hello's body, not a part of its
/// `metadata`: registries do not read or keep them, so that they cost no write.
///
/// Counts are since the agent's process began, unless stated otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AgentCounters {
    /// Handlers running now.
    pub inflight: u64,
    /// Accepted messages that wait for a handler now.
    pub pending: u64,
    /// Messages handled without failure.
    pub processed: u64,
    /// Handlers that failed or took too long.
    pub errors: u64,
    /// Messages refused, for whatever reason.
    pub rejected: u64,
    /// Sends that were repeated.
    pub retries: u64,
    /// Whether the circuit breaker refuses all work now.
    pub circuit_open: bool,
    /// Mean time in a handler, in milliseconds.
    pub avg_handle_ms: f64,
}

impl AgentCounters {
    /// The name of the member.
    pub const MEMBER: &'static str = "counters";

    /// The counters of a hello; `None` where it has none. Members that are missing or no numbers are 0.
    #[must_use]
    pub fn of(hello: &Object<'_>) -> Option<Self> {
        let counters = hello.get(Self::MEMBER).as_object()?;
        let count = |name| count(counters.get(name));
        Some(Self {
            inflight: count("inflight"),
            pending: count("pending"),
            processed: count("processed"),
            errors: count("errors"),
            rejected: count("rejected"),
            retries: count("retries"),
            circuit_open: counters.get("circuit_open").is_truthy(),
            avg_handle_ms: milliseconds(counters.get("avg_handle_ms")),
        })
    }

    /// Adds the member to a hello.
    pub fn write(&self, hello: &mut ObjectWriter) {
        let mut out = ObjectWriter::with_capacity(160);
        out.int("inflight", self.inflight)
            .int("pending", self.pending)
            .int("processed", self.processed)
            .int("errors", self.errors)
            .int("rejected", self.rejected)
            .int("retries", self.retries)
            .bool("circuit_open", self.circuit_open)
            .float("avg_handle_ms", self.avg_handle_ms);
        hello.raw(Self::MEMBER, &out.finish());
    }
}

/// Below zero counts as zero, an infinite number as none.
fn count(value: Value<'_>) -> u64 {
    let number = value.int().ok().flatten().unwrap_or(0);
    u64::try_from(number.max(0)).unwrap_or(u64::MAX)
}

fn milliseconds(value: Value<'_>) -> f64 {
    let number = match value.kind() {
        Kind::Integer(text) | Kind::Float(text) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    };
    if f64::is_finite(number) { number.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AgentInfo;

    fn read(hello: &str) -> Option<AgentCounters> {
        AgentCounters::of(&Value::parse(hello).unwrap().as_object().unwrap())
    }

    #[test]
    fn counters_come_back_as_they_were_and_the_rest_of_the_hello_too() {
        let counters = AgentCounters {
            inflight: 3,
            pending: 40,
            processed: u64::MAX,
            errors: 2,
            rejected: 5,
            retries: 1,
            circuit_open: true,
            avg_handle_ms: 1.25,
        };
        let agent = AgentInfo {
            agent_id: "a".into(),
            name: "A".into(),
            metadata: crate::RawJson::empty_object(),
            ..AgentInfo::default()
        };
        let mut out = ObjectWriter::new();
        agent.write(&mut out);
        counters.write(&mut out);
        let hello = out.finish();
        assert_eq!(read(&hello), Some(counters), "{hello}");
        let object = Value::parse(&hello).unwrap().as_object().unwrap();
        assert_eq!(AgentInfo::decode(&object), Ok(agent));
    }

    #[test]
    fn what_is_missing_or_senseless_is_zero() {
        for (hello, expected) in [
            (r#"{"agent_id":"a"}"#, None),
            (r#"{"counters":null}"#, None),
            (r#"{"counters":[1]}"#, None),
            (r#"{"counters":{}}"#, Some(AgentCounters::default())),
            (
                r#"{"counters":{"inflight":"7","pending":-1,"processed":1e400,"errors":[],"circuit_open":1,"avg_handle_ms":"x"}}"#,
                Some(AgentCounters {
                    inflight: 7,
                    circuit_open: true,
                    ..AgentCounters::default()
                }),
            ),
        ] {
            assert_eq!(read(hello), expected, "{hello}");
        }
    }
}
