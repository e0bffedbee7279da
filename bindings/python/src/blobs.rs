//! The node's blob store (PROTOCOL.md section 5.5). References are dicts here, `BlobRef` in Python.

use agentnet::{BlobError, BlobKey, BlobRef, BlobStore, RawJson};
use futures::future::BoxFuture;
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::calls::{ProgressReporter, submit_reporting};
use crate::exceptions::Raise as _;
use crate::json;
use crate::node::Node;
use crate::runtime::network;

/// The blobs of a node. Every call has two forms: it returns a future of the running loop, or it blocks until the result is there,
/// as the calls of the Python implementation (agentnet-realm 0.1.1) do.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct Blobs {
    store: StoreSource,
}

/// Where the blobs are.
enum StoreSource {
    Node(agentnet::AgentNode),
    Local(BlobStore),
}

type BlobResult<T> = Result<T, BlobError>;

/// Returns a future, or blocks without blocking other Python threads.
fn complete<'py, T: Send + 'static>(
    py: Python<'py>,
    wait: bool,
    future: BoxFuture<'static, BlobResult<T>>,
    finish: fn(Python<'_>, T) -> PyResult<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    complete_reporting(py, wait, None, |_| future, finish)
}

/// The same for a future that reports its progress; `progress` is not called by the form that blocks.
fn complete_reporting<'py, T: Send + 'static>(
    py: Python<'py>,
    wait: bool,
    progress: Option<Py<PyAny>>,
    future: impl FnOnce(Option<ProgressReporter>) -> BoxFuture<'static, BlobResult<T>>,
    finish: fn(Python<'_>, T) -> PyResult<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let finished = move |py: Python<'_>, outcome: BlobResult<T>| match outcome {
        Ok(value) => finish(py, value),
        Err(error) => Err(error.raise(py)),
    };
    if !wait {
        let has_progress = progress.is_some();
        return submit_reporting(py, progress, |to| future(has_progress.then_some(to)), finished);
    }
    let future = future(None);
    let network = network()?;
    // The runtime does the work; this thread only waits.
    let outcome = py.detach(|| {
        let (done, outcome) = std::sync::mpsc::channel();
        network.spawn(async move {
            let _ = done.send(future.await);
        });
        network.request_standby();
        outcome.recv()
    });
    finished(py, outcome.map_err(crate::exceptions::bug)?).map(|value| value.into_bound(py))
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
        match &self.store {
            // The network's store needs the runtime when it is made.
            StoreSource::Node(node) => Ok(network()?.within(|| node.blobs())),
            StoreSource::Local(store) => Ok(store.clone()),
        }
    }
}

#[pymethods]
impl Blobs {
    #[staticmethod]
    fn of(node: &Node) -> Self {
        Self {
            store: StoreSource::Node(node.node().clone()),
        }
    }

    /// The blobs in a directory.
    #[staticmethod]
    fn local(directory: std::path::PathBuf) -> Self {
        Self {
            store: StoreSource::Local(BlobStore::local(directory)),
        }
    }

    /// Stores bytes, or the file at a path.
    #[pyo3(signature = (wait, bytes, path, filename, mime_type, metadata, progress = None))]
    #[expect(clippy::too_many_arguments, reason = "the Python part names them")]
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
            (None, None) => return Err(crate::exceptions::bug("neither bytes nor a path")),
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
        let begun = |to: Option<ProgressReporter>| match to {
            Some(to) => put.progress(move |done, total| to.report(done, total)).into_future(),
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
        let begun = |to: Option<ProgressReporter>| match to {
            Some(to) => get.progress(move |done, total| to.report(done, total)).into_future(),
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
        let begun = |to: Option<ProgressReporter>| match to {
            Some(to) => get.progress(move |done, total| to.report(done, total)).into_future(),
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
