//! The scripted behaviour of `agentnet echo --conformance`, by the member `do` of the payload (docs/CONFORMANCE.md).

use std::future::pending;
use std::time::{Duration, SystemTime};

use agentnet::{Context, HandlerResult, Message};
use agentnet_protocol::Timestamp;

/// Waits, hangs or fails, as the payload demands.
pub(super) async fn obey(message: &Message, context: &Context) -> HandlerResult {
    let member = |name: &str| {
        let payload = message.payload().view();
        payload
            .as_object()?
            .get(name)
            .opt_text()
            .map(std::borrow::Cow::into_owned)
    };
    match member("do").as_deref() {
        Some("wait") => {
            let until = member("until").as_deref().and_then(Timestamp::parse);
            let until = until.ok_or("`until` is no timestamp")?;
            let left = until.micros_since(Timestamp::from(SystemTime::now()));
            tokio::time::sleep(Duration::from_micros(left.try_into().unwrap_or(0))).await;
            Ok(())
        }
        Some("fail") => Err("told to fail".into()),
        Some("reply_and_fail") => {
            echo(message, context).await?;
            Err("told to fail".into())
        }
        Some("hang") => pending().await,
        _ => Ok(()),
    }
}

/// Replies with the payload, if a reply is expected.
pub(super) async fn echo(message: &Message, context: &Context) -> HandlerResult {
    if message.wants_reply() {
        context.reply(message.payload()).await?;
    }
    Ok(())
}
