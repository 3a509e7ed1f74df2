//! A library with plugins for the tests. Each test loads a copy of it under the name of the plugin that it wants.

mod broken;
mod counter;
mod mute;
mod probe;
mod tally;
