//! Checks of the NATS server: its version, credentials, JetStream and the stream of the history. No I/O: tables of cases test
//! them.

use std::time::Duration;

use agentnet_nats::{DEVELOPMENT_TOKEN, Login, NatsUrl};

use super::report::{Finding, counted};
use crate::up::address::is_loopback;

/// The oldest nats-server with all needed features.
const MIN_SERVER_VERSION: (u64, u64) = (2, 11);

pub(super) fn server(version: &str, name: &str, cluster: Option<&str>) -> Finding {
    let place = match cluster.filter(|cluster| !cluster.is_empty()) {
        Some(cluster) => format!("{name} of cluster {cluster}"),
        None => name.to_owned(),
    };
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= MIN_SERVER_VERSION => {
            Finding::pass(format!("nats-server {version} ({place})"))
        }
        _ => Finding::warn(
            format!(
                "nats-server {version} ({place}) is older than {}.{}",
                MIN_SERVER_VERSION.0, MIN_SERVER_VERSION.1
            ),
            "upgrade nats-server: the history may have gaps with this one",
        ),
    }
}

/// Credentials that the server accepted, which listens on `listens`.
pub(super) fn token(url: &str, listens: &str) -> Finding {
    let known = NatsUrl::parse(url).is_ok_and(|url| *url.login() == Login::Token(DEVELOPMENT_TOKEN.to_owned()));
    if known && !is_loopback(listens) {
        return Finding::warn(
            format!("the server listens on {listens} and accepts the development token, which is public"),
            "set a token of your own: AGENTNET_TOKEN for `agentnet up`, or the server's configuration",
        );
    }
    Finding::pass("the credentials of the URL are accepted")
}

/// Whether a limit is used up to nine tenths. Values of 0 and less are no limit.
pub(super) fn room(filled: &[(&str, u64, i64)]) -> Option<Finding> {
    let (what, used, most) = filled.iter().find_map(|(what, used, most)| {
        let most = u64::try_from(*most).ok().filter(|most| *most > 0)?;
        (*used >= most - most / 10).then_some((what, used, most))
    })?;
    Some(Finding::warn(
        format!("{what} are nearly used up: {used} of {most}; messages that find no room are not in the history"),
        "start or speed up the registry, which empties the stream, or raise the limit",
    ))
}

/// The registries' consumer of the stream: whether it is paused, and for how long.
pub(super) fn consumer(found: Result<(bool, Option<Duration>), String>) -> Option<Finding> {
    match found {
        Ok((false, _)) => None,
        Ok((true, left)) => {
            let left = left.map_or(String::new(), |left| format!(" for another {} s", left.as_secs()));
            Some(Finding::fail(
                format!("the consumer agentnet-registry is paused{left}: nothing is stored meanwhile"),
                Some("resume it: `nats consumer resume AGENTNET_HISTORY agentnet-registry`".to_owned()),
            ))
        }
        Err(why) => Some(Finding::warn(
            format!("the consumer agentnet-registry cannot be looked at: {why}"),
            "start a registry (`agentnet registry`), which sets it up",
        )),
    }
}

pub(super) fn no_jetstream(why: &str) -> Finding {
    Finding::warn(
        format!("JetStream does not answer: {why}"),
        "start nats-server with -js: without it messages sent while no registry runs are not recorded",
    )
}

pub(super) fn no_stream(why: &str) -> Finding {
    Finding::warn(
        format!("JetStream is there, the stream AGENTNET_HISTORY is not: {why}"),
        "start a registry (`agentnet registry`), which sets it up; the registry of the Python implementation has none",
    )
}

pub(super) fn stream(no_ack: bool, replicas: usize, messages: u64, led: Option<bool>) -> Finding {
    if !no_ack {
        return Finding::fail(
            "the stream AGENTNET_HISTORY acknowledges messages: requests get its answer instead of the agent's",
            Some("remove the stream and restart the registry, which makes it anew with no_ack".to_owned()),
        );
    }
    if led == Some(false) {
        return Finding::fail(
            format!("the stream AGENTNET_HISTORY ({replicas} copies) has no leader"),
            Some("start the cluster's other servers: most of them must run".to_owned()),
        );
    }
    let copies = if replicas == 1 {
        "1 copy".to_owned()
    } else {
        format!("{replicas} copies")
    };
    let way = if messages == 1 { "its way" } else { "their way" };
    Finding::pass(format!(
        "stream AGENTNET_HISTORY, {copies}, {} on {way} into the history",
        counted(messages, "message")
    ))
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict::{Fail, Pass, Warn};
    use super::*;

    #[test]
    fn servers_have_an_age() {
        for (version, verdict) in [
            ("2.11.0", Pass),
            ("2.15.0-RC.1", Pass),
            ("3.0.1", Pass),
            ("2.10.22", Warn),
            ("2", Warn),
            ("", Warn),
        ] {
            assert_eq!(server(version, "n1", None).verdict, verdict, "{version}");
        }
        assert_eq!(
            server("2.11.1", "n1", Some("east")).seen,
            "nats-server 2.11.1 (n1 of cluster east)"
        );
    }

    #[test]
    fn streams_must_not_answer_and_need_a_leader() {
        for (no_ack, led, verdict) in [
            (true, None, Pass),
            (true, Some(true), Pass),
            (true, Some(false), Fail),
            (false, None, Fail),
        ] {
            assert_eq!(stream(no_ack, 3, 0, led).verdict, verdict);
        }
    }

    #[test]
    fn the_known_token_is_for_this_machine() {
        for (url, listens, verdict) in [
            ("nats://agentnet_secret_token@127.0.0.1:4222", "127.0.0.1", Pass),
            ("nats://agentnet_secret_token@127.0.0.1:4222", "0.0.0.0", Warn),
            ("nats://agentnet_secret_token@10.0.0.1:4222", "10.0.0.1", Warn),
            ("nats://mine@10.0.0.1:4222", "0.0.0.0", Pass),
            ("nats://10.0.0.1:4222", "0.0.0.0", Pass),
        ] {
            assert_eq!(token(url, listens).verdict, verdict, "{url} {listens}");
        }
    }

    #[test]
    fn a_stream_needs_room_and_a_consumer_that_runs() {
        for (used, most, told) in [
            (5, -1, false),
            (5, 0, false),
            (89, 100, false),
            (90, 100, true),
            (200, 100, true),
        ] {
            assert_eq!(room(&[("bytes", used, most)]).is_some(), told, "{used} of {most}");
        }
        let (paused, left) = (true, Some(Duration::from_secs(60)));
        for (found, verdict) in [
            (Ok((false, None)), None),
            (Ok((paused, left)), Some(Fail)),
            (Err("not found".to_owned()), Some(Warn)),
        ] {
            assert_eq!(consumer(found).map(|finding| finding.verdict), verdict);
        }
        let well = || Finding::pass("well");
        let worst = Finding::worst(well(), [None, room(&[("bytes", 1, 1)]), consumer(Ok((paused, left)))]);
        assert_eq!(worst.verdict, Fail);
        assert_eq!(Finding::worst(well(), [None, None]), well());
    }

    #[test]
    fn one_message_is_no_plural() {
        assert!(stream(true, 1, 1, None).seen.contains("1 message on its way"));
    }
}
