//! Declares the records of replies. [`record!`] gives a struct its wire form: its fields are the members, in their order.
//!
//! The type of a field decides how it is written and read ([`ByType`]); `as` names another [`Codec`]. [`reply!`] makes a record
//! the reply to an RPC.

use std::collections::BTreeMap;

use super::{array, count, float, object_or_empty, objects, opt_owned, owned, texts};
use crate::RawJson;
use crate::json::{Object, ObjectWriter, ascii};
use crate::signing_scope::SigningScope;

/// A struct whose wire form is a JSON object.
pub(super) trait Record: Sized {
    /// Writes the members.
    fn write(&self, out: &mut ObjectWriter);

    /// Reads the members; one that is missing or unusable gets its default.
    fn read(object: &Object<'_>) -> Self;

    /// The wire text.
    fn to_json(&self) -> String {
        let mut out = ObjectWriter::new();
        self.write(&mut out);
        out.finish()
    }
}

/// The name of a field's member: a field may be named by a keyword, as in `r#type`.
pub(super) fn member(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// How a field of a record is written and read.
pub(super) trait Codec<T> {
    /// Writes the member.
    fn write(value: &T, name: &str, out: &mut ObjectWriter);

    /// Reads the member.
    fn read(object: &Object<'_>, name: &str) -> T;
}

/// Declares a struct and implements [`Record`] for it.
macro_rules! record {
    (
        $(#[$attribute:meta])*
        pub struct $record:ident {
            $($(#[$doc:meta])* pub $field:ident: $type:ty $(as $codec:ty)?),* $(,)?
        }
    ) => {
        $(#[$attribute])*
        pub struct $record {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $crate::rpc::record::Record for $record {
            fn write(&self, out: &mut $crate::json::ObjectWriter) {
                $(<$crate::rpc::record::codec!($($codec)?) as $crate::rpc::record::Codec<$type>>::write(
                    &self.$field,
                    $crate::rpc::record::member(stringify!($field)),
                    out,
                );)*
            }

            fn read(object: &$crate::json::Object<'_>) -> Self {
                Self {
                    $($field: <$crate::rpc::record::codec!($($codec)?) as $crate::rpc::record::Codec<$type>>::read(
                        object,
                        $crate::rpc::record::member(stringify!($field)),
                    ),)*
                }
            }
        }
    };
}
pub(super) use record;

/// The codec of a field: the one that is named, else [`ByType`].
macro_rules! codec {
    () => {
        $crate::rpc::record::ByType
    };
    ($codec:ty) => {
        $codec
    };
}
pub(super) use codec;

/// Implements [`Reply`](super::Reply) for a record: with the members that every such reply has, and the texts that must not be
/// empty.
macro_rules! reply {
    ($reply:ty, [$($member:literal),+] $(, not_empty: $($field:ident),+)?) => {
        impl $crate::rpc::Reply for $reply {
            const MEMBERS: &'static [&'static str] = &[$($member),+];

            fn encode(&self) -> String {
                $crate::rpc::record::Record::to_json(self)
            }

            fn decode(object: &$crate::json::Object<'_>) -> Result<Self, $crate::DecodeError> {
                let reply: Self = $crate::rpc::record::Record::read(object);
                $($(if reply.$field.is_empty() {
                    return Err($crate::DecodeError::Member {
                        member: stringify!($field),
                        problem: "is missing",
                    });
                })+)?
                Ok(reply)
            }
        }
    };
}
pub(super) use reply;

/// The codec of most fields. An optional text is `null` when absent; other optional members are left out.
pub(super) struct ByType;

impl Codec<String> for ByType {
    fn write(value: &String, name: &str, out: &mut ObjectWriter) {
        out.text(name, value);
    }

    fn read(object: &Object<'_>, name: &str) -> String {
        owned(object.get(name))
    }
}

impl Codec<Option<String>> for ByType {
    fn write(value: &Option<String>, name: &str, out: &mut ObjectWriter) {
        out.nullable_text(name, value.as_deref());
    }

    fn read(object: &Object<'_>, name: &str) -> Option<String> {
        opt_owned(object.get(name))
    }
}

impl Codec<Vec<String>> for ByType {
    fn write(value: &Vec<String>, name: &str, out: &mut ObjectWriter) {
        out.texts(name, value);
    }

    fn read(object: &Object<'_>, name: &str) -> Vec<String> {
        texts(object.get(name))
    }
}

impl Codec<bool> for ByType {
    fn write(value: &bool, name: &str, out: &mut ObjectWriter) {
        out.bool(name, *value);
    }

    fn read(object: &Object<'_>, name: &str) -> bool {
        object.get(name).is_truthy()
    }
}

impl Codec<i64> for ByType {
    fn write(value: &i64, name: &str, out: &mut ObjectWriter) {
        out.int(name, *value);
    }

    fn read(object: &Object<'_>, name: &str) -> i64 {
        count(object.get(name))
    }
}

impl Codec<Option<i64>> for ByType {
    fn write(value: &Option<i64>, name: &str, out: &mut ObjectWriter) {
        if let Some(value) = value {
            out.int(name, *value);
        }
    }

    fn read(object: &Object<'_>, name: &str) -> Option<i64> {
        let value = object.get(name).int().ok().flatten()?;
        i64::try_from(value).ok()
    }
}

impl Codec<usize> for ByType {
    fn write(value: &usize, name: &str, out: &mut ObjectWriter) {
        out.int(name, *value as u64);
    }

    fn read(object: &Object<'_>, name: &str) -> usize {
        usize::try_from(count(object.get(name))).unwrap_or(0)
    }
}

impl Codec<f64> for ByType {
    fn write(value: &f64, name: &str, out: &mut ObjectWriter) {
        out.float(name, *value);
    }

    fn read(object: &Object<'_>, name: &str) -> f64 {
        float(object.get(name)).unwrap_or(0.0)
    }
}

/// A JSON object; anything else is read as an empty one.
impl Codec<RawJson> for ByType {
    fn write(value: &RawJson, name: &str, out: &mut ObjectWriter) {
        out.raw(name, &ascii(value.get()));
    }

    fn read(object: &Object<'_>, name: &str) -> RawJson {
        object_or_empty(object.get(name))
    }
}

/// Any JSON value; left out when absent, and `null` is absent.
impl Codec<Option<RawJson>> for ByType {
    fn write(value: &Option<RawJson>, name: &str, out: &mut ObjectWriter) {
        if let Some(value) = value {
            out.raw(name, &ascii(value.get()));
        }
    }

    fn read(object: &Object<'_>, name: &str) -> Option<RawJson> {
        let value = object.get(name);
        (!value.is_null()).then(|| RawJson::validated(value.raw().into()))
    }
}

/// Left out where nothing is signed.
impl Codec<SigningScope> for ByType {
    fn write(value: &SigningScope, name: &str, out: &mut ObjectWriter) {
        if !value.is_none() {
            out.text(name, &value.to_string());
        }
    }

    fn read(object: &Object<'_>, name: &str) -> SigningScope {
        SigningScope::parse(&object.get(name).text())
    }
}

impl<R: Record> Codec<Vec<R>> for ByType {
    fn write(value: &Vec<R>, name: &str, out: &mut ObjectWriter) {
        out.raw(name, &array(value.iter().map(R::to_json)));
    }

    fn read(object: &Object<'_>, name: &str) -> Vec<R> {
        objects(object.get(name)).map(|item| R::read(&item)).collect()
    }
}

impl<R: Record> Codec<Option<R>> for ByType {
    fn write(value: &Option<R>, name: &str, out: &mut ObjectWriter) {
        if let Some(record) = value {
            out.raw(name, &record.to_json());
        }
    }

    fn read(object: &Object<'_>, name: &str) -> Option<R> {
        object.get(name).as_object().map(|record| R::read(&record))
    }
}

/// An object whose members are records; others are ignored.
impl<R: Record> Codec<BTreeMap<String, R>> for ByType {
    fn write(value: &BTreeMap<String, R>, name: &str, out: &mut ObjectWriter) {
        let mut members = ObjectWriter::new();
        for (name, record) in value {
            members.raw(name, &record.to_json());
        }
        out.raw(name, &members.finish());
    }

    fn read(object: &Object<'_>, name: &str) -> BTreeMap<String, R> {
        let members = object.get(name).as_object();
        let members = members.map(|members| members.unique()).unwrap_or_default();
        members
            .into_iter()
            .filter_map(|(name, value)| Some((owned(name), R::read(&value.as_object()?))))
            .collect()
    }
}

/// An optional text that is left out when absent.
pub(super) struct Omitted;

impl Codec<Option<String>> for Omitted {
    fn write(value: &Option<String>, name: &str, out: &mut ObjectWriter) {
        out.opt_text(name, value.as_deref());
    }

    fn read(object: &Object<'_>, name: &str) -> Option<String> {
        opt_owned(object.get(name))
    }
}

/// A flag that is left out unless it is set.
pub(super) struct IfTrue;

impl Codec<bool> for IfTrue {
    fn write(value: &bool, name: &str, out: &mut ObjectWriter) {
        if *value {
            out.bool(name, true);
        }
    }

    fn read(object: &Object<'_>, name: &str) -> bool {
        object.get(name).raw() == "true"
    }
}

/// A number with this default.
pub(super) struct FloatOr<const DEFAULT: u32>;

impl<const DEFAULT: u32> Codec<f64> for FloatOr<DEFAULT> {
    fn write(value: &f64, name: &str, out: &mut ObjectWriter) {
        out.float(name, *value);
    }

    fn read(object: &Object<'_>, name: &str) -> f64 {
        float(object.get(name)).unwrap_or(f64::from(DEFAULT))
    }
}

/// A record as a member; read as an empty object where the member is no object.
pub(super) struct Nested;

impl<R: Record> Codec<R> for Nested {
    fn write(value: &R, name: &str, out: &mut ObjectWriter) {
        out.raw(name, &value.to_json());
    }

    fn read(object: &Object<'_>, name: &str) -> R {
        R::read(&object.get(name).as_object().unwrap_or_default())
    }
}

/// A record whose members stand among those of the outer record.
pub(super) struct Flattened;

impl<R: Record> Codec<R> for Flattened {
    fn write(value: &R, _: &str, out: &mut ObjectWriter) {
        value.write(out);
    }

    fn read(object: &Object<'_>, _: &str) -> R {
        R::read(object)
    }
}
