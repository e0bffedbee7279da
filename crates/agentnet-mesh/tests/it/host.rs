//! A host on a real nats-server and a real registry; its provider is a web server that repeats a word of the prompt.

mod closing;
mod reloading;
mod starting;
mod world;
