//! Levels of the log, which the boundary numbers by how talkative they are.

use segport_abi::{LEVEL_DEBUG, LEVEL_ERROR, LEVEL_INFO, LEVEL_OFF, LEVEL_TRACE, LEVEL_WARN};
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// The number of a level.
pub fn number(level: impl Into<LevelFilter>) -> u32 {
    match level.into().into_level() {
        None => LEVEL_OFF,
        Some(Level::ERROR) => LEVEL_ERROR,
        Some(Level::WARN) => LEVEL_WARN,
        Some(Level::INFO) => LEVEL_INFO,
        Some(Level::DEBUG) => LEVEL_DEBUG,
        Some(Level::TRACE) => LEVEL_TRACE,
    }
}

/// The level of a number; one that is not known is the most talkative.
pub fn of(number: u32) -> LevelFilter {
    match number {
        LEVEL_OFF => LevelFilter::OFF,
        LEVEL_ERROR => LevelFilter::ERROR,
        LEVEL_WARN => LevelFilter::WARN,
        LEVEL_INFO => LevelFilter::INFO,
        LEVEL_DEBUG => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_one_level() {
        for known in LEVEL_OFF..=LEVEL_TRACE {
            assert_eq!(number(of(known)), known);
        }
        assert_eq!(of(LEVEL_TRACE + 1), LevelFilter::TRACE);
        assert_eq!(number(Level::WARN), LEVEL_WARN);
    }
}
