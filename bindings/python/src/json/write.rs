//! A Python value as wire text: what `json.dumps(value, separators=(",", ":"))` writes, byte for byte.

use agentnet::RawJson;
use agentnet::protocol::json::float_text;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use super::MAX_DEPTH;

/// The wire text of a value.
///
/// # Errors
/// `TypeError` for a value that is not JSON, `ValueError` for one that is nested too deeply or contains itself, and for integers
/// of more digits than Python converts.
pub(crate) fn from_python(value: &Bound<'_, PyAny>) -> PyResult<RawJson> {
    let mut writer = Writer {
        out: String::with_capacity(128),
        depth: 0,
    };
    writer.value(value)?;
    // The check costs little and holds the promise that RawJson is JSON.
    RawJson::parse(writer.out).map_err(|error| PyValueError::new_err(error.to_string()))
}

struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    fn value(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.text(text)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.object(dict)
        } else if value.is_none() {
            self.out.push_str("null");
            Ok(())
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            self.out.push_str(if truth.is_true() { "true" } else { "false" });
            Ok(())
        } else if value.is_exact_instance_of::<PyInt>() {
            self.integer(value)
        } else if let Ok(float) = value.cast_exact::<PyFloat>() {
            self.out.push_str(&float_text(float.value()));
            Ok(())
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.array(list.iter())
        } else {
            self.derived(value)
        }
    }

    /// Data classes, which become what `dataclasses.asdict` returns; subclasses, which `json.dumps` writes as their base class;
    /// and tuples.
    fn derived(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(fields) = data_class(value)? {
            // Its fields may be data classes too.
            self.value(&fields)
        } else if let Ok(text) = value.cast::<PyString>() {
            self.text(text)
        } else if value.is_instance_of::<PyInt>() {
            self.integer(value)
        } else if let Ok(float) = value.cast::<PyFloat>() {
            self.out.push_str(&float_text(float.value()));
            Ok(())
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.array(tuple.iter())
        } else if let Ok(list) = value.cast::<PyList>() {
            self.array(list.iter())
        } else if let Ok(dict) = value.cast::<PyDict>() {
            self.object(dict)
        } else {
            let name = value.get_type().name()?;
            Err(PyTypeError::new_err(format!(
                "Object of type {name} is not JSON serializable"
            )))
        }
    }

    fn enter(&mut self) -> PyResult<()> {
        if self.depth == MAX_DEPTH {
            return Err(PyValueError::new_err(
                "Circular reference detected, or more than 990 levels of lists and dicts",
            ));
        }
        self.depth += 1;
        Ok(())
    }

    fn array<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<()> {
        self.enter()?;
        self.out.push('[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.value(&item)?;
        }
        self.out.push(']');
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        self.enter()?;
        self.out.push('{');
        for (index, (key, value)) in dict.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            match key.cast_exact::<PyString>() {
                Ok(text) => self.text(text)?,
                Err(_) => self.key(&key)?,
            }
            self.out.push(':');
            self.value(&value)?;
        }
        self.out.push('}');
        self.depth -= 1;
        Ok(())
    }

    /// A key that is not a plain `str`; numbers, booleans and None become text, as in `json.dumps`.
    fn key(&mut self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = key.cast::<PyString>() {
            return self.text(text);
        }
        let is_scalar = key.is_none() || key.is_instance_of::<PyInt>() || key.is_instance_of::<PyFloat>();
        if !is_scalar {
            let name = key.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "keys must be str, int, float, bool or None, not {name}"
            )));
        }
        self.out.push('"');
        self.value(key)?;
        self.out.push('"');
        Ok(())
    }

    fn integer(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        use std::fmt::Write as _;
        if let Ok(small) = value.extract::<i64>() {
            // Writing to a String cannot fail.
            let _ = write!(self.out, "{small}");
            return Ok(());
        }
        let py = value.py();
        // Not the subclass's own repr, as `json.dumps` has it too.
        let digits = PyType::new::<PyInt>(py).call_method1(intern!(py, "__repr__"), (value,))?;
        self.out.push_str(digits.cast::<PyString>()?.to_str()?);
        Ok(())
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> PyResult<()> {
        self.out.push('"');
        match text.to_str() {
            Ok(text) => self.escaped(text),
            // Lone surrogates, which UTF-8 has no form for.
            Err(_) => {
                let py = text.py();
                let bytes = text.call_method1(intern!(py, "encode"), ("utf-16-le", "surrogatepass"))?;
                for unit in bytes.cast::<PyBytes>()?.as_bytes().chunks_exact(2) {
                    self.unit(u16::from_le_bytes([unit[0], unit[1]]));
                }
            }
        }
        self.out.push('"');
        Ok(())
    }

    fn escaped(&mut self, text: &str) {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if text.bytes().all(is_plain) {
            return self.out.push_str(text);
        }
        for unit in text.encode_utf16() {
            self.unit(unit);
        }
    }

    fn unit(&mut self, unit: u16) {
        use std::fmt::Write as _;
        match unit {
            0x22 => self.out.push_str("\\\""),
            0x5c => self.out.push_str("\\\\"),
            0x0a => self.out.push_str("\\n"),
            0x0d => self.out.push_str("\\r"),
            0x09 => self.out.push_str("\\t"),
            0x0c => self.out.push_str("\\f"),
            0x08 => self.out.push_str("\\b"),
            0x20..=0x7e => self.out.push(char::from(unit as u8)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(self.out, "\\u{unit:04x}");
            }
        }
    }
}

/// The fields of a data class's instance as a dict, those of the data classes within it included.
fn data_class<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    if !value.get_type().hasattr(intern!(py, "__dataclass_fields__"))? {
        return Ok(None);
    }
    static AS_DICT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    AS_DICT.import(py, "dataclasses", "asdict")?.call1((value,)).map(Some)
}
