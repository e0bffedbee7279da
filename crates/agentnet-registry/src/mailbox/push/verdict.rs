//! What the receipt of a receiver means for a message that was delivered to it (PROTOCOL.md section 21.4). Pure.

use agentnet_protocol::mailbox::{MAX_DETAIL_BYTES, MailboxAck};
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_protocol::{Receipt, ReceiptStatus, json};

use super::retry_delay_ms;

/// When a message may be delivered again whose receiver is going away, in milliseconds.
const GOING_DELAY_MS: i64 = 1_000;
/// When a message may be delivered again whose receiver had no room for several copies, in milliseconds.
const BUSY_DELAY_MS: i64 = 10_000;
/// Bytes of a code that are kept.
const MAX_CODE_BYTES: usize = 256;

/// What happens to the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is delivered.
    Done,
    /// The receiver has it; its sender wants the handler to finish.
    Accepted,
    /// The receiver has no room now: the same copy again, a little later; after some of them it waits, for this reason.
    Again(Reason),
    /// It waits.
    Retry(Reason),
    /// It cannot be delivered.
    Dead(Reason),
}

/// Why a message is not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) code: String,
    pub(super) detail: Option<String>,
    pub(super) delay_ms: i64,
    /// The attempt does not count.
    pub(super) free: bool,
}

/// The meaning of a receipt for the `attempt`-th delivery of a message to this account; `None` if it says nothing of it.
pub(super) fn judge(
    receipt: &Receipt,
    message_id: &str,
    account_id: &str,
    ack: MailboxAck,
    attempt: i64,
) -> Option<Verdict> {
    let from = receipt.from_account_id.as_deref().unwrap_or_default();
    let code = json::trim(receipt.code.as_deref().unwrap_or_default());
    let is_offline = from.starts_with(REGISTRY_ACCOUNT_PREFIX) && code == "recipient_offline";
    if &*receipt.message_id != message_id || (from != account_id && !is_offline) {
        return None;
    }
    match receipt.status() {
        ReceiptStatus::Accepted if ack == MailboxAck::Processed => Some(Verdict::Accepted),
        ReceiptStatus::Accepted | ReceiptStatus::Processed => Some(Verdict::Done),
        ReceiptStatus::Rejected => Some(rejected(code, receipt.detail.as_deref(), ack, attempt)),
        ReceiptStatus::Queued | ReceiptStatus::Other => None,
    }
}

fn rejected(code: &str, detail: Option<&str>, ack: MailboxAck, attempt: i64) -> Verdict {
    let reason = |delay_ms, free| Reason {
        code: beginning(code, MAX_CODE_BYTES),
        detail: detail.map(|detail| beginning(detail, MAX_DETAIL_BYTES)),
        delay_ms,
        free,
    };
    match code {
        // An earlier copy has arrived. Whether its handler has finished, or will, is not said.
        "duplicate" if ack == MailboxAck::Processed => Verdict::Accepted,
        "duplicate" => Verdict::Done,
        "busy" | "rate_limited" | "service_degraded" => Verdict::Again(reason(BUSY_DELAY_MS, true)),
        "shutting_down" | "recipient_offline" => Verdict::Retry(reason(GOING_DELAY_MS, true)),
        // The handler has had it.
        "handler_error" | "timeout" if ack == MailboxAck::Accepted => Verdict::Done,
        "handler_error" | "timeout" => Verdict::Retry(reason(retry_delay_ms(attempt), false)),
        _ => Verdict::Dead(reason(0, false)),
    }
}

fn beginning(text: &str, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(from: &str, status: &'static str, code: &'static str, ack: MailboxAck) -> Option<Verdict> {
        let receipt = Receipt {
            message_id: "m".into(),
            status: status.into(),
            from_account_id: Some(from.into()),
            code: Some(code.into()),
            detail: Some("é".repeat(1_000).into()),
            ..Receipt::default()
        };
        assert_eq!(judge(&receipt, "other", "acct_b", ack, 1), None);
        judge(&receipt, "m", "acct_b", ack, 2)
    }

    #[test]
    fn every_receipt_of_the_receiver_has_a_meaning() {
        use MailboxAck::{Accepted, Processed};
        let of = |status, code, ack| verdict("acct_b", status, code, ack).unwrap();
        assert_eq!(of("accepted", "", Accepted), Verdict::Done);
        assert_eq!(of("accepted", "", Processed), Verdict::Accepted);
        assert_eq!(of("rejected", "duplicate", Accepted), Verdict::Done);
        assert_eq!(of("rejected", "duplicate", Processed), Verdict::Accepted);
        for ack in [Accepted, Processed] {
            assert_eq!(of("processed", "", ack), Verdict::Done);
            for code in ["busy", "rate_limited", "service_degraded"] {
                let Verdict::Again(reason) = of("rejected", code, ack) else {
                    panic!("{code} is the end")
                };
                assert!(reason.free && reason.code == code);
            }
            let Verdict::Retry(reason) = of("rejected", "shutting_down", ack) else {
                panic!("not tried again")
            };
            assert!(reason.free && reason.code == "shutting_down");
            for code in ["expired", "auth_missing", "", "any"] {
                let Verdict::Dead(reason) = of("rejected", code, ack) else {
                    panic!("{code} is not the end")
                };
                assert_eq!(reason.code, code);
                assert!(reason.detail.unwrap().len() <= MAX_DETAIL_BYTES);
            }
        }
        assert_eq!(of("rejected", "handler_error", Accepted), Verdict::Done);
        let Verdict::Retry(reason) = of("rejected", "timeout", Processed) else {
            panic!("not tried again")
        };
        assert_eq!((reason.free, reason.delay_ms), (false, 10_000));
    }

    #[test]
    fn receipts_of_others_mean_nothing() {
        let ack = MailboxAck::Accepted;
        assert_eq!(verdict("acct_x", "accepted", "", ack), None);
        assert_eq!(verdict("acct_registry_r", "queued", "", ack), None);
        assert_eq!(verdict("acct_registry_r", "rejected", "expired", ack), None);
        let offline = verdict("acct_registry_r", "rejected", "recipient_offline", ack);
        assert!(matches!(offline, Some(Verdict::Retry(Reason { free: true, .. }))));
    }
}
