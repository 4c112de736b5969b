//! The parts of one server, passed to its modules instead of globals.

use anyhow::Context;

use crate::calls::{Calls, KernelView};
use crate::config::Config;
use crate::game::scene::Scenes;
use crate::game::{Game, GameMetrics, GameParts};
use crate::kernel::Reason;
use crate::llm::{LlmClient, LlmMetrics, Prices};
use crate::metrics::{ErrorMetrics, EventLoopMetrics, Metrics};
use crate::provider::{AdmissionMetrics, ProviderSetupError, http_client};
use crate::store::{Store, StoreMetrics};
use crate::tts::{TtsClient, TtsMetrics};

/// One server's parts.
pub struct App {
    /// What the operator said.
    pub config: Config,
    /// The registry and its exposition.
    pub metrics: Metrics,
    /// `errors_total`.
    pub errors: ErrorMetrics,
    /// How late the runtime is.
    pub event_loop: EventLoopMetrics,
    /// Scenes, providers and the store.
    pub game: Game,
    /// Every call to a provider, with its time accounted for.
    pub calls: Calls,
    /// Why there is no kernel view, if so.
    pub kernel_missing: Option<Reason>,
}

impl App {
    /// Builds every part. Nothing is connected yet.
    ///
    /// # Errors
    /// A part can't be built from `config`: a scene file has a mistake, or the language model no
    /// key. Without a key for speech the game is silent, and says so in the log.
    pub fn new(
        config: Config,
        metrics: Metrics,
        kernel: Result<KernelView, Reason>,
    ) -> anyhow::Result<Self> {
        let registry = metrics.registry();
        let errors = ErrorMetrics::register(registry)?;
        let scenes = checked_scenes(&config)?;
        let kernel_missing = kernel.as_ref().err().copied();
        let calls = Calls::start(&config.calls, registry, kernel.ok()).context("calls")?;
        let reports = Some(calls.reports.clone());
        let http = http_client(&config.http_client).context("http_client")?;
        let event_loop = EventLoopMetrics::register(registry)?;
        let admission =
            AdmissionMetrics::register(registry)?.with_standstill(event_loop.standstill());
        let prices = Prices::with(&config.price).context("price")?;
        let llm_metrics = LlmMetrics::register(registry, prices)?;
        let llm =
            LlmClient::new(&config.llm, http.clone(), &admission, &llm_metrics, reports.clone())
                .context("llm")?;
        let tts_metrics = TtsMetrics::register(registry)?;
        let tts_config = config.tts.clone().with_elevenlabs_voices(&config.game.voices);
        let tts = match TtsClient::new(&tts_config, http, &admission, &tts_metrics, reports) {
            Ok(tts) => Some(tts),
            // An operator who lists fallbacks wants speech.
            Err(error @ ProviderSetupError::MissingKey { .. })
                if tts_config.fallback.is_empty() =>
            {
                tracing::warn!("speech is disabled: {error}");
                None
            }
            Err(error) => return Err(error).context("tts"),
        };
        let store_metrics = StoreMetrics::register(registry)?;
        let store = Store::new(config.store.clone(), store_metrics, errors.clone());
        let game = Game::new(GameParts {
            metrics: GameMetrics::register(registry, &scenes)?,
            scenes,
            llm,
            tts,
            store: store.context("store")?,
            errors: errors.clone(),
            config: config.game.clone(),
        });
        Ok(Self { config, metrics, errors, event_loop, game, calls, kernel_missing })
    }
}

/// The scenes, each of whose characters has a voice wherever it may be asked to speak.
///
/// # Errors
/// A scene file has a mistake, or a character no voice.
pub fn checked_scenes(config: &Config) -> anyhow::Result<Scenes> {
    let scenes = Scenes::load(config.game.scenes_dir.as_deref()).context("scene")?;
    let characters = scenes.iter().map(|scene| scene.character.id.as_str());
    let tts = config.tts.clone().with_elevenlabs_voices(&config.game.voices);
    tts.check_voices(characters)?;
    Ok(scenes)
}
