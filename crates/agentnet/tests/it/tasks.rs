//! Tasks (PROTOCOL.md section 22): asking for work, doing it, and what becomes of it when a side goes away, all on a real
//! registry.

mod closing;
mod coordinating;
mod failing;
mod messages;
mod network;
mod outages;
mod refusing;
mod scripted;
mod wire;
mod working;
