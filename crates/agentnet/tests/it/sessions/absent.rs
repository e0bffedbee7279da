//! Messages that no agent can take.

use agentnet::SendError;
use tokio::time::timeout;

use crate::net::DEADLINE;
use crate::realm::Realm;

#[tokio::test]
async fn a_send_to_an_agent_that_left_fails_with_the_reason() {
    let realm = Realm::start().await;
    let alice = realm
        .agent("alice")
        .limits(|limits| limits.receipt_timeout = 10 * DEADLINE)
        .start()
        .await
        .unwrap();
    let bob = realm.agent("bob").capabilities(["sum"]).start().await.unwrap();
    let account_id = bob.account_id().unwrap();
    bob.close().await;
    for (send, expected) in [
        (alice.send("@bob", "hi"), "recipient_offline"),
        (alice.send_to_account(account_id, "hi"), "recipient_offline"),
        (alice.send_to_account("acct_nobody", "hi"), "account_not_found"),
        (alice.send_to_capability("sum", "hi"), "capability_unavailable"),
    ] {
        let sent = timeout(DEADLINE, std::future::IntoFuture::into_future(send))
            .await
            .expect("not by a timeout");
        let Err(SendError::Rejected { code, .. }) = &sent else {
            panic!("{expected}: {sent:?}")
        };
        assert_eq!(code, expected);
    }
    let reply = alice.request_capability("sum", "hi").await.unwrap();
    assert_eq!(reply.error_code().as_deref(), Some("capability_unavailable"));
    alice.close().await;
}
