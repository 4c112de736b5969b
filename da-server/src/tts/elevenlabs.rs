//! ElevenLabs: `POST /v1/text-to-speech/{voice_id}/stream?output_format=…`, answered with audio.

use reqwest::{Url, header::HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    AudioFormat, TtsProtocol,
    wire::{Request, Wire},
};
use crate::provider::{ApiKey, ErrorCode, ErrorKind, ProviderSetupError, ReportedError};

pub(super) struct ElevenLabs;

impl Wire for ElevenLabs {
    /// Its service knows what there is, which depends on the account.
    fn check_format(&self, _: AudioFormat) -> Result<(), ProviderSetupError> {
        Ok(())
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("xi-api-key", key.header("", TtsProtocol::ElevenLabs.provider_name())?);
        }
        Ok(headers)
    }

    fn url(&self, base: &Url, request: &Request<'_>) -> Url {
        let mut url = base.clone();
        // Fails only for URLs such as `mailto:`, which the client does not accept as a base.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "text-to-speech", request.voice, "stream"]);
        }
        url.query_pairs_mut().append_pair("output_format", &request.format.to_string());
        url
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let mut body = json!({"text": request.text, "model_id": request.model});
        // Models of the third generation refuse it, so later ones may as well.
        let takes_it = ["_v1", "_v2"].iter().any(|version| request.model.contains(version));
        if takes_it && !request.said_before.is_empty() {
            body["previous_text"] = request.said_before.into();
        }
        body
    }

    fn parse_error(&self, body: &[u8]) -> ReportedError {
        let Ok(ErrorBody { detail }) = serde_json::from_slice(body) else {
            return ReportedError::UNKNOWN;
        };
        let code = match detail {
            Detail::Described { status, code, class } => status.or(code).or(class),
            // A 422 lists what is wrong with each field.
            Detail::Other(_) => None,
        };
        let Some(code) = code else {
            return ReportedError::UNKNOWN;
        };
        ReportedError {
            // Comes as HTTP 400 or 401.
            kind: (code == "quota_exceeded").then_some(ErrorKind::Quota),
            code: ErrorCode::new(&code),
        }
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    detail: Detail,
}

/// The message beside these is left unread on purpose: it may quote the text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    Described {
        status: Option<String>,
        code: Option<String>,
        #[serde(rename = "type")]
        class: Option<String>,
    },
    Other(serde::de::IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(voice: &str) -> Request<'_> {
        let format = "mp3_44100_128".parse().unwrap();
        let (model, text) = ("eleven_flash_v2_5", "Ahoy");
        Request { model, voice, text, said_before: "", format }
    }

    fn url(base: &str, voice: &str) -> String {
        ElevenLabs.url(&base.parse().unwrap(), &request(voice)).to_string()
    }

    #[test]
    fn url_names_voice_and_format() {
        assert_eq!(
            url("https://api.elevenlabs.io", "JBFq"),
            "https://api.elevenlabs.io/v1/text-to-speech/JBFq/stream?output_format=mp3_44100_128"
        );
    }

    #[test]
    fn base_url_may_have_a_path() {
        assert_eq!(
            url("http://gateway/eleven/", "v"),
            "http://gateway/eleven/v1/text-to-speech/v/stream?output_format=mp3_44100_128"
        );
    }

    #[test]
    fn a_voice_cannot_change_the_path() {
        assert!(url("http://h", "a/../b?x").contains("/text-to-speech/a%2F..%2Fb%3Fx/stream?"));
    }

    #[test]
    fn body_names_text_and_model() {
        assert_eq!(
            ElevenLabs.body(&request("v")),
            json!({"text": "Ahoy", "model_id": "eleven_flash_v2_5"})
        );
    }

    #[test]
    fn what_was_said_before_is_told_to_models_that_take_it() {
        let told = |model, said_before| {
            let asked = Request { model, said_before, ..request("v") };
            ElevenLabs.body(&asked).get("previous_text").cloned()
        };
        for model in ["eleven_flash_v2_5", "eleven_multilingual_v2", "eleven_monolingual_v1"] {
            assert_eq!(told(model, "Hello."), Some("Hello.".into()), "{model}");
            assert_eq!(told(model, ""), None, "{model}");
        }
        for model in ["eleven_v3", "eleven_v3_conversational", "unknown"] {
            assert_eq!(told(model, "Hello."), None, "{model}");
        }
    }

    #[test]
    fn key_goes_into_its_own_header() {
        let headers = ElevenLabs.headers(ApiKey::new("k").as_ref()).unwrap();
        assert_eq!(headers["xi-api-key"], "k");
        assert!(ElevenLabs.headers(None).unwrap().is_empty());
    }

    #[test]
    fn quota_is_told_from_a_bad_key() {
        let body = br#"{"detail":{"status":"quota_exceeded","message":"You have 3 left"}}"#;
        let reported = ElevenLabs.parse_error(body);
        assert_eq!(reported.kind, Some(ErrorKind::Quota));
        assert_eq!(reported.code.unwrap().as_str(), "quota_exceeded");
    }

    #[test]
    fn newer_errors_use_code() {
        let body = br#"{"detail":{"type":"rate_limit_error","code":"concurrent_limit_exceeded","message":"wait","request_id":"r"}}"#;
        assert_eq!(
            ElevenLabs.parse_error(body).code.unwrap().as_str(),
            "concurrent_limit_exceeded"
        );
    }

    #[test]
    fn field_lists_and_foreign_bodies_are_unknown() {
        let list = br#"{"detail":[{"loc":["body","text"],"msg":"required","type":"missing"}]}"#;
        assert_eq!(ElevenLabs.parse_error(list), ReportedError::UNKNOWN);
        assert_eq!(ElevenLabs.parse_error(b"<html>busy</html>"), ReportedError::UNKNOWN);
    }
}
