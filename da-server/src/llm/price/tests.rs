use super::*;
use crate::llm::LlmProtocol;

fn price(model: &str) -> PriceConfig {
    PriceConfig {
        provider: "anthropic".to_owned(),
        model: model.to_owned(),
        input: 4.0,
        output: 10.0,
        cache_read: Some(0.5),
        cache_write: Some(5.0),
    }
}

#[test]
fn the_built_in_list_is_valid_and_has_the_default_models() {
    let all = built_in();
    assert!(all.len() > 20);
    let prices = Prices::with(&all).expect("valid");
    // As the catalogue calls the services of who defined the protocols.
    for (provider, protocol) in [
        ("anthropic", LlmProtocol::Anthropic),
        ("openai", LlmProtocol::OpenAi),
        ("gcp.gemini", LlmProtocol::Google),
    ] {
        let known = prices.of(provider, protocol.default_model()).expect("known");
        assert!(known.output > known.input && known.cache_read.unwrap() < known.input);
    }
}

#[test]
fn cached_tokens_are_parts_of_input_and_reasoning_is_a_part_of_output() {
    let usage = Usage {
        input: Some(1000),
        output: Some(100),
        cache_read: Some(600),
        cache_write: Some(300),
        reasoning: Some(40),
    };
    let dollars = price("m").of_usage(&usage);
    // 100 × 4 + 600 × 0.5 + 300 × 5 + 100 × 10, per million
    assert!((dollars - 3200e-6).abs() < 1e-12, "{dollars}");
}

#[test]
fn without_prices_of_their_own_cached_tokens_cost_what_the_others_do() {
    let plain = PriceConfig { cache_read: None, cache_write: None, ..price("m") };
    let usage = Usage {
        input: Some(1000),
        cache_read: Some(600),
        cache_write: Some(300),
        ..Usage::default()
    };
    assert!((plain.of_usage(&usage) - 4000e-6).abs() < 1e-12);
    assert_eq!(plain.of_usage(&Usage::default()), 0.0);
}

#[test]
fn a_snapshot_costs_what_its_model_does_and_nothing_else_is_guessed() {
    for (model, name) in [
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("gpt-4.1", "gpt-4.1"),
        ("gpt-4.1-12345678-x", "gpt-4.1-12345678-x"),
        ("claude-haiku-4-5-2025100", "claude-haiku-4-5-2025100"),
        ("é-2025-04-1", "é-2025-04-1"),
        ("-20251001", ""),
        ("", ""),
    ] {
        assert_eq!(without_date(model), name);
    }
    let prices = Prices::with(&[]).expect("valid");
    assert!(
        prices.of(LlmProtocol::Anthropic.provider_name(), "claude-haiku-4-5-20251001").is_some()
    );
    assert!(prices.of(LlmProtocol::OpenAi.provider_name(), "claude-haiku-4-5").is_none());
    assert!(prices.of(LlmProtocol::Anthropic.provider_name(), "claude-haiku").is_none());
}

#[test]
fn an_own_price_replaces_the_built_in_one() {
    let own = price("claude-haiku-4-5");
    let prices = Prices::with(std::slice::from_ref(&own)).expect("valid");
    assert_eq!(prices.of(LlmProtocol::Anthropic.provider_name(), "claude-haiku-4-5"), Some(&own));
    assert_eq!(prices.0.len(), built_in().len());
    let snapshot = price("claude-haiku-4-5-20251001");
    let prices = Prices::with(std::slice::from_ref(&snapshot)).expect("valid");
    assert_eq!(
        prices.of(LlmProtocol::Anthropic.provider_name(), "claude-haiku-4-5-20251001"),
        Some(&snapshot)
    );
}

#[test]
fn what_nobody_pays_is_refused() {
    let amount = |change: fn(&mut PriceConfig)| {
        let mut bad = price("bad");
        change(&mut bad);
        Prices::with(&[price("good"), bad]).expect_err("refused")
    };
    for bad in [
        amount(|price| price.input = -1.0),
        amount(|price| price.output = f64::NAN),
        amount(|price| price.cache_read = Some(f64::INFINITY)),
        amount(|price| price.cache_write = Some(-0.1)),
    ] {
        assert_eq!(bad, BadPrice { index: 1, why: PriceError::Amount("bad".to_owned()) });
        assert_eq!(bad.key(), "price.1");
    }
    let why = PriceError::Duplicate("m".to_owned());
    assert_eq!(
        Prices::with(&[price("m"), price("m")]).expect_err("refused"),
        BadPrice { index: 1, why }
    );
}
