//! Answers questions about the wire, so that implementations in other languages can be compared with this one, case by case:
//! `cargo run -p agentnet-protocol --example wire_oracle`.
//!
//! A line of the input is the name of a question and its arguments as hexadecimal digits, with tabs between them; the line of
//! output to it is the answer's parts in the same form, `-` for a part that is absent. `sdks/typescript/test/fuzz` asks.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a wrong question ends the test that asks it"
)]

use std::io::{self, BufRead as _, BufWriter, Write as _};

use agentnet_protocol::blob::BlobRef;
use agentnet_protocol::claims::Claims;
use agentnet_protocol::compaction::CompactionRequired;
use agentnet_protocol::json::{self, JsonError, Object, Value};
use agentnet_protocol::payload_text::{extract_error, extract_text};
use agentnet_protocol::signature::key_file_name;
use agentnet_protocol::stream::{AssembleError, StreamAssembler, StreamFrame, StreamPart};
use agentnet_protocol::target::{TargetError, Verb};
use agentnet_protocol::username::{self, UnusableName};
use agentnet_protocol::version::{self, SUPPORTED_MAJOR};
use agentnet_protocol::{AgentInfo, Envelope, Receipt, Target, Timestamp, expiry, limits, subject};

/// The parts of an answer.
type Answer = Vec<Option<String>>;

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (question, rest) = line.split_once('\t').unwrap_or((&line, ""));
        let arguments: Vec<Vec<u8>> = rest.split('\t').map(unhex).collect();
        let parts: Vec<String> = answer(question, &arguments).into_iter().map(shown).collect();
        writeln!(out, "{}", parts.join("\t"))?;
    }
    out.flush()
}

fn unhex(digits: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn shown(part: Option<String>) -> String {
    part.map_or_else(
        || "-".to_owned(),
        |text| agentnet_protocol::hex::encode(text.as_bytes()),
    )
}

fn answer(question: &str, arguments: &[Vec<u8>]) -> Answer {
    let bytes = |index: usize| arguments.get(index).map_or(&[][..], Vec::as_slice);
    let text = |index| std::str::from_utf8(bytes(index)).expect("the argument is text");
    match question {
        "json" => forms(bytes(0)),
        "float" => vec![Some(json::float_text(f64::from_bits(
            u64::from_str_radix(text(0), 16).unwrap(),
        )))],
        "coerce" => coerced(text(0)),
        "trim" => vec![Some(json::trim(text(0)).to_owned())],
        "envelope" => envelope(bytes(0)),
        "receipt" => result(Receipt::decode(bytes(0).to_vec()).map(|receipt| utf8(&receipt.encode()))),
        "agent" => agent(text(0)),
        "claims" => vec![Claims::read(&Value::parse(text(0)).unwrap()).map(|claims| claims.signed_text())],
        "frame" => frame(text(0)),
        "assemble" => assemble(text(0)),
        "blob" => match BlobRef::parse(&Value::parse(text(0)).unwrap()) {
            Ok(blob) => vec![blob.map(|blob| blob.to_payload().get().to_owned())],
            Err(error) => failed(&error),
        },
        "texts" => {
            let value = Value::parse(text(0)).unwrap();
            vec![extract_text(&value), extract_error(&value)]
        }
        "compaction" => compaction(text(0)),
        "username" => usernames(text(0)),
        "target" => targets(text(0)),
        "key_file" => vec![Some(key_file_name(Some(text(0)), text(1)))],
        "time" => {
            let shown = |time: Option<Timestamp>| time.map(|time| time.to_string());
            vec![shown(Timestamp::parse(text(0))), shown(Timestamp::parse_exact(text(0)))]
        }
        "expiry" => {
            let ttl = Some(text(1))
                .filter(|ttl| !ttl.is_empty())
                .map(|ttl| ttl.parse().unwrap());
            let end = Some(text(2)).filter(|end| !end.is_empty());
            let now = Timestamp::from_micros(text(3).parse().unwrap());
            let checked = expiry::check(text(0), ttl, end, now, text(4).parse().unwrap());
            vec![checked.err().map(|error| error.code().to_owned())]
        }
        "version" => match version::check(text(0), SUPPORTED_MAJOR) {
            Ok(version) => vec![Some(version.to_owned())],
            Err(error) => vec![None, Some(error.code().to_owned())],
        },
        "subject" => {
            let name = text(0);
            let judged = [
                subject::routable_account(name),
                subject::is_reply_subject(name),
                subject::may_reply_to(name),
                subject::is_server_header(name),
            ];
            judged.map(|yes| Some(yes.to_string())).to_vec()
        }
        other => panic!("no such question: {other}"),
    }
}

fn utf8(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).unwrap().to_owned()
}

fn failed(error: &impl ToString) -> Answer {
    vec![None, Some(error.to_string())]
}

fn result<E: ToString>(result: Result<String, E>) -> Answer {
    result.map_or_else(|error| failed(&error), |text| vec![Some(text)])
}

fn forms(bytes: &[u8]) -> Answer {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return failed(&JsonError::Utf8);
    };
    match Value::parse(text) {
        Ok(value) => vec![
            Some(json::canonical(&value)),
            Some(json::wire(&value)),
            Some(json::persisted(&value)),
            Some(json::ascii(value.raw()).into_owned()),
        ],
        Err(error) => failed(&error),
    }
}

fn coerced(text: &str) -> Answer {
    let value = Value::parse(text).unwrap();
    let int = match value.int() {
        Ok(int) => int.map(|int| int.to_string()),
        Err(error) => Some(error.to_string()),
    };
    vec![
        Some(value.is_truthy().to_string()),
        Some(value.text().into_owned()),
        Some(value.python_text().into_owned()),
        int,
    ]
}

fn envelope(body: &[u8]) -> Answer {
    match Envelope::decode(body.to_vec()) {
        Ok(envelope) => vec![
            Some(utf8(&envelope.encode())),
            limits::check_envelope(&envelope).err().map(|error| error.to_string()),
        ],
        Err(error) => failed(&error),
    }
}

fn agent(text: &str) -> Answer {
    let object = Object::parse_body(text.as_bytes()).unwrap().expect("an object");
    result(AgentInfo::decode(&object).map(|agent| agent.encode()))
}

fn frame(text: &str) -> Answer {
    match StreamFrame::parse(&Value::parse(text).unwrap()) {
        Ok(frame) => vec![frame.map(|frame| frame.to_payload().get().to_owned())],
        Err(error) => failed(&error),
    }
}

/// The frames of an array of payloads, in the order in which the assembler gives them, and where it stands after each.
fn assemble(text: &str) -> Answer {
    let mut assembler = StreamAssembler::new();
    let mut steps = Vec::new();
    let payloads = Value::parse(text).unwrap();
    for payload in payloads.as_array().expect("an array") {
        let frame = StreamFrame::parse(&payload).unwrap().expect("a frame");
        let taken = match assembler.push(frame) {
            Ok(taken) => taken.to_string(),
            Err(AssembleError::OtherStream { .. }) => "other".to_owned(),
            Err(error) => panic!("{error}"),
        };
        steps.push(format!("{taken} {}", given(&mut assembler)));
    }
    steps.push(format!("here {} {}", assembler.end_here(), given(&mut assembler)));
    steps.push(format!(
        "without {} {}",
        assembler.do_without_start(),
        given(&mut assembler)
    ));
    vec![Some(steps.join("\n")), Some(assembler.text().to_owned())]
}

fn given(assembler: &mut StreamAssembler) -> String {
    let kind = |part: &StreamPart| match part {
        StreamPart::Start { .. } => "start",
        StreamPart::Delta { .. } => "delta",
        StreamPart::End { .. } => "end",
        StreamPart::Error { .. } => "error",
    };
    let frames: Vec<String> = std::iter::from_fn(|| assembler.pop())
        .map(|frame| format!("{}:{}", kind(&frame.part), frame.seq))
        .collect();
    let missing: Vec<String> = assembler.missing().take(5).map(|seq| seq.to_string()).collect();
    format!(
        "[{}] complete={} next={} missing={}:{}",
        frames.join(","),
        assembler.is_complete(),
        assembler.next_seq(),
        assembler.missing_count(),
        missing.join(",")
    )
}

fn compaction(text: &str) -> Answer {
    let Some(event) = CompactionRequired::parse(&Value::parse(text).unwrap()) else {
        return vec![None];
    };
    let numbers = [
        event.message_count,
        event.pending_messages,
        event.byte_count,
        event.approx_tokens,
        event.soft_limit_tokens,
        event.hard_limit_tokens,
        event.keep_tail_messages,
        event.latest_checkpoint_end,
    ];
    vec![
        Some(event.thread_id),
        Some(event.status),
        Some(numbers.map(|number| number.to_string()).join(",")),
        event.requested_at,
        event.reason,
    ]
}

fn usernames(text: &str) -> Answer {
    let outcome = match username::usable(text) {
        Ok(_) => "usable",
        Err(UnusableName::Nothing { .. }) => "nothing",
        Err(UnusableName::Lossy { .. }) => "lossy",
        Err(UnusableName::TooLong { .. }) => "too_long",
        Err(other) => panic!("{other}"),
    };
    vec![
        Some(username::normalise(text)),
        Some(username::lookup_key(text)),
        Some(outcome.to_owned()),
    ]
}

fn targets(text: &str) -> Answer {
    let shown = |target: Result<Target, TargetError>| {
        Some(match target {
            Ok(Target::Account(value)) => format!("account {value}"),
            Ok(Target::Username(value)) => format!("username {value}"),
            Ok(Target::Capability(value)) => format!("capability {value}"),
            Err(error) => error.to_string(),
        })
    };
    vec![
        shown(Target::parse_node(text, Verb::Send)),
        shown(Target::parse_node(text, Verb::Request)),
        shown(Target::parse_sdk(text)),
        shown(Target::parse(text)),
    ]
}
