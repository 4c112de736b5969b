//! Language models that are broken, in every protocol.

use da_server::llm::LlmProtocol;
use da_standin::Decoder;

use crate::case::{Case, play};
use crate::provider::{MARK, Provider, Step};
use crate::server::Settings;

/// Makes three tests of each case, one for each protocol.
macro_rules! models {
    ($($name:ident: $done:expr, $answer:expr, $expected:expr;)+) => {
        $(mod $name {
            use super::*;
            fn case() -> Shape {
                Shape { done: $done, answer: $answer, expected: $expected }
            }
            #[test] fn anthropic() { case().play(LlmProtocol::Anthropic) }
            #[test] fn openai() { case().play(LlmProtocol::OpenAi) }
            #[test] fn google() { case().play(LlmProtocol::Google) }
        })+
    };
}

mod bodies;
mod heads;
mod streams;

/// An answer to one player, while another is answered as usual.
struct Shape {
    done: &'static str,
    answer: fn(Decoder) -> Vec<Step>,
    /// What the turn of the first ends with.
    expected: &'static str,
}

impl Shape {
    fn play(&self, protocol: LlmProtocol) {
        let answer = self.answer;
        let script = move |asked: Decoder| (asked != Decoder::Audio).then(|| answer(asked));
        let settings = Settings { model: protocol, ..Settings::with(Provider::scripted(script)) };
        let case = Case { done: self.done, expected: self.expected };
        play(&case, settings, async |server| {
            let (came, beside) = tokio::join!(server.turn(MARK), server.turn("And you?"));
            assert_eq!(beside, "success", "of a healthy player beside it");
            came
        });
    }
}
