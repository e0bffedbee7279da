//! The contract on a SQLite database in memory.

use std::sync::Arc;

use agentnet_store::{OpenOptions, Store, open};

async fn fresh() -> (Arc<dyn Store>, ()) {
    (open("sqlite::memory:", &OpenOptions::default()).await.unwrap(), ())
}

agentnet_store::contract_tests!(fresh);
