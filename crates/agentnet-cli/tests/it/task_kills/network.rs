//! A network of one registry, a worker, coordinators one after the other, and a tap.

use std::time::Duration;

use agentnet::RegistryClient;
use agentnet::protocol::rpc::{TaskEvent, TaskEventsRequest, TaskListRequest, TaskSnapshot};
use agentnet_testkit::{NatsServer, Postgres, RawClient, eventually};
use futures::StreamExt as _;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::harness::{Service, WAIT_TIMEOUT, binary};
use crate::task_kills::steps::{Case, Step, Victim};

/// Tasks, one after the other: the kill is in the first one's life.
const TASKS: usize = 3;
/// A task is done within this time, whatever happens: leases last two seconds, and a claim whose reply was lost is one.
const TASK_TIMEOUT: Duration = Duration::from_secs(120);
/// What the worker does.
const SCRIPT: &str = r#"echo '::progress 50 half' >&2; sleep 0.2; printf '"%s is done"' "$AGENTNET_TASK_ID""#;

/// The database: a file, or a server that can be killed.
enum Database {
    File,
    Server(Box<Postgres>),
}

pub(crate) struct Network {
    case: Case,
    nats: NatsServer,
    database: Database,
    database_url: String,
    registry: Service,
    worker: Service,
    /// Processes that have ended, for their logs.
    dead: Vec<Service>,
    _folder: TempDir,
}

impl Network {
    pub(crate) async fn start(case: Case) -> Self {
        let folder = TempDir::new().unwrap();
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let (database, database_url) = match case.victim {
            Victim::Database => {
                let server = Postgres::launch_durable().await.unwrap();
                let url = server.create_database("tasks").await.unwrap();
                (Database::Server(Box::new(server)), url)
            }
            _ => {
                let file = folder.path().join("agentnet.db");
                (Database::File, format!("sqlite://{}", file.display()))
            }
        };
        let registry = registry(&nats.url(), &database_url).await;
        let worker = worker(&nats.url()).await;
        Self {
            case,
            nats,
            database,
            database_url,
            registry,
            worker,
            dead: Vec::new(),
            _folder: folder,
        }
    }

    /// Has the tasks done, kills at the step of the first one, and sees what has become of them.
    pub(crate) async fn pass(&mut self) -> Result<(), String> {
        let mut shown = Some(self.tap(self.case.step).await);
        for number in 0..TASKS {
            let done = timeout(TASK_TIMEOUT, self.coordinate(number, &mut shown)).await;
            done.map_err(|_| format!("task {number} is not done"))??;
        }
        if shown.is_some() {
            return Err(format!("the step {:?} was not seen", self.case.step));
        }
        self.each_ended_once().await
    }

    /// Runs coordinators for one key until one tells the result.
    async fn coordinate(&mut self, number: usize, shown: &mut Option<oneshot::Receiver<()>>) -> Result<(), String> {
        loop {
            let mut coordinator = coordinator(&self.nats.url(), number);
            // It writes one line before it ends, or none.
            let told = {
                let mut ended = std::pin::pin!(coordinator.rest());
                loop {
                    match shown.as_mut() {
                        None => break Some(ended.await),
                        Some(step) => tokio::select! {
                            told = &mut ended => break Some(told),
                            _ = step => *shown = None,
                        },
                    }
                    if self.case.victim == Victim::Coordinator {
                        break None;
                    }
                    self.kill_and_restart().await;
                }
            };
            let Some(told) = told else {
                // Killed; the next one asks for the same work.
                coordinator.signal(Signal::KILL);
                coordinator.ended().await;
                self.dead.push(coordinator);
                continue;
            };
            let status = coordinator.ended().await;
            self.dead.push(coordinator);
            if status.success() {
                return Ok(());
            }
            // A task that has failed would do so for every coordinator.
            if let Some(document) = told.first() {
                return Err(format!("task {number} is not completed: {document}"));
            }
        }
    }

    /// Sends once when the step is seen on the wire.
    async fn tap(&self, step: Step) -> oneshot::Receiver<()> {
        let client = RawClient::connect(&self.nats.url()).await.unwrap();
        let mut all = client.subscribe(">").await.unwrap();
        client.flush().await.unwrap();
        let (tell, shown) = oneshot::channel();
        tokio::spawn(async move {
            while let Some(message) = all.next().await {
                if step.is_shown_by(&message.subject, &message.payload) {
                    // The test may have failed meanwhile.
                    let _ = tell.send(());
                    return;
                }
            }
        });
        shown
    }

    async fn kill_and_restart(&mut self) {
        match self.case.victim {
            Victim::Coordinator => {}
            Victim::Worker => {
                self.worker.signal(Signal::KILL);
                self.worker.ended().await;
                let again = worker(&self.nats.url()).await;
                self.dead.push(std::mem::replace(&mut self.worker, again));
            }
            Victim::Registry => {
                self.registry.signal(Signal::KILL);
                self.registry.ended().await;
                let again = registry(&self.nats.url(), &self.database_url).await;
                self.dead.push(std::mem::replace(&mut self.registry, again));
            }
            Victim::Nats => {
                self.nats.kill9();
                self.nats.restart().await.unwrap();
            }
            Victim::Database => {
                if let Database::Server(server) = &mut self.database {
                    server.kill9();
                    server.start().await.unwrap();
                }
            }
        }
    }

    /// Checks that there is one task for each key, completed by its command, with one end in a history without gaps.
    async fn each_ended_once(&self) -> Result<(), String> {
        let client = RegistryClient::connect(&self.nats.url()).await.unwrap();
        let client = client.with_timeout(Duration::from_secs(10));
        let request = TaskListRequest {
            limit: 100,
            ..TaskListRequest::default()
        };
        let ask = async || client.call(&request).await.map_err(|error| error.to_string());
        let page = eventually(WAIT_TIMEOUT, ask).await.map_err(|error| error.to_string())?;
        if page.tasks.len() != TASKS {
            return Err(format!(
                "{} tasks instead of {TASKS}: {:?}",
                page.tasks.len(),
                page.tasks
            ));
        }
        for task in &page.tasks {
            let request = TaskEventsRequest {
                task_id: task.task_id.clone(),
                limit: 200,
                ..TaskEventsRequest::default()
            };
            let ask = async || client.call(&request).await.map_err(|error| error.to_string());
            let events = eventually(WAIT_TIMEOUT, ask).await.map_err(|error| error.to_string())?;
            check(task, &events.events)?;
        }
        Ok(())
    }

    /// The last lines of every log.
    pub(crate) fn logs(&self) -> String {
        let services = self.dead.iter().chain([&self.registry, &self.worker]);
        let logs = services.map(Service::stderr).chain([self.nats.log()]);
        let tail = |log: String| {
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n  ")
        };
        logs.map(tail).collect::<Vec<_>>().join("\n---\n  ")
    }

    /// Ends everything in order.
    pub(crate) async fn stop(mut self) {
        for service in [&mut self.worker, &mut self.registry] {
            service.signal(Signal::TERM);
            service.ended().await;
        }
    }
}

fn check(task: &TaskSnapshot, events: &[TaskEvent]) -> Result<(), String> {
    let problem = |what: &str| Err(format!("{what}: {task:?}, {events:?}"));
    let result = format!("\"{} is done\"", task.task_id);
    if task.state != "completed" || task.result.as_ref().is_none_or(|found| found.get() != result) {
        return problem("not completed with the result of its command");
    }
    if !events.iter().map(|event| event.seq).eq(1..=task.event_count) {
        return problem("its history has gaps");
    }
    let count = |kind: &str| events.iter().filter(|event| event.r#type == kind).count();
    match (count("created"), count("finished"), events.last()) {
        (1, 1, Some(last)) if last.r#type == "finished" => Ok(()),
        _ => problem("it did not begin and end once"),
    }
}

fn coordinator(url: &str, number: usize) -> Service {
    let mut command = binary();
    command
        .args(["--nats-url", url, "--json", "task", "assign", "--as", "ada", "--wait"])
        .args(["--to-capability", "build", "--key", &format!("work-{number}")])
        .args(["--retries", "19", "--backoff", "0.1", "--heartbeat", "2"])
        .arg(format!("number {number}"));
    Service::spawn(command)
}

async fn worker(url: &str) -> Service {
    let mut command = binary();
    command
        .args([
            "--nats-url",
            url,
            "task",
            "work",
            "--as",
            "builder",
            "--capability",
            "build",
            "--",
        ])
        .args(["sh", "-c", SCRIPT]);
    let service = Service::spawn(command);
    service.says("does tasks as").await;
    service
}

async fn registry(url: &str, database: &str) -> Service {
    let mut command = binary();
    command
        .args(["--nats-url", url, "registry", "--database-url", database])
        .args(["--agent-ttl-seconds", "6"])
        .args(["--heartbeat-interval-seconds", "1"])
        .args(["--gc-interval-seconds", "1"]);
    let mut service = Service::spawn(command);
    let line = service.next_line().await;
    assert!(line.starts_with("registry ready:"), "{line}");
    service
}
