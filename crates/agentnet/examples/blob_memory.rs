//! What a large blob costs in memory: the peak must not grow with its size.
//!
//! ```text
//! cargo run -p agentnet --example blob_memory -- [MEBIBYTES]
//! ```
//!
//! Stores a blob of MEBIBYTES (1024 by default) in the network's object store and in a local one, and reads it back
//! from each, checked. Every line shows the time, the rate and the highest memory of the process during that step (Linux only).
//! The example starts its own nats-server, in a process of its own; it ends with status 1 if a step needs more than 200 MiB.

#![allow(clippy::print_stdout, reason = "the result is what it prints")]

use std::time::Instant;

use agentnet::{BlobRef, BlobStore, connect};
use agentnet_testkit::NatsServer;
use tokio::io::{AsyncReadExt, repeat};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const MEBI: u64 = 1 << 20;
const LIMIT_KIB: u64 = 200 * 1024;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mebibytes: u64 = std::env::args().nth(1).map_or(Ok(1024), |text| text.parse())?;
    let size = mebibytes * MEBI;
    let nats = NatsServer::builder().jetstream(true).start().await?;
    let client = connect(&nats.url(), "blob_memory").await?;
    let dir = std::env::temp_dir().join(format!("agentnet-blob-memory-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let outcome = async {
        for (name, store) in [
            ("nats_object", BlobStore::network(&client)),
            ("local_fs", BlobStore::local(dir.join("blobs"))),
        ] {
            let step = Step::begin(name, "put", size);
            let blob = store.put_reader(repeat(b'x').take(size)).await?;
            step.end()?;
            let step = Step::begin(name, "get_to_file", size);
            let out = dir.join("out");
            store.get_to_file(&blob, &out).await?;
            step.end()?;
            if std::fs::metadata(&out)?.len() != size {
                return Err(format!("{} has another size", out.display()).into());
            }
            let step = Step::begin(name, "open", size);
            read_through(&store, &blob).await?;
            step.end()?;
            store.delete(&blob).await?;
        }
        Ok(())
    };
    let outcome = outcome.await;
    std::fs::remove_dir_all(&dir)?;
    outcome
}

async fn read_through(store: &BlobStore, blob: &BlobRef) -> Result<(), Failure> {
    let mut reader = store.open(blob).await?;
    let mut piece = vec![0; 64 * 1024];
    while reader.read(&mut piece).await? > 0 {}
    Ok(())
}

struct Step {
    name: String,
    size: u64,
    started: Instant,
}

impl Step {
    fn begin(store: &str, call: &str, size: u64) -> Self {
        // Sets the peak back to what is used now.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self {
            name: format!("{store:12} {call:12}"),
            size,
            started: Instant::now(),
        }
    }

    fn end(self) -> Result<(), Failure> {
        let seconds = self.started.elapsed().as_secs_f64();
        let mebibytes = self.size / MEBI;
        let rate = mebibytes as f64 / seconds;
        let peak = peak_kib();
        let shown = peak.map_or("unknown".to_owned(), |kib| format!("{:.1} MiB", kib as f64 / 1024.0));
        println!(
            "{} {mebibytes} MiB in {seconds:.1} s, {rate:.0} MiB/s, peak memory {shown}",
            self.name
        );
        match peak {
            Some(kib) if kib > LIMIT_KIB => Err(format!("{} needs too much memory", self.name).into()),
            _ => Ok(()),
        }
    }
}

/// The highest resident memory of this process.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
