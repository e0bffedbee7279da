//! Measures how long a test's PostgreSQL takes to start and to stop: `cargo run -p agentnet-testkit --example postgres_launch [COUNT]`.

use std::time::Instant;

use agentnet_testkit::Postgres;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u32 = std::env::args().nth(1).map_or(Ok(10), |text| text.parse())?;
    let (mut started, mut created, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let begin = Instant::now();
        let postgres = Postgres::launch().await?;
        started.push(begin.elapsed());
        let begin = Instant::now();
        postgres.create_database("another").await?;
        created.push(begin.elapsed());
        let begin = Instant::now();
        drop(postgres);
        gone.push(begin.elapsed());
    }
    #[expect(clippy::print_stdout, reason = "its purpose")]
    for (what, mut times) in [("launch", started), ("create_database", created), ("drop", gone)] {
        times.sort();
        let (median, last) = (times.get(times.len() / 2).copied(), times.last().copied());
        let (median, last) = (median.unwrap_or_default(), last.unwrap_or_default());
        println!("{what}, {count} times: median {median:.0?}, slowest {last:.0?}");
    }
    Ok(())
}
