//! OpenAI's speech: `POST {base}/audio/speech`, spoken by many servers, answered with audio.

use reqwest::{
    Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

use super::{
    AudioFormat, Codec, TtsProtocol,
    wire::{Request, Wire},
};
use crate::provider::{ApiKey, ProviderSetupError, ReportedError, openai};

/// What OpenAI's own models speak at; the protocol has no way to ask for another rate.
const ORIGINAL_RATE_HZ: u32 = 24_000;

pub(super) struct OpenAi {
    /// OpenAI's own models, of which the rate is known.
    pub is_original: bool,
}

impl Wire for OpenAi {
    fn check_format(&self, format: AudioFormat) -> Result<(), ProviderSetupError> {
        let refused = |has| {
            let (provider, format) = (TtsProtocol::OpenAi.provider_name(), format.to_string());
            Err(ProviderSetupError::UnavailableFormat { provider, format, has })
        };
        if response_format(format.codec).is_none() {
            return refused(
                "use mp3, opus, pcm or wav with the rate that the server has, as in pcm_24000",
            );
        }
        let is_its_rate = format.codec == Codec::Opus || format.sample_rate_hz == ORIGINAL_RATE_HZ;
        if self.is_original && !is_its_rate {
            return refused("its own models speak at 24000 Hz, as in mp3_24000 or pcm_24000");
        }
        Ok(())
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/octet-stream"));
        if let Some(key) = key {
            headers
                .insert(AUTHORIZATION, key.header("Bearer ", TtsProtocol::OpenAi.provider_name())?);
        }
        Ok(headers)
    }

    fn url(&self, base: &Url, _: &Request<'_>) -> Url {
        let mut url = base.clone();
        // Fails only for URLs such as `mailto:`, which the client does not accept as a base.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["audio", "speech"]);
        }
        url
    }

    fn body(&self, request: &Request<'_>) -> Value {
        json!({
            "model": request.model,
            "voice": request.voice,
            "input": request.text,
            "response_format": response_format(request.format.codec),
        })
    }

    fn parse_error(&self, body: &[u8]) -> ReportedError {
        openai::in_body(body)
    }
}

/// The protocol's name of a codec. It has `aac` and `flac` beside these.
const fn response_format(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::Mp3 => Some("mp3"),
        Codec::Opus => Some("opus"),
        Codec::Pcm => Some("pcm"),
        Codec::Wav => Some("wav"),
        Codec::Ulaw => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ErrorKind;

    const ORIGINAL: OpenAi = OpenAi { is_original: true };
    const IMITATOR: OpenAi = OpenAi { is_original: false };

    fn request(format: &str) -> Request<'static> {
        let format = format.parse().unwrap();
        Request { model: "kokoro", voice: "af_bella", text: "Ahoy", said_before: "Hey.", format }
    }

    #[test]
    fn body_and_url_are_the_protocols() {
        let expected = json!({
            "model": "kokoro", "voice": "af_bella", "input": "Ahoy", "response_format": "pcm",
        });
        assert_eq!(IMITATOR.body(&request("pcm_24000")), expected);
        let url = |base: &str| IMITATOR.url(&base.parse().unwrap(), &request("pcm_24000"));
        for base in ["http://localhost:8880/v1", "http://localhost:8880/v1/"] {
            assert_eq!(url(base).as_str(), "http://localhost:8880/v1/audio/speech");
        }
    }

    #[test]
    fn each_codec_has_the_protocols_name() {
        for (format, name) in
            [("mp3_24000", "mp3"), ("opus_48000", "opus"), ("pcm_16000", "pcm"), ("wav_1", "wav")]
        {
            assert_eq!(IMITATOR.body(&request(format))["response_format"], name);
        }
    }

    #[test]
    fn what_it_cant_give_is_refused_with_what_there_is() {
        let refusal = |wire: &OpenAi, format: &str| {
            let checked = wire.check_format(format.parse().unwrap());
            checked.err().map(|error| error.to_string())
        };
        for format in ["mp3_44100_128", "mp3_24000", "pcm_16000", "opus_48000", "wav_22050"] {
            assert_eq!(refusal(&IMITATOR, format), None, "{format}");
        }
        let said = refusal(&IMITATOR, "ulaw_8000").unwrap();
        assert!(said.contains("ulaw_8000") && said.contains("pcm_24000"), "{said}");
        for format in ["mp3_24000_128", "pcm_24000", "opus_48000", "wav_24000"] {
            assert_eq!(refusal(&ORIGINAL, format), None, "{format}");
        }
        for format in ["mp3_44100_128", "pcm_16000", "wav_8000", "ulaw_8000"] {
            let said = refusal(&ORIGINAL, format).unwrap();
            assert!(said.contains(format) && said.contains("24000"), "{said}");
        }
    }

    #[test]
    fn the_key_is_a_bearer_and_can_be_left_out() {
        let headers = IMITATOR.headers(ApiKey::new("k").as_ref()).unwrap();
        assert_eq!(headers[AUTHORIZATION], "Bearer k");
        assert!(!IMITATOR.headers(None).unwrap().contains_key(AUTHORIZATION));
    }

    #[test]
    fn errors_are_worded_as_those_of_language_models() {
        let body = br#"{"error":{"message":"m","type":"insufficient_quota","code":null}}"#;
        assert_eq!(IMITATOR.parse_error(body).kind, Some(ErrorKind::Quota));
        assert_eq!(IMITATOR.parse_error(b"<html>"), ReportedError::UNKNOWN);
    }
}
