//! The audio of texts that are always the same, as the openings of scenes: once one was heard to its end, no
//! provider is asked for it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{AudioFormat, Speech};
use crate::provider::call::ChunkStream;

/// For all texts together: half an hour of MP3. What does not fit is asked for each time.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// For one text, which is collected by everybody who hears it before it is remembered.
const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// What was spoken. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<Spoken>>);

#[derive(Default)]
struct Spoken {
    /// By who says what with which voice.
    audio: HashMap<[String; 3], (AudioFormat, Arc<[Bytes]>)>,
    bytes: usize,
}

impl Remembered {
    /// The audio of this speech, if it was spoken before.
    pub(super) fn get(&self, speech: &Speech) -> Option<(AudioFormat, ChunkStream<Bytes>)> {
        let spoken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (format, chunks) = spoken.audio.get(&key(speech))?;
        let chunks: Vec<_> = chunks.iter().cloned().map(Ok).collect();
        Some((*format, stream::iter(chunks).boxed()))
    }

    /// The same audio, which is remembered once it has come to its end.
    pub(super) fn remember(
        &self,
        speech: &Speech,
        format: AudioFormat,
        audio: ChunkStream<Bytes>,
    ) -> ChunkStream<Bytes> {
        let coming = (audio, Collected::default(), self.clone(), key(speech));
        stream::unfold(Some(coming), move |coming| async move {
            let (mut audio, mut collected, remembered, key) = coming?;
            match audio.next().await {
                Some(Ok(chunk)) => {
                    collected.add(&chunk);
                    Some((Ok(chunk), Some((audio, collected, remembered, key))))
                }
                Some(Err(error)) => Some((Err(error), None)),
                None => {
                    remembered.keep(key, format, collected);
                    None
                }
            }
        })
        .boxed()
    }

    fn keep(&self, key: [String; 3], format: AudioFormat, Collected { chunks, bytes }: Collected) {
        if bytes > MAX_TEXT_BYTES {
            return;
        }
        let mut spoken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.bytes + bytes <= MAX_BYTES && !spoken.audio.contains_key(&key) {
            spoken.bytes += bytes;
            spoken.audio.insert(key, (format, chunks.into()));
        }
    }
}

fn key(speech: &Speech) -> [String; 3] {
    [speech.character.clone(), speech.voice_id.clone(), speech.text.clone()]
}

/// What was heard of one text so far; nothing of it once it is too much.
#[derive(Default)]
struct Collected {
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl Collected {
    fn add(&mut self, chunk: &Bytes) {
        self.bytes += chunk.len();
        if self.bytes > MAX_TEXT_BYTES {
            self.chunks = Vec::new();
        } else {
            // A copy: what has just been read may be part of a larger buffer.
            self.chunks.push(Bytes::copy_from_slice(chunk));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{ErrorKind, ProviderError};

    fn speech(text: &str) -> Speech {
        let [said_before, voice_id] = [String::new(), "v".to_owned()];
        Speech { text: text.to_owned(), said_before, character: "c".to_owned(), voice_id }
    }

    fn heard(remembered: &Remembered, text: &str) -> Option<Vec<u8>> {
        let (_, audio) = remembered.get(&speech(text))?;
        let chunks = futures_util::FutureExt::now_or_never(audio.collect::<Vec<_>>())?;
        Some(chunks.into_iter().flat_map(|chunk| chunk.expect("audio").to_vec()).collect())
    }

    fn pass(remembered: &Remembered, text: &str, chunks: Vec<Result<Bytes, ProviderError>>) {
        let format = "pcm_16000".parse().expect("format");
        let audio = remembered.remember(&speech(text), format, stream::iter(chunks).boxed());
        let passed = futures_util::FutureExt::now_or_never(audio.collect::<Vec<_>>());
        assert!(!passed.expect("at once").is_empty());
    }

    #[test]
    fn what_was_spoken_to_its_end_is_remembered() {
        let remembered = Remembered::default();
        pass(&remembered, "Ahoy", vec![Ok("one".into()), Ok("two".into())]);
        assert_eq!(heard(&remembered, "Ahoy"), Some(b"onetwo".to_vec()));
        assert_eq!(heard(&remembered, "Ahoi"), None);
    }

    #[test]
    fn what_broke_off_is_not() {
        let remembered = Remembered::default();
        let broken = ProviderError::new(&"p".into(), ErrorKind::Interrupted);
        pass(&remembered, "Ahoy", vec![Ok("one".into()), Err(broken)]);
        assert_eq!(heard(&remembered, "Ahoy"), None);
        let format = "pcm_16000".parse().expect("format");
        let chunks = stream::iter([Ok(Bytes::from_static(b"one"))]).boxed();
        drop(remembered.remember(&speech("Ahoy"), format, chunks));
        assert_eq!(heard(&remembered, "Ahoy"), None);
    }

    #[test]
    fn it_is_bounded() {
        let remembered = Remembered::default();
        let most = Bytes::from(vec![0; MAX_TEXT_BYTES]);
        let texts: Vec<_> = (0..=MAX_BYTES / MAX_TEXT_BYTES).map(|text| text.to_string()).collect();
        pass(&remembered, "too long", vec![Ok(most.clone()), Ok("x".into())]);
        assert!(heard(&remembered, "too long").is_none());
        for text in &texts {
            pass(&remembered, text, vec![Ok(most.clone())]);
        }
        let kept = texts.iter().filter(|text| heard(&remembered, text).is_some()).count();
        assert_eq!(kept, texts.len() - 1);
    }
}
