//! Claims: the named texts that a signature covers (PROTOCOL.md section 13).

use crate::json::{self, Kind, Object, ObjectWriter, Value};

/// Claims in the order in which they travel. What is signed is their canonical form, where every value is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The claims as JSON, values as text.
    json: String,
    members: Vec<Claim>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    name: String,
    /// The signed text.
    text: String,
    /// Whether it was received as something that counts as nothing, such as null, whose text is `None`.
    falsy: bool,
}

impl Claims {
    /// Of names and values. Names must differ.
    #[must_use]
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut json = ObjectWriter::with_capacity(1024);
        let members = members
            .into_iter()
            .map(|(name, value)| {
                json.text(name, value);
                Claim {
                    name: name.to_owned(),
                    text: value.to_owned(),
                    falsy: value.is_empty(),
                }
            })
            .collect();
        Self {
            json: json.finish(),
            members,
        }
    }

    /// As received: values that are not text become the text that Python would give them (`1`, `True`, `None`). `None` where
    /// the value is no object.
    #[must_use]
    pub fn read(value: &Value<'_>) -> Option<Self> {
        let object = value.as_object()?;
        Some(Self {
            json: stringified(&object),
            members: members(&object),
        })
    }

    /// The claim with this name; empty when missing, null, false or zero.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let claim = self.members.iter().find(|claim| claim.name == name && !claim.falsy);
        claim.map_or("", |claim| &claim.text)
    }

    /// As they are put on the wire.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn signed_text(&self) -> String {
        json::canonical(&Value::validated(&self.json))
    }

    /// Whether both hold the same claims, in whatever order.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let held = |claim: &Claim| {
            other
                .members
                .iter()
                .any(|known| known.name == claim.name && known.text == claim.text)
        };
        self.members.len() == other.members.len() && self.members.iter().all(held)
    }

    /// With one more claim.
    #[must_use]
    pub fn and(&self, name: &str, value: &str) -> Self {
        let all = self
            .members
            .iter()
            .map(|claim| (claim.name.as_str(), claim.text.as_str()));
        Self::new(all.chain([(name, value)]))
    }

    /// Without some of the claims.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let kept = self
            .members
            .iter()
            .filter(|claim| !names.contains(&claim.name.as_str()));
        Self::new(kept.map(|claim| (claim.name.as_str(), claim.text.as_str())))
    }
}

fn members(object: &Object<'_>) -> Vec<Claim> {
    let claim = |(name, value): (Value<'_>, Value<'_>)| Claim {
        name: name.python_text().into_owned(),
        text: value.python_text().into_owned(),
        falsy: !value.is_truthy(),
    };
    object.unique().into_iter().map(claim).collect()
}

/// The object with every value as text. Text is taken over as written, so that what Rust cannot hold (a lone surrogate) is
/// still signed as it was.
fn stringified(object: &Object<'_>) -> String {
    let members = object.unique().into_iter().map(|(name, value)| {
        let text = match value.kind() {
            Kind::String => value.raw().to_owned(),
            _ => serde_json::Value::from(value.python_text()).to_string(),
        };
        format!("{}:{text}", name.raw())
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_claims_become_text_as_python_writes_it() {
        let wire = r#"{"n":1,"t":true,"z":null,"w":1.50,"s":"\ud800","a":["x",2],"n":2}"#;
        let claims = Claims::read(&Value::parse(wire).unwrap()).unwrap();
        let signed = r#"{"a":"['x', 2]","n":"2","s":"\ud800","t":"True","w":"1.5","z":"None"}"#;
        assert_eq!(claims.signed_text(), signed);
        let read = ["n", "t", "z", "missing"].map(|name| claims.get(name));
        assert_eq!(read, ["2", "True", "", ""]);
        assert_eq!(Claims::read(&Value::NULL), None);
    }

    #[test]
    fn comparison_ignores_the_order() {
        let one = Claims::new([("a", "1"), ("b", "2")]);
        let other = Claims::new([("b", "2"), ("a", "1")]);
        assert!(one.same_as(&other));
        assert!(!one.same_as(&one.without(&["a"])));
        assert!(!one.same_as(&Claims::new([("a", "1"), ("b", "3")])));
    }
}
