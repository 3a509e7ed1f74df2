//! A plugin's log events as events of the host.

use segport_boundary::level;
use segport_core::op::LogEvent;
use tracing::Level;

/// Emits a plugin's event under the target `segport::plugin`, with the fields `plugin`, `run`, `module` and `fields`.
pub(crate) fn emit(plugin: &str, level: u32, json: &[u8]) {
    // An event that cannot be read has nothing to show.
    let Ok(LogEvent { target: module, message, run, fields }) = serde_json::from_slice(json) else { return };
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let fields = fields.join(" ");
    // The level of an event is part of its static description, so each level needs an event of its own.
    macro_rules! at {
        ($level:expr) => {
            tracing::event!(target: "segport::plugin", $level, plugin, run, module, fields, "{message}")
        };
    }
    match level::of(level).into_level() {
        Some(Level::ERROR) => at!(Level::ERROR),
        Some(Level::WARN) => at!(Level::WARN),
        Some(Level::INFO) => at!(Level::INFO),
        Some(Level::DEBUG) => at!(Level::DEBUG),
        Some(Level::TRACE) | None => at!(Level::TRACE),
    }
}
