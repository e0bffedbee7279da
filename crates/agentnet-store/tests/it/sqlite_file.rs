//! The contract on a SQLite file.

use std::sync::Arc;

use agentnet_store::{OpenOptions, Store, open, sqlite_url};
use tempfile::TempDir;

async fn fresh() -> (Arc<dyn Store>, TempDir) {
    let directory = TempDir::new().unwrap();
    let url = sqlite_url(&directory.path().join("agentnet.db"));
    (open(&url, &OpenOptions::default()).await.unwrap(), directory)
}

agentnet_store::contract_tests!(fresh);
