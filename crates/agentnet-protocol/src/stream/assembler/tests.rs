use super::*;
use crate::stream::StreamWriter;
use crate::{RawJson, Timestamp};

const NOW: Timestamp = Timestamp::from_micros(0);

fn frame(payload: &RawJson) -> StreamFrame {
    StreamFrame::parse(&payload.view()).unwrap().unwrap()
}

/// The frames of a stream with these texts.
fn frames(texts: &[String]) -> Vec<StreamFrame> {
    let mut writer = StreamWriter::new("s");
    let mut frames = vec![frame(&writer.start(None, NOW))];
    frames.extend(texts.iter().map(|text| frame(&writer.text(text))));
    frames.push(frame(&writer.end(None, NOW)));
    frames
}

/// A small generator with a seed (xorshift64), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

#[test]
fn ten_thousand_pieces_shuffled_and_doubled_come_out_exactly() {
    for seed in [1, 42, 0xfeed_beef] {
        let mut dice = Dice(seed);
        let texts: Vec<String> = (0..10_000).map(|n| format!("{n} é\n{}", dice.below(1000))).collect();
        let frames = frames(&texts);
        // Each at least twice, some more often.
        let mut arriving: Vec<StreamFrame> = frames.iter().chain(&frames).cloned().collect();
        arriving.extend((0..5_000).map(|_| frames[dice.below(frames.len())].clone()));
        dice.shuffle(&mut arriving);
        let mut assembler = StreamAssembler::new();
        let (mut given, mut new) = (Vec::new(), 0);
        for frame in arriving {
            new += usize::from(assembler.push(frame).unwrap());
            given.extend(std::iter::from_fn(|| assembler.pop()));
        }
        assert_eq!(new, frames.len(), "seed {seed}: each is new once");
        assert!(given == frames, "seed {seed}: all in order, each once");
        assert!(assembler.is_complete() && assembler.missing().next().is_none());
        assert!(assembler.text() == texts.concat(), "seed {seed}");
    }
}

#[test]
fn what_is_missing_is_known() {
    let frames = frames(&["a", "b", "c", "d"].map(str::to_owned));
    // (numbers that arrive, numbers that come out, missing, complete)
    type Case = (&'static [usize], &'static [u64], &'static [u64], bool);
    let cases: [Case; 8] = [
        (&[], &[], &[], false),
        (&[0, 1], &[0, 1], &[], false),
        (&[1], &[], &[0], false),
        (&[0, 4, 2], &[0], &[1, 3], false),
        (&[5], &[], &[0, 1, 2, 3, 4], false),
        (&[5, 3, 0, 1], &[0, 1], &[2, 4], false),
        (&[5, 3, 0, 1, 4, 2], &[0, 1, 2, 3, 4, 5], &[], true),
        (&[0, 0, 1, 0, 1, 2, 3, 4, 5, 5, 2], &[0, 1, 2, 3, 4, 5], &[], true),
    ];
    for (arriving, given, missing, complete) in cases {
        let mut assembler = StreamAssembler::of("s");
        let mut out = Vec::new();
        for index in arriving {
            assembler.push(frames[*index].clone()).unwrap();
            out.extend(std::iter::from_fn(|| assembler.pop()).map(|frame| frame.seq));
        }
        assert_eq!(out, given, "{arriving:?}");
        assert_eq!(assembler.missing().collect::<Vec<_>>(), missing, "{arriving:?}");
        assert_eq!(assembler.missing_count(), missing.len() as u64, "{arriving:?}");
        assert_eq!(assembler.is_complete(), complete, "{arriving:?}");
        assert_eq!(assembler.next_seq(), given.len() as u64);
    }
}

#[test]
fn the_first_frame_of_a_number_counts_and_nothing_follows_the_end() {
    let mut assembler = StreamAssembler::new();
    let delta = |seq, text: &str| {
        let delta = RawJson::from_serialize(text).unwrap();
        StreamFrame::new("s", seq, StreamPart::Delta { delta })
    };
    let end = StreamFrame::new("s", 2, StreamPart::end(None));
    assert!(assembler.push(delta(3, "behind the end")).unwrap());
    assert!(assembler.push(delta(1, "first")).unwrap());
    assert!(!assembler.push(delta(1, "second")).unwrap());
    assert!(assembler.push(end.clone()).unwrap());
    assert!(!assembler.push(delta(4, "behind the end")).unwrap());
    assert_eq!(
        (assembler.missing().collect::<Vec<_>>(), assembler.missing_count()),
        (vec![0], 1)
    );
    assert!(assembler.push(delta(0, "zero ")).unwrap());
    assert_eq!(std::iter::from_fn(|| assembler.pop()).count(), 3);
    assert_eq!(assembler.text(), "zero first");
    for late in [delta(0, "x"), delta(3, "x"), end] {
        assert!(!assembler.push(late).unwrap());
    }
    assert!(assembler.pop().is_none());
    assert_eq!(assembler.missing_count(), 0);

    // Numbers are the sender's: the last of all must not overflow anything.
    let mut assembler = StreamAssembler::new();
    assembler.push(delta(u64::MAX, "far")).unwrap();
    assert_eq!(assembler.missing().take(2).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(assembler.missing_count(), u64::MAX);
}

#[test]
fn texts_are_of_pieces_that_have_one() {
    let mut writer = StreamWriter::new("s");
    let json = |text| RawJson::parse(text).unwrap();
    let mut assembler = StreamAssembler::new();
    for payload in [
        writer.start(Some(json(r#"{"text":"no piece"}"#)), NOW),
        writer.delta(json(r#"" a\n""#)),
        writer.delta(json(r#"{"text":" b ","n":1}"#)),
        writer.delta(json(r#"{"n":1}"#)),
        writer.delta(json("5")),
        writer.delta(json(r#"{"text":5}"#)),
        writer.end(Some(json(r#"{"text":"no piece"}"#)), NOW),
    ] {
        assembler.push(frame(&payload)).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| assembler.pop()).count(), 7);
    assert_eq!(assembler.into_text(), " a\n b ");
}

#[test]
fn an_error_is_known_while_pieces_are_missing() {
    let mut writer = StreamWriter::new("s");
    let start = frame(&writer.start(None, NOW));
    let piece = frame(&writer.text("a"));
    let error = frame(&writer.error("busy", Some("later".to_owned()), NOW));
    let mut assembler = StreamAssembler::new();
    assembler.push(start).unwrap();
    assert_eq!(assembler.failure(), None);
    assembler.push(error.clone()).unwrap();
    assert_eq!(assembler.failure(), Some(("busy", Some("later"))));
    assembler.push(piece).unwrap();
    assert_eq!(std::iter::from_fn(|| assembler.pop()).last(), Some(error));
    assert!(assembler.is_complete());
}

#[test]
fn what_is_held_has_limits() {
    let frames = frames(&["aaa", "bbb", "ccc", "ddd"].map(str::to_owned));
    let limits = |held_frames, held_bytes, text_bytes| StreamLimits {
        held_frames,
        held_bytes,
        text_bytes,
    };
    let full = |frames, bytes| AssembleError::Full {
        frames,
        bytes,
        missing: 0,
    };
    // Each piece is 5 bytes of JSON. (limits, numbers that are taken, the number that is not, why)
    let cases = [
        (limits(2, 100, 100), &[2, 1][..], 3, full(2, 10)),
        (limits(9, 12, 100), &[2, 1][..], 3, full(2, 10)),
        (limits(0, 0, 100), &[][..], 1, full(0, 0)),
        (limits(9, 100, 9), &[1][..], 2, AssembleError::TextTooLong { limit: 9 }),
    ];
    for (limits, taken, refused, why) in cases {
        let mut assembler = StreamAssembler::new().with_limits(limits);
        for index in taken {
            assert!(assembler.push(frames[*index].clone()).unwrap());
            assert!(!assembler.push(frames[*index].clone()).unwrap(), "again costs nothing");
        }
        assert_eq!(assembler.push(frames[refused].clone()), Err(why));
        // What all wait for is taken, and makes room.
        assert!(assembler.push(frames[0].clone()).unwrap());
        assert_eq!(std::iter::from_fn(|| assembler.pop()).count(), taken.len() + 1);
    }
    let mut in_order = StreamAssembler::new().with_limits(limits(0, 0, 100));
    for frame in frames {
        assert!(in_order.push(frame).unwrap());
        assert!(in_order.pop().is_some());
    }
    assert!(in_order.is_complete());
}

#[test]
fn frames_of_another_stream_are_not_taken() {
    let frames = frames(&[]);
    let mut assembler = StreamAssembler::of("mine");
    let error = assembler.push(frames[0].clone()).unwrap_err();
    assert_eq!(error.to_string(), "a frame of stream `s` among those of `mine`");
    let mut assembler = StreamAssembler::new();
    assert_eq!(assembler.stream_id(), None);
    assembler.push(frames[0].clone()).unwrap();
    assert_eq!(assembler.stream_id(), Some("s"));
    let other = StreamFrame {
        stream_id: "other".to_owned(),
        ..frames[1].clone()
    };
    assert!(matches!(assembler.push(other), Err(AssembleError::OtherStream { .. })));
}
