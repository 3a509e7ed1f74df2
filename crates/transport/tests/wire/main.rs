//! The transport over real sockets: what reaches a destination, what comes back, what is refused, and what is logged.

#[cfg(test)]
mod delivery;
#[cfg(test)]
mod log;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod server;
