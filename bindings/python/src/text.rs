//! Python texts where UTF-8 is needed. A `str` may hold half of a surrogate pair (a file name that is no UTF-8, read by
//! `os.fsdecode`), for which UTF-8 has no form.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A text that is only for people, with `\u{fffd}` for what cannot be said.
pub(crate) fn spoken(text: &Bound<'_, PyString>) -> String {
    text.to_string_lossy().into_owned()
}

/// A text that means something: a name, an id. What is no text, such as a number, is taken as `str` gives it.
pub(crate) struct Words(pub(crate) String);

impl<'py> FromPyObject<'_, 'py> for Words {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let made;
        let text = match value.cast::<PyString>() {
            Ok(text) => text,
            Err(_) if value.is_none() || value.is_instance_of::<PyBytes>() => {
                let name = value.get_type().name()?;
                return Err(PyTypeError::new_err(format!("expected a text, not {name}")));
            }
            Err(_) => {
                made = value.str()?;
                made.as_borrowed()
            }
        };
        match text.to_str() {
            Ok(text) => Ok(Self(text.to_owned())),
            Err(_) => Err(PyValueError::new_err(format!(
                "{} holds a lone surrogate, which is no text that can be sent: take `os.fsencode`, or \
                 `.encode(errors='replace').decode()`",
                value.repr()?.to_string_lossy()
            ))),
        }
    }
}
