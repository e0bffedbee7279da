//! Streams: answers that are read or sent piece by piece (docs/STREAMING_PROTOCOL.md).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentnet::{
    Delta, OpenStream, ReplyStream, SendError, Sent, StreamError, StreamExt as _, StreamReply, StreamSender,
};
use futures::FutureExt as _;
use parking_lot::MutexGuard;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use tokio::sync::Mutex;

use crate::calls::{submit, submit_or_finish};
use crate::exceptions::{Raise as _, exception};
use crate::json;
use crate::message::AgentMessage;
use crate::node::Node;
use crate::options::{Options, TargetKind, apply, duration};
use crate::text::{TextArgument, lossy_text};

/// The largest number of pieces that one call returns.
const MAX_PIECES_PER_CALL: usize = 128;

/// An answer that is read piece by piece.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct Answer {
    stream: Arc<Mutex<Option<ReplyStream>>>,
    sent: Sent,
}

#[pymethods]
impl Answer {
    /// Sends the request; the result is the answer, of which no piece has come yet.
    #[staticmethod]
    #[expect(
        clippy::too_many_arguments,
        reason = "two more than a send: the timeouts, which every such request has"
    )]
    fn ask<'py>(
        py: Python<'py>,
        node: &Node,
        target_kind: u8,
        to: TextArgument,
        payload: &Bound<'py, PyAny>,
        kind: Option<TextArgument>,
        timeout: f64,
        idle_timeout: f64,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options::read(kind, options)?;
        let payload = json::from_python(payload)?;
        let node = node.present(py)?;
        let request = match TargetKind::try_from(target_kind)? {
            TargetKind::Text => node.request_stream(to.0, payload),
            TargetKind::Account => node.request_stream_account(to.0, payload),
            TargetKind::Username => node.request_stream_username(to.0, payload),
            TargetKind::Capability => node.request_stream_capability(to.0, payload),
        };
        let request = apply!(request, options)
            .timeout(duration(timeout))
            .idle_timeout(duration(idle_timeout));
        submit(py, request.into_future(), |py, stream| match stream {
            Ok(stream) => {
                let answer = Self {
                    sent: stream.request().clone(),
                    stream: Arc::new(Mutex::new(Some(stream))),
                };
                answer.into_py_any(py)
            }
            Err(error) => Err(error.raise(py)),
        })
    }

    #[getter]
    fn message_id(&self) -> &str {
        &self.sent.message_id
    }

    #[getter]
    fn thread_id(&self) -> &str {
        &self.sent.thread_id
    }

    #[getter]
    fn trace_id(&self) -> &str {
        &self.sent.trace_id
    }

    /// The next pieces, at least one, as pairs of number and value, and whether the stream has ended; None after the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stream = self.stream.clone();
        let pieces = async move {
            let mut stream = stream.lock().await;
            let Some(stream) = &mut *stream else {
                return (Vec::new(), None, true);
            };
            let mut pieces: Vec<Delta> = Vec::new();
            let mut next = stream.next().await;
            loop {
                match next {
                    Some(Ok(piece)) => pieces.push(piece),
                    Some(Err(error)) => return (pieces, Some(error), false),
                    None => return (pieces, None, true),
                }
                if pieces.len() == MAX_PIECES_PER_CALL {
                    return (pieces, None, false);
                }
                match stream.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => return (pieces, None, false),
                }
            }
        };
        submit(
            py,
            pieces,
            |py, (pieces, error, ended): (Vec<Delta>, Option<StreamError>, bool)| {
                if pieces.is_empty() {
                    return match error {
                        Some(error) => Err(error.raise(py)),
                        None => Ok(py.None()),
                    };
                }
                let list = PyList::empty(py);
                for piece in pieces {
                    list.append((piece.seq, json::to_python(py, &piece.value)?))?;
                }
                // An error that follows pieces is raised after them, by `finish`, which keeps it.
                (list, ended).into_py_any(py)
            },
        )
    }

    /// Reads to the end: the text, the result, the start's metadata and the last message.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stream = self.stream.clone();
        let whole = async move {
            let stream = stream.lock().await.take();
            match stream {
                Some(stream) => stream.finish().await.map_err(Some),
                None => Err(None),
            }
        };
        submit(
            py,
            whole,
            |py, whole: Result<StreamReply, Option<StreamError>>| match whole {
                Ok(whole) => {
                    let value =
                        |json: Option<agentnet::RawJson>| json.map(|json| json::to_python(py, &json)).transpose();
                    let message = AgentMessage::received(whole.message.clone(), None);
                    (
                        whole.text,
                        value(whole.result)?,
                        value(whole.metadata)?,
                        whole.stream_id,
                        message.into_py_any(py)?,
                    )
                        .into_py_any(py)
                }
                Err(Some(error)) => Err(error.raise(py)),
                Err(None) => Err(exception(py, "StreamError", "the stream is closed", &[])),
            },
        )
    }

    /// Stops reading, and cancels the stream if it has not ended.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stream = self.stream.clone();
        submit(py, async move { drop(stream.lock().await.take()) }, |py, ()| {
            Ok(py.None())
        })
    }
}

/// A stream that is sent: as a reply, or to an inbox.
#[pyclass(frozen, module = "agentnet._native")]
pub(crate) struct Outgoing {
    /// None after the end; shared by the pieces that are being sent.
    sender: parking_lot::Mutex<Option<Arc<StreamSender>>>,
    stream_id: String,
    cancelled: AtomicBool,
}

impl Outgoing {
    fn open<'py>(py: Python<'py>, open: OpenStream) -> PyResult<Bound<'py, PyAny>> {
        submit(py, open.into_future(), |py, opened| match opened {
            Ok(sender) => {
                let outgoing = Self {
                    stream_id: sender.stream_id().to_owned(),
                    sender: parking_lot::Mutex::new(Some(Arc::new(sender))),
                    cancelled: AtomicBool::new(false),
                };
                outgoing.into_py_any(py)
            }
            Err(error) => Err(error.raise(py)),
        })
    }

    fn sender_slot(&self) -> MutexGuard<'_, Option<Arc<StreamSender>>> {
        self.sender.lock()
    }

    fn sender(&self, py: Python<'_>) -> PyResult<Arc<StreamSender>> {
        self.sender_slot().clone().ok_or_else(|| has_ended(py))
    }

    /// Takes the sender for the last call. It fails while a piece is being sent, which happens only to callers that do not await
    /// `delta`.
    fn last(&self, py: Python<'_>) -> PyResult<StreamSender> {
        let mut slot = self.sender_slot();
        let sender = slot.take().ok_or_else(|| has_ended(py))?;
        match Arc::try_unwrap(sender) {
            Ok(sender) => {
                self.cancelled.store(sender.is_cancelled(), Ordering::Relaxed);
                Ok(sender)
            }
            Err(sender) => {
                *slot = Some(sender);
                let text = "a piece of the stream is still being sent: await each `delta` before the end";
                Err(exception(py, "StreamError", text, &[]))
            }
        }
    }
}

fn has_ended(py: Python<'_>) -> PyErr {
    exception(py, "StreamError", "the stream has ended", &[])
}

fn none(py: Python<'_>, outcome: Result<(), StreamError>) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(()) => Ok(py.None()),
        Err(error) => Err(error.raise(py)),
    }
}

#[pymethods]
impl Outgoing {
    /// Opens a stream that answers a message.
    #[staticmethod]
    fn reply<'py>(
        py: Python<'py>,
        request: &AgentMessage,
        metadata: Option<Bound<'py, PyAny>>,
        stream_id: Option<TextArgument>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options::read(None, options)?;
        let Some(context) = request.context() else {
            return Err(SendError::NoReplySubject.raise(py));
        };
        Self::open(
            py,
            with_metadata(apply!(context.reply_stream(), options), metadata, stream_id)?,
        )
    }

    /// Opens a stream to an inbox.
    #[staticmethod]
    fn send<'py>(
        py: Python<'py>,
        node: &Node,
        account: bool,
        to: TextArgument,
        metadata: Option<Bound<'py, PyAny>>,
        stream_id: Option<TextArgument>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Options::read(None, options)?;
        let node = node.present(py)?;
        let open = if account {
            node.send_stream_to_account(to.0)
        } else {
            node.send_stream(to.0)
        };
        Self::open(py, with_metadata(apply!(open, options), metadata, stream_id)?)
    }

    #[getter]
    fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// Whether the reader has cancelled the stream.
    #[getter]
    fn cancelled(&self) -> bool {
        match &*self.sender_slot() {
            Some(sender) => sender.is_cancelled(),
            None => self.cancelled.load(Ordering::Relaxed),
        }
    }

    /// Returns when the reader cancels the stream, or when the stream has ended.
    fn wait_cancelled<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let sender = self.sender(py)?;
        submit(py, async move { sender.cancelled().await }, |py, ()| Ok(py.None()))
    }

    /// Sends a piece.
    fn delta<'py>(&self, py: Python<'py>, piece: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let piece = json::from_python(piece)?;
        let sender = self.sender(py)?;
        submit_or_finish(py, Box::pin(async move { sender.delta_json(piece).await }), none)
    }

    /// Ends the stream; `result` is a tuple of one value, or None.
    fn end<'py>(&self, py: Python<'py>, result: Option<Bound<'py, PyTuple>>) -> PyResult<Bound<'py, PyAny>> {
        let result = result
            .map(|result| json::from_python(&result.get_item(0)?))
            .transpose()?;
        let sender = self.last(py)?;
        let ended = async move {
            match result {
                Some(result) => sender.end_with(result).await,
                None => sender.end().await,
            }
        };
        submit(py, ended, none)
    }

    /// Ends the stream with an error.
    fn fail<'py>(
        &self,
        py: Python<'py>,
        code: &Bound<'py, PyString>,
        detail: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (code, detail) = (lossy_text(code), lossy_text(detail));
        let sender = self.last(py)?;
        submit(py, async move { sender.fail(code, detail).await }, none)
    }
}

fn with_metadata(
    mut open: OpenStream,
    metadata: Option<Bound<'_, PyAny>>,
    stream_id: Option<TextArgument>,
) -> PyResult<OpenStream> {
    if let Some(metadata) = metadata {
        open = open.metadata(json::from_python(&metadata)?);
    }
    if let Some(stream_id) = stream_id {
        open = open.stream_id(stream_id.0);
    }
    Ok(open)
}
