//! A plugin's log events as events of the host.

use segport_abi::{LEVEL_DEBUG, LEVEL_ERROR, LEVEL_INFO, LEVEL_OFF, LEVEL_TRACE, LEVEL_WARN};
use segport_core::op::LogEvent;
use tracing::Level;
use tracing::level_filters::LevelFilter;

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
    match level {
        LEVEL_ERROR => at!(Level::ERROR),
        LEVEL_WARN => at!(Level::WARN),
        LEVEL_INFO => at!(Level::INFO),
        LEVEL_DEBUG => at!(Level::DEBUG),
        _ => at!(Level::TRACE),
    }
}

/// The most talkative level that this process's log takes, as the boundary numbers it.
pub(crate) fn level() -> u32 {
    match LevelFilter::current().into_level() {
        None => LEVEL_OFF,
        Some(Level::ERROR) => LEVEL_ERROR,
        Some(Level::WARN) => LEVEL_WARN,
        Some(Level::INFO) => LEVEL_INFO,
        Some(Level::DEBUG) => LEVEL_DEBUG,
        Some(Level::TRACE) => LEVEL_TRACE,
    }
}
