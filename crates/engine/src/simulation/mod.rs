//! Whole runs in one thread, with seeded time, chance and faults, so that a run that goes wrong can be seen again exactly.
//!
//! Real are: reading, mapping, diff, plan, guards, outbox, packing, delivery, settling and report; the transport with its pace,
//! pauses, retries and budget; the ledger's journal, lease, index, leavers and folding. Simulated are the network
//! ([`destination`]), what keeps the ledger's pages ([`segport_ledger::Memory`]), the plugins ([`connector`], [`source`]) and
//! the clock, which is tokio's and moves when nothing else does.
//!
//! A seed makes a project and some runs ([`case`]), each a process of its own ([`process`]) that may die. What must hold is in
//! [`check`], and what must hold at every moment in [`world`]. `cargo xtask simulate --seed S` tells what happens in one seed.

mod case;
mod check;
mod connector;
mod destination;
mod dice;
mod process;
mod seeds;
mod source;
mod world;
