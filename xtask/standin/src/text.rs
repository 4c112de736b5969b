//! What a language model answers: lines that a character might say, cut into pieces.

use rand::{Rng, RngExt};

use crate::plan::Plan;

/// One sentence each, so that a voice is asked once. Each has a character of more than one byte, so that
/// [`crate::Fault::SplitUtf8`] finds one.
const LINES: [&str; 12] = [
    "Ah, there you are — I was beginning to think the tide had kept you.",
    "It looks like you’re writing a letter… or a very polite ransom note, with which I could help.",
    "Steady now: the needle says twelve °C, and my knees say rather less.",
    "I’ve read that manual twice, and the café menu three times, so ask me about the soup.",
    "Don’t touch the red lever — not because it’s dangerous, but because it’s freshly painted.",
    "A naïve question, you say, and yet those are the only ones worth the oxygen.",
    "Give me half a minute and a spanner, and we’ll be breathing easy… well, easier.",
    "That noise is perfectly normal; it’s the other noise I’d worry about — the quiet one.",
    "You did it, and I’d applaud, but my hands are full of wires ⚡ and regret.",
    "Let me see… left at the bulkhead, right at the coffee machine, and mind the Señor asleep there.",
    "I had a joke about pressure, but at this depth — mètre by mètre — nobody laughs.",
    "Whatever you decide, decide it soon: the façade is holding, the rest of us are guessing.",
];

/// The pieces of an answer as the plan wants it: one per token. Never empty, nor is any piece.
pub(crate) fn answer(plan: &Plan, random: &mut impl Rng) -> Vec<String> {
    let mut text = match &plan.text {
        Some(text) => text.clone(),
        None => LINES[random.random_range(0..LINES.len())].to_owned(),
    };
    let least = plan.text_characters.unwrap_or(0).max(plan.chunks.unwrap_or(0));
    let mut length = text.chars().count();
    while length < least {
        let more = match &plan.text {
            Some(text) => text.as_str(),
            None => LINES[random.random_range(0..LINES.len())],
        };
        text.push(' ');
        text.push_str(more);
        length += 1 + more.chars().count();
    }
    if let Some(characters) = plan.text_characters {
        text = text.chars().take(characters.max(plan.chunks.unwrap_or(0))).collect();
    }
    match plan.chunks {
        Some(count) => even_pieces(&text, count),
        None => text.split_inclusive(' ').map(str::to_owned).collect(),
    }
}

/// `text` in `count` pieces of the same number of characters, give or take one.
/// It must have that many characters.
fn even_pieces(text: &str, count: usize) -> Vec<String> {
    let mut characters = text.chars();
    let length = text.chars().count();
    (0..count)
        .map(|piece| (piece * length / count, (piece + 1) * length / count))
        .map(|(from, to)| characters.by_ref().take(to - from).collect())
        .collect()
}

/// How many tokens a prompt of so many bytes is said to have.
pub(crate) fn tokens_of(bytes: usize) -> usize {
    bytes.div_ceil(4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn pieces(plan: Plan) -> Vec<String> {
        answer(&plan, &mut StdRng::seed_from_u64(3))
    }

    #[test]
    fn every_line_can_be_split_inside_a_character() {
        assert!(LINES.iter().all(|line| !line.is_ascii()));
    }

    #[test]
    fn default_is_one_piece_a_word_of_one_line() {
        let pieces = pieces(Plan::default());
        assert!(pieces.len() > 5);
        assert!(LINES.contains(&pieces.concat().as_str()));
    }

    #[test]
    fn length_and_number_are_as_asked() {
        for (chunks, text_characters) in
            [(Some(1), None), (Some(500), None), (Some(7), Some(300)), (None, Some(300))]
        {
            let pieces = pieces(Plan { chunks, text_characters, ..Plan::default() });
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            if let Some(chunks) = chunks {
                assert_eq!(pieces.len(), chunks);
            }
            if let Some(characters) = text_characters {
                assert_eq!(pieces.concat().chars().count(), characters);
            }
        }
    }

    #[test]
    fn text_of_the_plan_is_said_as_it_is() {
        let text = Some("Zoë waits.".to_owned());
        let said = pieces(Plan { text, chunks: Some(4), ..Plan::default() });
        assert_eq!((said.len(), said.concat().as_str()), (4, "Zoë waits."));
    }

    #[test]
    fn seed_chooses_the_line() {
        let lines: std::collections::HashSet<String> = (0..40)
            .map(|seed| answer(&Plan::default(), &mut StdRng::seed_from_u64(seed)).concat())
            .collect();
        assert!(lines.len() > 6);
        assert_eq!(pieces(Plan::default()), pieces(Plan::default()));
    }
}
