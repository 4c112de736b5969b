//! Scripted attempts, without a network.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;
use crate::provider::admission::{DEFAULT_MAX_CONCURRENT, tests::admission};
use crate::provider::{BreakerConfig, CallKind, outcome::CallOutcome, report::AttemptReport};

#[derive(Debug, Clone, Copy, PartialEq)]
enum TestChunk {
    Progress,
    Content(u8),
    End,
}

use TestChunk::{Content, End, Progress};

impl Chunk for TestChunk {
    fn is_end(&self) -> bool {
        *self == End
    }

    fn is_progress(&self) -> bool {
        *self == Progress
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Attempt { outcome: Outcome, had_first_content: bool },
    Retry(ErrorKind),
    Call(CallOutcome),
}

#[derive(Clone, Default)]
struct Notebook(Arc<Mutex<Vec<Told>>>);

impl Notebook {
    fn push(&self, told: Told) {
        self.0.lock().unwrap().push(told);
    }

    fn read(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Notebook {
    fn attempt_ended(&self, report: AttemptReport) {
        let had_first_content = report.first_content.is_some();
        self.push(Told::Attempt { outcome: report.outcome, had_first_content });
    }

    fn retried(&self, reason: ErrorKind) {
        self.push(Told::Retry(reason));
    }

    fn call_ended(&self, _took: Duration, outcome: CallOutcome) {
        self.push(Told::Call(outcome));
    }
}

fn attempt(outcome: Outcome, had_first_content: bool) -> Told {
    Told::Attempt { outcome, had_first_content }
}

fn failed(kind: ErrorKind) -> Told {
    attempt(Outcome::Failed(kind), false)
}

fn error(kind: ErrorKind) -> ProviderError {
    ProviderError::new(&"anthropic".into(), kind)
}

fn runner() -> CallRunner {
    CallRunner {
        reporter: Reporter {
            kind: CallKind::Llm,
            provider: "anthropic".into(),
            model: "m".into(),
            reports: None,
        },
        timeouts: Timeouts::default(),
        retry: RetryPolicy { initial_backoff: Duration::ZERO, ..RetryPolicy::default() },
        admission: admission(DEFAULT_MAX_CONCURRENT, BreakerConfig::default()),
        has_fallback: false,
    }
}

/// What one attempt does: fail to open, or yield these and then end, or stay open for good.
enum Script {
    Refuse(ErrorKind),
    /// Be refused in a way that the next request minds.
    Amend,
    Yield(Vec<Result<TestChunk, ErrorKind>>),
    YieldAndHang(Vec<Result<TestChunk, ErrorKind>>),
}

/// Runs a call whose attempts follow the scripts in turn.
async fn run(
    runner: &CallRunner,
    notebook: &Notebook,
    scripts: impl IntoIterator<Item = Script>,
) -> Result<ChunkStream<TestChunk>, ProviderError> {
    let scripts = RefCell::new(scripts.into_iter().collect::<VecDeque<_>>());
    let attempt = |_recorder| {
        let script = scripts.borrow_mut().pop_front().expect("no attempt more than scripted");
        async move {
            let chunks = |list: Vec<Result<TestChunk, ErrorKind>>| {
                stream::iter(list).map(|chunk| chunk.map_err(error))
            };
            match script {
                Script::Refuse(kind) => Err(error(kind)),
                Script::Amend => {
                    Err(ProviderError { amended: true, ..error(ErrorKind::InvalidRequest) })
                }
                Script::Yield(list) => Ok(chunks(list).boxed()),
                Script::YieldAndHang(list) => Ok(chunks(list).chain(stream::pending()).boxed()),
            }
        }
    };
    runner.run(notebook.clone(), attempt).await
}

#[tokio::test]
async fn attempts_follow_until_one_begins_and_each_is_told() {
    let notebook = Notebook::default();
    let scripts = [
        Script::Refuse(ErrorKind::Overloaded),
        Script::Yield(vec![Err(ErrorKind::Interrupted)]),
        Script::Yield(vec![Ok(Content(1)), Ok(Content(2)), Ok(End)]),
    ];
    let chunks = run(&runner(), &notebook, scripts).await.unwrap();
    let chunks: Vec<_> = chunks.map(Result::unwrap).collect().await;
    assert_eq!(chunks, [Content(1), Content(2), End]);
    assert_eq!(
        notebook.read(),
        [
            failed(ErrorKind::Overloaded),
            Told::Retry(ErrorKind::Overloaded),
            failed(ErrorKind::Interrupted),
            Told::Retry(ErrorKind::Interrupted),
            attempt(Outcome::Success, true),
            Told::Call(CallOutcome::Success),
        ]
    );
}

#[tokio::test]
async fn the_last_error_is_returned_when_retries_are_used_up() {
    let notebook = Notebook::default();
    let scripts = [ErrorKind::Server, ErrorKind::Server, ErrorKind::Overloaded].map(Script::Refuse);
    let error = run(&runner(), &notebook, scripts).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert_eq!(notebook.read().last(), Some(&Told::Call(CallOutcome::Error)));
}

#[tokio::test]
async fn nothing_is_retried_once_content_was_handed_over() {
    let notebook = Notebook::default();
    let script = Script::Yield(vec![Ok(Content(1)), Err(ErrorKind::Overloaded), Ok(Content(2))]);
    let chunks: Vec<_> = run(&runner(), &notebook, [script]).await.unwrap().collect().await;
    assert_eq!(chunks.len(), 2, "nothing after an error");
    assert_eq!(chunks[1].as_ref().unwrap_err().kind, ErrorKind::Overloaded);
    assert_eq!(notebook.read(), [failed(ErrorKind::Overloaded), Told::Call(CallOutcome::Error)]);
}

#[tokio::test]
async fn an_answer_that_ends_without_content_has_failed_and_is_tried_again() {
    let notebook = Notebook::default();
    let scripts = [
        Script::Yield(vec![Ok(End)]),
        Script::Yield(vec![Ok(Progress), Ok(End)]),
        Script::Yield(vec![Ok(Content(1)), Ok(End)]),
    ];
    let chunks: Vec<_> = run(&runner(), &notebook, scripts).await.unwrap().collect().await;
    assert_eq!(chunks.len(), 2);
    let empty = ErrorKind::EmptyAnswer;
    assert_eq!(
        notebook.read(),
        [
            failed(empty),
            Told::Retry(empty),
            failed(empty),
            Told::Retry(empty),
            attempt(Outcome::Success, true),
            Told::Call(CallOutcome::Success)
        ]
    );
}

/// An attempt that makes progress every 5 ms, so many times, and then has content.
async fn thinks(runner: &CallRunner, notebook: &Notebook, times: usize) -> Option<ErrorKind> {
    let attempt = async |_recorder| {
        let thinking = stream::iter(0..times).then(|_| async {
            sleep(Duration::from_millis(5)).await;
            Ok(Progress)
        });
        Ok(thinking.chain(stream::iter([Ok(Content(1)), Ok(Progress), Ok(End)])).boxed())
    };
    match runner.run(notebook.clone(), attempt).await {
        Ok(chunks) => {
            let chunks: Vec<_> = chunks.map(Result::unwrap).collect().await;
            assert_eq!(chunks, [Content(1), End], "the caller does not see progress");
            None
        }
        Err(error) => Some(error.kind),
    }
}

#[tokio::test]
async fn progress_renews_the_time_for_the_first_content_within_that_of_the_call() {
    let notebook = Notebook::default();
    let mut runner = runner();
    runner.timeouts.first_content = Duration::from_millis(500);
    assert_eq!(thinks(&runner, &notebook, 110).await, None);
    assert_eq!(
        notebook.read(),
        [attempt(Outcome::Success, true), Told::Call(CallOutcome::Success)]
    );
    runner.timeouts.total = Duration::from_millis(250);
    assert_eq!(thinks(&runner, &notebook, usize::MAX).await, Some(ErrorKind::Timeout));
}

#[tokio::test]
async fn success_is_told_with_the_end_not_with_the_poll_after_it() {
    let notebook = Notebook::default();
    let script = Script::YieldAndHang(vec![Ok(Content(1)), Ok(End)]);
    let mut chunks = run(&runner(), &notebook, [script]).await.unwrap();
    chunks.next().await;
    chunks.next().await;
    assert_eq!(
        notebook.read(),
        [attempt(Outcome::Success, true), Told::Call(CallOutcome::Success)]
    );
}

#[tokio::test]
async fn a_stream_that_just_ends_has_succeeded_if_it_had_content() {
    let notebook = Notebook::default();
    let scripts = [Script::Yield(vec![]), Script::Yield(vec![Ok(Content(1))])];
    let chunks: Vec<_> = run(&runner(), &notebook, scripts).await.unwrap().collect().await;
    assert_eq!(chunks.len(), 1);
    assert_eq!(notebook.read()[0], failed(ErrorKind::Interrupted));
    assert_eq!(notebook.read()[2], attempt(Outcome::Success, true));
}

#[tokio::test]
async fn dropping_the_stream_is_a_cancel() {
    let notebook = Notebook::default();
    let script = Script::YieldAndHang(vec![Ok(Content(1))]);
    let mut chunks = run(&runner(), &notebook, [script]).await.unwrap();
    chunks.next().await;
    drop(chunks);
    let cancelled = attempt(Outcome::Failed(ErrorKind::Cancelled), true);
    assert_eq!(notebook.read(), [cancelled, Told::Call(CallOutcome::Cancelled)]);
}

#[tokio::test]
async fn dropping_the_call_before_its_first_content_is_a_cancel() {
    let notebook = Notebook::default();
    let runner = runner();
    let call = run(&runner, &notebook, [Script::YieldAndHang(vec![])]);
    let waited = tokio::time::timeout(Duration::from_millis(5), call).await;
    assert!(waited.is_err(), "it hangs");
    assert_eq!(notebook.read(), [failed(ErrorKind::Cancelled), Told::Call(CallOutcome::Cancelled)]);
}

#[tokio::test]
async fn each_attempt_has_its_own_time_for_the_first_content() {
    let notebook = Notebook::default();
    let mut runner = runner();
    runner.timeouts.first_content = Duration::from_millis(5);
    let scripts = [Script::YieldAndHang(vec![]), Script::Yield(vec![Ok(Content(1)), Ok(End)])];
    let chunks: Vec<_> = run(&runner, &notebook, scripts).await.unwrap().collect().await;
    assert_eq!(chunks.len(), 2);
    assert_eq!(notebook.read()[0], failed(ErrorKind::Timeout));
}

#[tokio::test]
async fn the_deadline_ends_a_stream_that_has_begun() {
    let notebook = Notebook::default();
    let mut runner = runner();
    runner.timeouts.total = Duration::from_millis(20);
    let script = Script::YieldAndHang(vec![Ok(Content(1))]);
    let chunks: Vec<_> = run(&runner, &notebook, [script]).await.unwrap().collect().await;
    assert_eq!(chunks[1].as_ref().unwrap_err().kind, ErrorKind::Timeout);
    assert_eq!(notebook.read(), [failed(ErrorKind::Timeout), Told::Call(CallOutcome::Error)]);
}

#[tokio::test]
async fn the_deadline_ends_the_last_attempt_and_forbids_another() {
    let notebook = Notebook::default();
    let mut runner = runner();
    runner.timeouts.total = Duration::from_millis(5);
    let error = run(&runner, &notebook, [Script::YieldAndHang(vec![])]).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(notebook.read(), [failed(ErrorKind::Timeout), Told::Call(CallOutcome::Error)]);
}

#[tokio::test]
async fn a_retry_counts_when_it_is_made() {
    let notebook = Notebook::default();
    let mut runner = runner();
    runner.retry.initial_backoff = Duration::from_secs(5);
    let call = run(&runner, &notebook, [Script::Refuse(ErrorKind::Server)]);
    let waited = tokio::time::timeout(Duration::from_millis(20), call).await;
    assert!(waited.is_err(), "it pauses");
    let given_up = Told::Call(CallOutcome::Cancelled);
    assert_eq!(notebook.read(), [failed(ErrorKind::Server), given_up], "there was none");
}

#[tokio::test]
async fn an_amended_request_is_made_at_once_and_is_no_retry() {
    let notebook = Notebook::default();
    let mut runner = runner();
    runner.retry = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
    let scripts = [Script::Amend, Script::Amend, Script::Yield(vec![Ok(Content(1)), Ok(End)])];
    run(&runner, &notebook, scripts).await.unwrap().collect::<Vec<_>>().await;
    let refused = failed(ErrorKind::InvalidRequest);
    let (answered, ended) = (attempt(Outcome::Success, true), Told::Call(CallOutcome::Success));
    assert_eq!(notebook.read(), [refused.clone(), refused, answered, ended]);
}

#[tokio::test]
async fn the_first_content_of_a_probe_lets_the_others_through() {
    let notebook = Notebook::default();
    let mut runner = runner();
    runner.retry.max_retries = 0;
    let breaker = BreakerConfig { failures: 1, cool_down: Duration::ZERO };
    runner.admission = admission(DEFAULT_MAX_CONCURRENT, breaker);
    run(&runner, &notebook, [Script::Refuse(ErrorKind::Server)]).await.err().unwrap();
    let content = || Script::YieldAndHang(vec![Ok(Content(1))]);
    let probe = run(&runner, &notebook, [content()]).await.unwrap();
    let second = run(&runner, &notebook, [content()]).await.expect("the probe has begun to answer");
    drop((probe, second));
}
