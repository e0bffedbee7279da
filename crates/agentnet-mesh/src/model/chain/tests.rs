use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use rstest::rstest;

use super::*;
use crate::model::StopReason;

/// A model whose answers are given.
struct FakeModel {
    answers: Mutex<VecDeque<Answer>>,
    /// Time of each call, and what was asked.
    calls: Mutex<Vec<(Instant, ChatRequest)>>,
}

enum Answer {
    Fails(ModelError),
    Streams(Vec<Result<ChatEvent, ModelError>>),
    Hangs,
}

#[async_trait]
impl ChatModel for FakeModel {
    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        self.calls.lock().push((Instant::now(), request.clone()));
        let answer = self.answers.lock().pop_front();
        match answer {
            Some(Answer::Streams(events)) => Ok(stream::iter(events).boxed()),
            Some(Answer::Fails(error)) => Err(error),
            Some(Answer::Hangs) | None => std::future::pending().await,
        }
    }
}

fn fake(answers: Vec<Answer>) -> Arc<FakeModel> {
    Arc::new(FakeModel {
        answers: Mutex::new(answers.into()),
        calls: Mutex::default(),
    })
}

fn chain(models: &[&Arc<FakeModel>]) -> ModelChain {
    ModelChain::from_models(models.iter().enumerate().map(|(number, model)| ChainModel {
        config: ModelConfig {
            provider: format!("p{number}"),
            name: format!("m{number}"),
            temperature: Some(0.5),
            max_tokens: 100,
            thinking: 7,
        },
        max_retries: 4,
        model: (*model).clone(),
    }))
}

fn fails(kind: ModelErrorKind, retry_after: Option<u64>) -> Answer {
    Answer::Fails(ModelError {
        retry_after: retry_after.map(Duration::from_secs),
        ..ModelError::new(kind, "no")
    })
}

fn answers() -> Answer {
    Answer::Streams(vec![
        Ok(ChatEvent::Text("a".into())),
        Ok(ChatEvent::Stop(StopReason::End)),
    ])
}

fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

async fn error_of(chain: &ModelChain, seconds: u64) -> ModelError {
    chain
        .stream(&ChatRequest::default(), in_seconds(seconds))
        .await
        .err()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn waits_as_long_as_the_provider_asks() {
    let model = fake(vec![fails(ModelErrorKind::RateLimited, Some(30)), answers()]);
    let start = Instant::now();
    let answer = chain(&[&model])
        .stream(&ChatRequest::default(), in_seconds(240))
        .await
        .unwrap();
    assert_eq!(answer.attempts, 2);
    let waited = model.calls.lock()[1].0 - start;
    assert!((30..=34).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_the_retries() {
    let failures = |kind| (0..9).map(|_| fails(kind, None)).collect();
    let model = fake(failures(ModelErrorKind::Server));
    let error = error_of(&chain(&[&model]), 240).await;
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ModelErrorKind::Server, "p0/m0: no")
    );
    assert_eq!(model.calls.lock().len(), 5);
    let model = fake(failures(ModelErrorKind::Timeout));
    error_of(&chain(&[&model]), 240).await;
    assert_eq!(model.calls.lock().len(), 2, "a time-out takes long: one retry");
}

#[rstest]
#[case(ModelErrorKind::Auth)]
#[case(ModelErrorKind::InvalidRequest)]
#[case(ModelErrorKind::ContextOverflow)]
#[case(ModelErrorKind::Refused)]
#[tokio::test(start_paused = true)]
async fn does_not_repeat_what_cannot_succeed(#[case] kind: ModelErrorKind) {
    let model = fake(vec![fails(kind, None), answers()]);
    assert_eq!(error_of(&chain(&[&model]), 240).await.kind, kind);
    assert_eq!(model.calls.lock().len(), 1);
}

/// A wait beyond the deadline is not begun.
#[tokio::test(start_paused = true)]
async fn does_not_wait_beyond_the_deadline() {
    let model = fake(vec![fails(ModelErrorKind::RateLimited, Some(30)), answers()]);
    let start = Instant::now();
    assert_eq!(error_of(&chain(&[&model]), 20).await.kind, ModelErrorKind::RateLimited);
    assert_eq!(Instant::now(), start);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_for_a_model_that_hangs() {
    let (first, second) = (fake(vec![Answer::Hangs]), fake(vec![answers()]));
    let start = Instant::now();
    assert_eq!(
        error_of(&chain(&[&first, &second]), 20).await.kind,
        ModelErrorKind::Timeout
    );
    assert_eq!((Instant::now() - start).as_secs(), 20);
    assert_eq!(second.calls.lock().len(), 0);
}

#[rstest]
#[case::transient_first(ModelErrorKind::Server, ModelErrorKind::Auth, ModelErrorKind::Server)]
#[case::transient_second(ModelErrorKind::Auth, ModelErrorKind::RateLimited, ModelErrorKind::RateLimited)]
#[case::none_transient(ModelErrorKind::InvalidRequest, ModelErrorKind::Auth, ModelErrorKind::InvalidRequest)]
#[case::second_overflows(
    ModelErrorKind::Auth,
    ModelErrorKind::ContextOverflow,
    ModelErrorKind::ContextOverflow
)]
#[tokio::test(start_paused = true)]
async fn the_error_of_two_models(
    #[case] first: ModelErrorKind,
    #[case] second: ModelErrorKind,
    #[case] expected: ModelErrorKind,
) {
    let failures = |kind| fake((0..9).map(|_| fails(kind, None)).collect());
    let error = error_of(&chain(&[&failures(first), &failures(second)]), 240).await;
    assert_eq!(error.kind, expected);
    assert!(error.message.contains("p1/m1: no"), "{error}");
}

/// A model that was not available is asked after the others, until it has rested.
#[rstest]
#[case::half_a_minute(None, 31)]
#[case::as_long_as_asked(Some(90), 91)]
#[tokio::test(start_paused = true)]
async fn a_model_rests(#[case] retry_after: Option<u64>, #[case] rest: u64) {
    let fail = || fails(ModelErrorKind::RateLimited, retry_after);
    let first = fake((0..5).map(|_| fail()).chain([answers()]).collect());
    let second = fake((0..9).map(|_| answers()).collect());
    let chain = chain(&[&first, &second]);
    let provider = async || {
        chain
            .stream(&ChatRequest::default(), in_seconds(240))
            .await
            .unwrap()
            .provider
    };
    assert_eq!(provider().await, "p1");
    let asked = first.calls.lock().len();
    assert_eq!(provider().await, "p1");
    assert_eq!(first.calls.lock().len(), asked);
    if retry_after.is_some() {
        first.answers.lock().drain(..4);
    }
    tokio::time::advance(Duration::from_secs(rest)).await;
    assert_eq!(provider().await, "p0");
}

/// Where all models rest they are asked nevertheless.
#[tokio::test(start_paused = true)]
async fn the_only_model_does_not_rest() {
    let failures = (0..5).map(|_| fails(ModelErrorKind::Server, None));
    let model = fake(failures.chain([answers()]).collect());
    let chain = chain(&[&model]);
    error_of(&chain, 240).await;
    assert!(chain.stream(&ChatRequest::default(), in_seconds(240)).await.is_ok());
}

#[tokio::test]
async fn no_models() {
    assert!(error_of(&ModelChain::default(), 1).await.is_config_error());
}

#[tokio::test]
async fn a_request_is_filled_in() {
    let model = fake(vec![answers(), answers()]);
    let chain = chain(&[&model]);
    let own = ChatRequest {
        max_tokens: Some(5),
        temperature: Some(0.0),
        thinking: 3,
        ..ChatRequest::default()
    };
    for request in [ChatRequest::default(), own] {
        chain.stream(&request, in_seconds(9)).await.unwrap();
    }
    let calls = model.calls.lock();
    let sent = |(_, request): &(Instant, ChatRequest)| {
        (
            request.model.clone(),
            request.max_tokens,
            request.temperature,
            request.thinking,
        )
    };
    let sent: Vec<_> = calls.iter().map(sent).collect();
    assert_eq!(
        sent,
        [
            ("m0".into(), Some(100), Some(0.5), 7),
            ("m0".into(), Some(5), Some(0.0), 3)
        ]
    );
}

/// The pieces that were held back come first, and a stream that only starts is given out at some point.
#[rstest]
#[case(0)]
#[case(1)]
#[case(MAX_HELD - 1)]
#[case(MAX_HELD * 3)]
#[tokio::test]
async fn no_piece_is_lost(#[case] starts: usize) {
    let start = ChatEvent::Started {
        id: "1".into(),
        model: "m".into(),
    };
    let mut events = vec![start; starts];
    events.extend([
        ChatEvent::Text("a".into()),
        ChatEvent::Text("b".into()),
        ChatEvent::Stop(StopReason::End),
    ]);
    let model = fake(vec![Answer::Streams(events.iter().cloned().map(Ok).collect())]);
    let answer = chain(&[&model])
        .stream(&ChatRequest::default(), in_seconds(9))
        .await
        .unwrap();
    let read: Vec<ChatEvent> = answer.stream.map(Result::unwrap).collect().await;
    assert_eq!(read, events);
}
