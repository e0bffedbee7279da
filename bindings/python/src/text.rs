//! Python strings as UTF-8. A `str` may contain a lone surrogate, which UTF-8 cannot encode: `os.fsdecode` makes them of file
//! names that are not UTF-8.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A text for people, with `\u{fffd}` for what UTF-8 cannot encode.
pub(crate) fn lossy_text(text: &Bound<'_, PyString>) -> String {
    text.to_string_lossy().into_owned()
}

/// An argument such as a name or an id. A value that is not a string, such as a number, is converted by `str`.
pub(crate) struct TextArgument(pub(crate) String);

impl<'py> FromPyObject<'_, 'py> for TextArgument {
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
