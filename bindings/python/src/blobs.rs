//! The node's blob store (PROTOCOL.md section 5.5). References are dicts here, `BlobRef` in Python.

use agentnet::{BlobError, BlobKey, BlobRef, BlobStore, RawJson};
use futures::future::BoxFuture;
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::bridge::{Reporter, submit_reporting};
use crate::failure::Raise as _;
use crate::json;
use crate::node::Node;
use crate::runtime::network;

/// The blobs of a node. Every call comes in two forms: a future for the running loop, or a result that is waited for on the
/// spot, as the original's calls are.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct Blobs {
    place: Place,
}

/// Whose blobs they are.
enum Place {
    Node(agentnet::AgentNode),
    Local(BlobStore),
}

type Outcome<T> = Result<T, BlobError>;

/// Gives a future, or waits here without holding up other Python threads.
fn complete<'py, T: Send + 'static>(
    py: Python<'py>,
    wait: bool,
    future: BoxFuture<'static, Outcome<T>>,
    finish: fn(Python<'_>, T) -> PyResult<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    complete_reporting(py, wait, None, |_| future, finish)
}

/// The same for a future that says how far it is; `progress` is only called where nobody waits on the spot.
fn complete_reporting<'py, T: Send + 'static>(
    py: Python<'py>,
    wait: bool,
    progress: Option<Py<PyAny>>,
    future: impl FnOnce(Option<Reporter>) -> BoxFuture<'static, Outcome<T>>,
    finish: fn(Python<'_>, T) -> PyResult<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let finished = move |py: Python<'_>, outcome: Outcome<T>| match outcome {
        Ok(value) => finish(py, value),
        Err(error) => Err(error.raise(py)),
    };
    if !wait {
        let is_told = progress.is_some();
        return submit_reporting(py, progress, |to| future(is_told.then_some(to)), finished);
    }
    let future = future(None);
    let network = network()?;
    // In a task of the runtime: this thread only waits.
    let outcome = py.detach(|| {
        let (done, outcome) = std::sync::mpsc::channel();
        network.spawn(async move {
            let _ = done.send(future.await);
        });
        network.call_keeper();
        outcome.recv()
    });
    finished(py, outcome.map_err(crate::failure::bug)?).map(|value| value.into_bound(py))
}

fn reference(py: Python<'_>, blob: BlobRef) -> PyResult<Py<PyAny>> {
    json::to_python(py, &blob.to_payload()).map(Bound::unbind)
}

/// A blob by its id or by its reference.
fn key(blob: &Bound<'_, PyAny>) -> PyResult<BlobKey> {
    if let Ok(id) = blob.cast::<PyString>() {
        return Ok(BlobKey::from(id.to_str()?));
    }
    let payload = json::from_python(blob)?;
    match BlobRef::parse(&payload.view()) {
        Ok(Some(blob)) => Ok(blob.into()),
        Ok(None) => Err(PyValueError::new_err("a blob is given by its id or by its reference")),
        Err(error) => Err(PyValueError::new_err(error.to_string())),
    }
}

impl Blobs {
    fn store(&self) -> PyResult<BlobStore> {
        match &self.place {
            // The network's store is made where there is a runtime.
            Place::Node(node) => Ok(network()?.within(|| node.blobs())),
            Place::Local(store) => Ok(store.clone()),
        }
    }
}

#[pymethods]
impl Blobs {
    #[staticmethod]
    fn of(node: &Node) -> Self {
        Self {
            place: Place::Node(node.node().clone()),
        }
    }

    /// Those in a directory.
    #[staticmethod]
    fn local(directory: std::path::PathBuf) -> Self {
        Self {
            place: Place::Local(BlobStore::local(directory)),
        }
    }

    /// Stores bytes, or the file at a path.
    #[pyo3(signature = (wait, bytes, path, filename, mime_type, metadata, progress = None))]
    #[expect(clippy::too_many_arguments, reason = "the Python face names them")]
    fn put<'py>(
        &self,
        py: Python<'py>,
        wait: bool,
        bytes: Option<Vec<u8>>,
        path: Option<std::path::PathBuf>,
        filename: Option<String>,
        mime_type: Option<String>,
        metadata: Option<Bound<'py, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let store = self.store()?;
        let mut put = match (bytes, path) {
            (Some(bytes), _) => store.put_bytes(bytes),
            (None, Some(path)) => store.put_file(path),
            (None, None) => return Err(crate::failure::bug("neither bytes nor a path")),
        };
        if let Some(filename) = filename {
            put = put.filename(filename);
        }
        if let Some(mime_type) = mime_type {
            put = put.mime_type(mime_type);
        }
        if let Some(metadata) = metadata {
            let metadata: RawJson = json::from_python(&metadata)?;
            put = put.metadata(metadata);
        }
        let begun = |to: Option<Reporter>| match to {
            Some(to) => put.progress(move |done, total| to.tell(done, total)).into_future(),
            None => put.into_future(),
        };
        complete_reporting(py, wait, progress, begun, reference)
    }

    #[pyo3(signature = (wait, blob, progress = None))]
    fn get_bytes<'py>(
        &self,
        py: Python<'py>,
        wait: bool,
        blob: &Bound<'py, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let get = self.store()?.get_bytes(key(blob)?);
        let begun = |to: Option<Reporter>| match to {
            Some(to) => get.progress(move |done, total| to.tell(done, total)).into_future(),
            None => get.into_future(),
        };
        complete_reporting(py, wait, progress, begun, |py, bytes| {
            PyBytes::new(py, &bytes).into_py_any(py)
        })
    }

    #[pyo3(signature = (wait, blob, path, progress = None))]
    fn get_to_file<'py>(
        &self,
        py: Python<'py>,
        wait: bool,
        blob: &Bound<'py, PyAny>,
        path: std::path::PathBuf,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let get = self.store()?.get_to_file(key(blob)?, path);
        let begun = |to: Option<Reporter>| match to {
            Some(to) => get.progress(move |done, total| to.tell(done, total)).into_future(),
            None => get.into_future(),
        };
        complete_reporting(py, wait, progress, begun, reference)
    }

    fn head<'py>(&self, py: Python<'py>, wait: bool, blob: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (store, key) = (self.store()?, key(blob)?);
        let head = Box::pin(async move { store.head(key).await });
        complete(py, wait, head, |py, found| match found {
            Some(blob) => reference(py, blob),
            None => Ok(py.None()),
        })
    }

    fn delete<'py>(&self, py: Python<'py>, wait: bool, blob: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (store, key) = (self.store()?, key(blob)?);
        let delete = Box::pin(async move { store.delete(key).await });
        complete(py, wait, delete, |py, deleted| deleted.into_py_any(py))
    }
}
