//! `active_sessions`, `active_sessions_limit` and `websocket_closes_total`.

use prometheus::{IntCounterVec, IntGauge, Opts};

use crate::metrics::{CloseReason, GaugeGuard, Registry};

/// Counts connections.
#[derive(Debug, Clone)]
pub(super) struct WebSocketMetrics {
    active: IntGauge,
    closes: IntCounterVec,
}

impl WebSocketMetrics {
    /// Registers them; `limit` is how many sessions there may be.
    pub(super) fn register(registry: &Registry, limit: usize) -> prometheus::Result<Self> {
        let help = "Limit of open WebSocket sessions: websocket.max_sessions.";
        let sessions_limit = IntGauge::new("active_sessions_limit", help)?;
        sessions_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        registry.register(Box::new(sessions_limit))?;
        let active = IntGauge::new("active_sessions", "Open WebSocket sessions.")?;
        registry.register(Box::new(active.clone()))?;
        let help = "WebSocket connections that were closed or refused, by reason.";
        let closes = IntCounterVec::new(Opts::new("websocket_closes_total", help), &["reason"])?;
        for reason in CloseReason::ALL {
            closes.with_label_values(&[reason.as_str()]);
        }
        registry.register(Box::new(closes.clone()))?;
        Ok(Self { active, closes })
    }

    /// Counts an open session until the guard is dropped.
    pub(super) fn open(&self) -> GaugeGuard {
        GaugeGuard::new(&self.active)
    }

    pub(super) fn closed(&self, reason: CloseReason) {
        self.closes.with_label_values(&[reason.as_str()]).inc();
    }
}
