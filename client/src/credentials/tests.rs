//! The task that asks the owner.

use std::{
    convert::Infallible,
    future::{pending, ready},
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;

/// The task, and the session's end of it.
struct Scene {
    questions: mpsc::Sender<TokenRequest>,
    answers: mpsc::Receiver<Input>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Scene {
    fn with(provider: TokenProvider) -> Self {
        let (questions, question_queue) = mpsc::channel(4);
        let (tell, answers) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let tell = move |input| {
            let tell = tell.clone();
            async move { tell.send(input).await.is_ok() }
        };
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let task = tokio::spawn(run(provider, question_queue, tell, stop.clone()));
        Self {
            questions,
            answers,
            stop,
            task,
        }
    }

    async fn ask(&self, request: u64) {
        let asked = self.questions.send(TokenRequest(request)).await;
        asked.expect("the task runs");
    }

    async fn answer(&mut self) -> (u64, Option<Vec<u8>>) {
        match self.answers.recv().await.expect("the task runs") {
            Input::Token { request, result } => {
                let token = result.ok().map(|token| token.expose().to_vec());
                (request.0, token)
            }
            other => panic!("expected an answer, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn each_question_is_put_to_the_owner() {
    let asked = AtomicU32::new(0);
    let mut scene = Scene::with(TokenProvider::new(move || {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Infallible>(format!("token{number}")))
    }));
    for request in 1..3 {
        scene.ask(request).await;
        let token = format!("token{}", request - 1).into_bytes();
        assert_eq!(scene.answer().await, (request, Some(token)));
    }
    scene.stop.cancel();
    scene.task.await.expect("no panic");
}

#[tokio::test]
async fn an_error_is_no_token() {
    let mut scene = Scene::with(TokenProvider::new(|| {
        ready(Err::<String, _>(io::Error::other("nobody there")))
    }));
    scene.ask(1).await;
    assert_eq!(scene.answer().await, (1, None));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_never_answers_is_left_in_time() {
    let mut scene = Scene::with(TokenProvider::new(pending::<Result<String, Infallible>>));
    scene.ask(1).await;
    let begin = tokio::time::Instant::now();
    assert_eq!(scene.answer().await, (1, None));
    assert_eq!(begin.elapsed(), ANSWER_TIMEOUT);
}

#[tokio::test]
async fn a_newer_question_takes_the_place_of_an_older_one() {
    let asked = AtomicU32::new(0);
    let mut scene = Scene::with(TokenProvider::new(move || {
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if first {
                pending::<()>().await;
            }
            Ok::<_, Infallible>("second".to_owned())
        }
    }));
    scene.ask(1).await;
    scene.ask(2).await;
    assert_eq!(scene.answer().await, (2, Some(b"second".to_vec())));
}

#[tokio::test]
async fn it_ends_while_it_waits() {
    let scene = Scene::with(TokenProvider::new(pending::<Result<String, Infallible>>));
    scene.ask(1).await;
    scene.stop.cancel();
    scene.task.await.expect("no panic");
}

#[test]
fn credentials_say_nothing_in_debug() {
    let token = Credentials::Token(Arc::new("s3cret".to_owned().into()));
    let provider =
        Credentials::Provider(TokenProvider::new(|| ready(Ok::<_, Infallible>("s3cret"))));
    for credentials in [token, provider] {
        let config = crate::Config {
            credentials,
            ..crate::Config::new("ws://localhost".parse().expect("a URL"))
        };
        let shown = format!("{config:?} {:?}", config.session(1));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
