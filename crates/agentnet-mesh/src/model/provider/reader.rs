//! Reads the stream of an answer: bounded, and with a limit of time between two pieces.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::{ProviderAccess, Redaction, connect_error};
use crate::model::dialect::{Decoder, malformed};
use crate::model::sse::{SseEvent, SseParser};
use crate::model::{ChatEvent, ModelError, ModelErrorKind};

/// Bytes of an answer at most: an event of a few hundred bytes for each of 100,000 tokens is less.
const MAX_STREAM_BYTES: usize = if cfg!(test) { 16 << 20 } else { 64 << 20 };

/// How long the numbers of tokens are waited for after the answer is complete.
const USAGE_GRACE: Duration = Duration::from_secs(5);

/// How long the end of the connection is waited for, so that it can be used again.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// Reader of one answer. Dropping it ends the request.
pub(super) struct AnswerReader {
    response: Response,
    parser: SseParser,
    decoder: Box<dyn Decoder>,
    redaction: Redaction,
    timeout: Duration,
    received: usize,
    ready: VecDeque<ChatEvent>,
    failure: Option<ModelError>,
    is_at_end: bool,
}

impl AnswerReader {
    pub(super) fn new(response: Response, decoder: Box<dyn Decoder>, access: &ProviderAccess) -> Self {
        Self {
            response,
            parser: SseParser::default(),
            decoder,
            redaction: access.redaction.clone(),
            timeout: access.timeout,
            received: 0,
            ready: VecDeque::new(),
            failure: None,
            is_at_end: false,
        }
    }

    /// The next piece. After an error and after the stop event there is none.
    pub(super) async fn next(&mut self) -> Option<Result<ChatEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if let Some(failure) = self.failure.take() {
                return Some(Err(self.redaction.clean(failure)));
            }
            if self.is_at_end {
                return None;
            }
            if self.decoder.is_finished() {
                self.drain().await;
            } else {
                self.read().await;
            }
        }
    }

    async fn read(&mut self) {
        let has_stop_reason = self.decoder.has_stop_reason();
        let wait = if has_stop_reason {
            USAGE_GRACE.min(self.timeout)
        } else {
            self.timeout
        };
        match timeout(wait, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => self.accept(&bytes),
            Ok(Ok(None)) => {
                let mut last = Vec::new();
                self.parser.finish(&mut last);
                // The end of an event that was cut is no error of its own.
                let _ = self.decode(&last);
                self.end("the provider ended the answer in the middle", ModelErrorKind::Connect);
            }
            Ok(Err(error)) => {
                let error = connect_error("the connection broke in the middle of the answer", error);
                self.end(&error.message, error.kind);
            }
            Err(_) => {
                let message = format!("nothing more of the answer came within {:?}", self.timeout);
                self.end(&message, ModelErrorKind::Timeout);
            }
        }
    }

    fn accept(&mut self, bytes: &[u8]) {
        self.received = self.received.saturating_add(bytes.len());
        let mut events = Vec::new();
        let parsed = self.parser.push(bytes, &mut events);
        let mut result = self.decode(&events);
        if result.is_ok() && !self.decoder.is_finished() {
            if parsed.is_err() {
                result = Err(malformed("an event of the answer is too long"));
            } else if self.received > MAX_STREAM_BYTES {
                result = Err(malformed(format!("the answer has more than {MAX_STREAM_BYTES} bytes")));
            }
        }
        if let Err(error) = result {
            self.failure = Some(error);
            self.is_at_end = true;
        }
    }

    fn decode(&mut self, events: &[SseEvent]) -> Result<(), ModelError> {
        let mut out = Vec::new();
        let mut result = Ok(());
        for event in events {
            if self.decoder.is_finished() {
                break;
            }
            result = self.decoder.read_event(event, &mut out);
            if result.is_err() {
                break;
            }
        }
        self.ready.extend(out);
        result
    }

    /// The connection has ended: that is a failure unless the answer is complete.
    fn end(&mut self, message: &str, kind: ModelErrorKind) {
        self.is_at_end = true;
        let mut out = Vec::new();
        self.decoder.finish(&mut out);
        self.ready.extend(out);
        if !self.decoder.is_finished() {
            self.failure = Some(ModelError::new(kind, message));
        }
    }

    /// Reads what follows the answer: the end of the body, as a rule.
    async fn drain(&mut self) {
        self.is_at_end = true;
        let draining = async {
            let mut rest = 0;
            while let Ok(Some(bytes)) = self.response.chunk().await {
                rest += bytes.len();
                if rest > 64 << 10 {
                    break;
                }
            }
        };
        let _ = timeout(DRAIN_GRACE, draining).await;
    }
}
