//! Wire text as a Python value, in one pass over text that has been checked before.

use agentnet::RawJson;
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyType};

use crate::exceptions::bug;

/// The value: dict, list, str, int, float, bool or None, exactly as `json.loads` would give it.
///
/// # Errors
/// Python's errors: of memory, and for an integer of more digits than it converts.
pub(crate) fn to_python<'py>(py: Python<'py>, json: &RawJson) -> PyResult<Bound<'py, PyAny>> {
    let mut reader = Reader {
        py,
        text: json.get(),
        at: 0,
    };
    reader.value()
}

/// The value of a text that the SDK has written.
pub(crate) fn written(py: Python<'_>, text: String) -> PyResult<Bound<'_, PyAny>> {
    to_python(py, &RawJson::parse(text).map_err(bug)?)
}

struct Reader<'py, 'text> {
    py: Python<'py>,
    text: &'text str,
    at: usize,
}

/// Only a bug of this package leads here: RawJson is checked when it is made.
fn broken() -> PyErr {
    PyValueError::new_err("invalid JSON")
}

impl<'py> Reader<'py, '_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn value(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        match self.skip_space() {
            Some(b'"') => Ok(self.string(false)?.into_any()),
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b't') => self.word(4, true.into_pyobject(py)?.to_owned().into_any()),
            Some(b'f') => self.word(5, false.into_pyobject(py)?.to_owned().into_any()),
            Some(b'n') => self.word(4, py.None().into_bound(py)),
            Some(b'N') => self.word(3, PyFloat::new(py, f64::NAN).into_any()),
            Some(b'I') => self.word(8, PyFloat::new(py, f64::INFINITY).into_any()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(broken()),
        }
    }

    fn word(&mut self, length: usize, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.at += length;
        Ok(value)
    }

    fn array(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let list = PyList::empty(self.py);
        self.at += 1;
        if self.skip_space() == Some(b']') {
            self.at += 1;
            return Ok(list.into_any());
        }
        loop {
            list.append(self.value()?)?;
            match self.skip_space() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(broken()),
            }
        }
        self.at += 1;
        Ok(list.into_any())
    }

    fn object(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let dict = PyDict::new(self.py);
        self.at += 1;
        if self.skip_space() == Some(b'}') {
            self.at += 1;
            return Ok(dict.into_any());
        }
        loop {
            if self.skip_space() != Some(b'"') {
                return Err(broken());
            }
            let key = self.string(true)?;
            if self.skip_space() != Some(b':') {
                return Err(broken());
            }
            self.at += 1;
            let value = self.value()?;
            // Of equal names the last value counts, at the first one's place: so does a dict.
            dict.set_item(key, value)?;
            match self.skip_space() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(broken()),
            }
        }
        self.at += 1;
        Ok(dict.into_any())
    }

    fn number(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let rest = &self.text[self.at..];
        if rest.starts_with("-Infinity") {
            return self.word(9, PyFloat::new(py, f64::NEG_INFINITY).into_any());
        }
        let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let literal = &rest[..length];
        self.at += length;
        if literal.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            let float: f64 = literal.parse().map_err(|_| broken())?;
            return Ok(PyFloat::new(py, float).into_any());
        }
        match literal.parse::<i64>() {
            Ok(small) => Ok(small.into_pyobject(py)?.into_any()),
            Err(_) => PyType::new::<PyInt>(py).call1((literal,)),
        }
    }

    /// The string whose opening quote is here. Keys repeat and are shared.
    fn string(&mut self, is_key: bool) -> PyResult<Bound<'py, PyString>> {
        let start = self.at + 1;
        let rest = &self.text.as_bytes()[start..];
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\'))
            .ok_or_else(broken)?;
        let plain = &self.text[start..start + length];
        if rest[length] == b'"' {
            self.at = start + length + 1;
            return Ok(if is_key {
                shared_key(self.py, plain)
            } else {
                PyString::new(self.py, plain)
            });
        }
        self.at = start + length;
        self.escaped(plain)
    }

    /// The rest of a string after its first plain part. Lone surrogates are kept.
    fn escaped(&mut self, plain: &str) -> PyResult<Bound<'py, PyString>> {
        let mut units: Vec<u16> = plain.encode_utf16().collect();
        loop {
            let rest = &self.text[self.at..];
            let bytes = rest.as_bytes();
            match bytes.first() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let (unit, length) = match bytes.get(1).ok_or_else(broken)? {
                        b'u' => {
                            let digits = rest.get(2..6).ok_or_else(broken)?;
                            (u16::from_str_radix(digits, 16).map_err(|_| broken())?, 6)
                        }
                        b'b' => (8, 2),
                        b'f' => (12, 2),
                        b'n' => (10, 2),
                        b'r' => (13, 2),
                        b't' => (9, 2),
                        other => (u16::from(*other), 2),
                    };
                    units.push(unit);
                    self.at += length;
                }
                Some(_) => {
                    let length = bytes
                        .iter()
                        .position(|byte| matches!(byte, b'"' | b'\\'))
                        .ok_or_else(broken)?;
                    units.extend(rest[..length].encode_utf16());
                    self.at += length;
                }
                None => return Err(broken()),
            }
        }
        self.at += 1;
        match String::from_utf16(&units) {
            Ok(text) => Ok(PyString::new(self.py, &text)),
            Err(_) => with_lone_surrogates(self.py, &units),
        }
    }
}

fn with_lone_surrogates<'py>(py: Python<'py>, units: &[u16]) -> PyResult<Bound<'py, PyString>> {
    let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let text = PyBytes::new(py, &bytes).call_method1(intern!(py, "decode"), ("utf-16-le", "surrogatepass"))?;
    Ok(text.cast_into::<PyString>()?)
}

/// A key's text and its Python object.
type Known = (Box<str>, Py<PyString>);

/// The cache of keys.
static KEYS: Mutex<Vec<Option<Known>>> = Mutex::new(Vec::new());
/// The number of keys in it; a power of two.
const KEY_CACHE_SIZE: usize = 256;
/// Longer keys are not cached.
const MAX_KEY_LEN: usize = 32;

fn shared_key<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyString> {
    // A finalizer can read a message while the lock is held; it does without the cache.
    let (1..=MAX_KEY_LEN, Some(mut keys)) = (text.len(), KEYS.try_lock()) else {
        return PyString::new(py, text);
    };
    if keys.is_empty() {
        keys.resize_with(KEY_CACHE_SIZE, || None);
    }
    let hash = text.bytes().fold(text.len(), |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    let place = &mut keys[hash % KEY_CACHE_SIZE];
    match place {
        Some((known, key)) if **known == *text => key.bind(py).clone(),
        _ => {
            let key = PyString::new(py, text);
            let old = place.replace((text.into(), key.clone().unbind()));
            drop(keys);
            drop(old);
            key
        }
    }
}
