//! The audio of texts that are always the same, as the openings of scenes: a provider is asked for each once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{AudioFormat, Speech};
use crate::provider::call::ChunkStream;

/// For all texts together: some 40 minutes of MP3. What does not fit is asked for each time.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What was spoken. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<Spoken>>);

#[derive(Default)]
struct Spoken {
    /// By who says what.
    audio: HashMap<[String; 2], (AudioFormat, Arc<[Bytes]>)>,
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
        let coming = (audio, Vec::new(), self.clone(), key(speech));
        stream::unfold(Some(coming), move |coming| async move {
            let (mut audio, mut chunks, remembered, key) = coming?;
            match audio.next().await {
                Some(Ok(chunk)) => {
                    // A copy: what has just been read may be part of a larger buffer.
                    chunks.push(Bytes::copy_from_slice(&chunk));
                    Some((Ok(chunk), Some((audio, chunks, remembered, key))))
                }
                Some(Err(error)) => Some((Err(error), None)),
                None => {
                    remembered.keep(key, format, chunks);
                    None
                }
            }
        })
        .boxed()
    }

    fn keep(&self, key: [String; 2], format: AudioFormat, chunks: Vec<Bytes>) {
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        let mut spoken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.bytes + bytes <= MAX_BYTES && !spoken.audio.contains_key(&key) {
            spoken.bytes += bytes;
            spoken.audio.insert(key, (format, chunks.into()));
        }
    }
}

fn key(speech: &Speech) -> [String; 2] {
    [speech.character.clone(), speech.text.clone()]
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
        let half = Bytes::from(vec![0; MAX_BYTES / 2]);
        for text in ["a", "b", "c"] {
            pass(&remembered, text, vec![Ok(half.clone())]);
        }
        assert!(heard(&remembered, "b").is_some() && heard(&remembered, "c").is_none());
    }
}
