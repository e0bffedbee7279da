//! What receipts mean for a message that may be kept (PROTOCOL.md section 21.2).

use agentnet_protocol::mailbox::RETRIABLE_CODES;
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_protocol::{Receipt, ReceiptStatus, json};
use tokio::sync::mpsc;

use super::super::{ReceiptOutcome, outcome};
use crate::mailbox::codes::is_mailbox_code;
use crate::send::error::SendError;

/// Characters of a receipt's detail that are given on.
const MAX_DETAIL_CHARS: usize = 1024;

/// The meaning of a receipt for a message that may be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Accepted,
    /// The receiver has had the message, or another one with its idempotency key.
    Duplicate(SendError),
    Processed,
    /// A registry keeps it.
    Queued(String),
    /// The receiver cannot take it now.
    Returned(String),
    Failed(SendError),
    /// Nothing that counts.
    Ignored,
}

/// Waits for the next receipt.
pub(super) async fn next_signal(receipts: &mut mpsc::Receiver<Box<Receipt>>) -> Result<Signal, SendError> {
    let receipt = receipts.recv().await.ok_or(SendError::NotRunning)?;
    Ok(signal(&receipt))
}

pub(super) fn signal(receipt: &Receipt) -> Signal {
    match outcome(receipt) {
        ReceiptOutcome::Accepted => Signal::Accepted,
        ReceiptOutcome::Duplicate(error) => Signal::Duplicate(error),
        ReceiptOutcome::Processed => Signal::Processed,
        ReceiptOutcome::Rejected(SendError::Rejected {
            code,
            detail,
            message_id,
        }) => {
            if RETRIABLE_CODES.contains(&code.as_str()) {
                Signal::Returned(shortened(&detail).to_owned())
            } else if is_mailbox_code(&code) {
                Signal::Failed(SendError::Mailbox {
                    code,
                    detail,
                    message_id,
                })
            } else {
                Signal::Failed(SendError::Rejected {
                    code,
                    detail,
                    message_id,
                })
            }
        }
        ReceiptOutcome::Rejected(error) => Signal::Failed(error),
        ReceiptOutcome::Unusable(_) => match receipt.status() {
            ReceiptStatus::Queued if is_by_registry(receipt) => {
                let detail = receipt.detail.as_deref().map(json::trim).unwrap_or_default();
                Signal::Queued(match detail.is_empty() {
                    true => "the message is kept".to_owned(),
                    false => shortened(detail).to_owned(),
                })
            }
            _ => Signal::Ignored,
        },
    }
}

/// Whether a receipt names a registry as its sender: no agent can register such an account. (Signed, that is proven.)
fn is_by_registry(receipt: &Receipt) -> bool {
    let sender = receipt.from_account_id.as_deref();
    sender.is_some_and(|sender| sender.starts_with(REGISTRY_ACCOUNT_PREFIX))
}

/// As much of a text from the network as is given on.
pub(super) fn shortened(text: &str) -> &str {
    match text.char_indices().nth(MAX_DETAIL_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Signal {
        signal(&Receipt::decode(format!(r#"{{"message_id":"m",{json}}}"#)).unwrap())
    }

    #[test]
    fn only_a_registry_says_that_a_message_is_queued() {
        let queued = r#""status":"queued","detail":" it waits ","from_account_id""#;
        assert_eq!(
            of(&format!(r#"{queued}:"acct_registry_a""#)),
            Signal::Queued("it waits".to_owned())
        );
        assert_eq!(of(&format!(r#"{queued}:"acct_bob""#)), Signal::Ignored);
        assert_eq!(of(r#""status":"queued""#), Signal::Ignored);
        let long = format!(
            r#""status":"queued","from_account_id":"acct_registry_a","detail":"{}""#,
            "é".repeat(5000)
        );
        assert_eq!(of(&long), Signal::Queued("é".repeat(MAX_DETAIL_CHARS)));
    }

    #[test]
    fn a_receiver_that_has_no_time_returns_the_message() {
        let rejected = |code: &str| of(&format!(r#""status":"rejected","code":"{code}","detail":"why""#));
        for code in RETRIABLE_CODES {
            assert_eq!(rejected(code), Signal::Returned("why".to_owned()), "{code}");
        }
        let (code, detail, message_id) = ("mailbox_full".to_owned(), "why".to_owned(), "m".to_owned());
        assert_eq!(
            rejected("mailbox_full"),
            Signal::Failed(SendError::Mailbox {
                code,
                detail,
                message_id
            })
        );
        assert!(matches!(
            rejected("expired"),
            Signal::Failed(SendError::Rejected { .. })
        ));
        assert!(matches!(rejected("duplicate"), Signal::Duplicate(_)));
        assert_eq!(of(r#""status":"accepted""#), Signal::Accepted);
        assert_eq!(of(r#""status":"processed""#), Signal::Processed);
        assert_eq!(of(r#""status":"seen""#), Signal::Ignored);
    }
}
