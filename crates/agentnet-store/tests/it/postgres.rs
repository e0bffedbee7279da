//! The contract on a PostgreSQL database.

use std::sync::Arc;

use agentnet_store::{OpenOptions, Store, open};
use agentnet_testkit::Postgres;

async fn fresh() -> (Arc<dyn Store>, Postgres) {
    let postgres = Postgres::launch().await.unwrap();
    let store = open(&postgres.url(), &OpenOptions::default()).await.unwrap();
    (store, postgres)
}

agentnet_store::contract_tests!(fresh);
