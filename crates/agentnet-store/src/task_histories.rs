//! Random histories of tasks, on the rules alone and on a database, compared with a simple model after every step. Time is virtual.

mod history;
mod model;
mod steps;
mod system;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::proptest;
use proptest::test_runner::Config;
use tokio::runtime::Runtime;

use self::history::run;
use self::steps::histories;
use self::system::Rules;
use crate::store::Store;
use crate::{OpenOptions, open};

/// So many cases; a failing history is shown, and not kept in a file.
fn config(cases: u32) -> Config {
    Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    }
}

/// Checks so many histories on one store.
pub(crate) fn check_store(runtime: &Runtime, store: &Arc<dyn Store>, cases: u32) {
    let number = AtomicUsize::new(0);
    proptest!(config(cases), |(steps in histories())| {
        let name = format!("h{}", number.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(run(&mut Arc::clone(store), &name, &steps));
    });
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn histories_on_the_rules() {
    let runtime = runtime();
    proptest!(config(10_000), |(steps in histories())| {
        runtime.block_on(run(&mut Rules::default(), "h", &steps));
    });
}

#[test]
fn histories_on_sqlite() {
    let runtime = runtime();
    let store = runtime
        .block_on(open("sqlite::memory:", &OpenOptions::default()))
        .unwrap();
    check_store(&runtime, &store, 300);
    runtime.block_on(store.close());
}
