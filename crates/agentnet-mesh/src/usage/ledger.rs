//! The ledger: what each agent used, what a day may still cost, and the file that `agentnet mesh usage` reads.
//!
//! A record is appended to the file as one line of JSON and flushed to the disk when the host ends. The totals of the current UTC
//! day are kept in memory and rebuilt from the file at the start, so that a restart does not renew a budget.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use jiff::civil::Date;
use parking_lot::{Mutex, RwLock};

use super::report::{day_of, each_record};
use super::{BudgetExceeded, UsageRecord};
use crate::config::{AgentConfig, Price};

/// Longest thread id in a record, in characters: other agents choose them.
const MAX_THREAD_ID: usize = 128;
/// Tokens that a price is for.
const MILLION: f64 = 1_000_000.0;

/// Tokens and dollars of a host.
#[derive(Debug)]
pub struct Ledger {
    prices: RwLock<BTreeMap<String, Price>>,
    file: Option<LedgerFile>,
    today: Mutex<Today>,
}

#[derive(Debug)]
struct LedgerFile {
    path: PathBuf,
    file: Mutex<File>,
    /// Whether the last write failed: only the first of several failures is logged.
    failing: AtomicBool,
}

/// Totals of one UTC day, by key of the agent.
#[derive(Debug, Default)]
struct Today {
    day: String,
    agents: HashMap<String, Totals>,
}

/// What an agent used on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Tokens read and written.
    pub tokens: u64,
    /// Dollars of the models that have a price.
    pub usd: f64,
}

impl Ledger {
    /// Opens the ledger and reads what was used today. Without a path, nothing is kept.
    ///
    /// # Errors
    /// The file cannot be read, or not be written to.
    pub fn open(path: Option<PathBuf>, prices: BTreeMap<String, Price>) -> io::Result<Self> {
        let mut today = Today {
            day: current_day(),
            agents: HashMap::new(),
        };
        let file = match path {
            Some(path) => {
                each_record(&path, |record| today.add(&record))?;
                Some(LedgerFile::open(path)?)
            }
            None => None,
        };
        Ok(Self {
            prices: RwLock::new(prices),
            file,
            today: Mutex::new(today),
        })
    }

    /// Path of the file, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Changes the prices for the calls to come.
    pub fn set_prices(&self, prices: BTreeMap<String, Price>) {
        *self.prices.write() = prices;
    }

    /// Whether the agent may call a model once more, after so many tokens for the message at hand.
    ///
    /// # Errors
    /// [`BudgetExceeded`]: which budget is used up, and until when.
    pub fn check(&self, agent: &AgentConfig, used_in_request: u64) -> Result<(), BudgetExceeded> {
        self.check_on(&current_day(), agent, used_in_request)
    }

    fn check_on(&self, day: &str, agent: &AgentConfig, used_in_request: u64) -> Result<(), BudgetExceeded> {
        let limits = &agent.limits;
        if let Some(limit) = limits.tokens_per_request
            && used_in_request >= limit
        {
            return Err(BudgetExceeded(format!(
                "tokens_per_request of {}: {used_in_request} of {limit} tokens are used for this message",
                agent.key
            )));
        }
        if limits.tokens_per_day.is_none() && limits.usd_per_day.is_none() {
            return Ok(());
        }
        let used = self.today.lock().of(day, &agent.key);
        let until = || next_day(day).map_or_else(|| "the next UTC day".to_owned(), |next| format!("{next}T00:00:00Z"));
        if let Some(limit) = limits.tokens_per_day
            && used.tokens >= limit
        {
            return Err(BudgetExceeded(format!(
                "tokens_per_day of {}: {} of {limit} tokens are used until {}",
                agent.key,
                used.tokens,
                until()
            )));
        }
        if let Some(limit) = limits.usd_per_day
            && used.usd >= limit
        {
            return Err(BudgetExceeded(format!(
                "usd_per_day of {}: {:.4} of {limit} dollars are used until {}",
                agent.key,
                used.usd,
                until()
            )));
        }
        Ok(())
    }

    /// Keeps a record, with its dollars filled in if the model has a price, and its time if it has none. Returns the dollars. A
    /// file that cannot be written is logged and does not fail the call, which is paid for already.
    pub fn record(&self, mut record: UsageRecord) -> Option<f64> {
        if record.at.is_empty() {
            record.at = Timestamp::now().to_string();
        }
        if let Some((end, _)) = record.thread_id.char_indices().nth(MAX_THREAD_ID) {
            record.thread_id.truncate(end);
        }
        if record.usd.is_none() {
            record.usd = self
                .prices
                .read()
                .get(&record.model)
                .map(|price| dollars(&record, price));
        }
        self.today.lock().add(&record);
        if let Some(file) = &self.file {
            file.append(&record);
        }
        record.usd
    }

    /// What an agent used on the current UTC day.
    #[must_use]
    pub fn used_today(&self, agent: &str) -> Totals {
        self.today.lock().of(&current_day(), agent)
    }

    /// Writes what the system still holds to the disk.
    ///
    /// # Errors
    /// The error of the system.
    pub fn sync(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => file.file.lock().sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Records are in the system's cache already; only a crash of the machine could lose them.
        let _ = self.sync();
    }
}

impl LedgerFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        end_last_line(&mut file)?;
        Ok(Self {
            path,
            file: Mutex::new(file),
            failing: AtomicBool::new(false),
        })
    }

    fn append(&self, record: &UsageRecord) {
        let written = serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                // One write: the lines of several hosts on one file do not mix.
                self.file.lock().write_all(&line)
            });
        match written {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) if self.failing.swap(true, Ordering::Relaxed) => {
                tracing::debug!(%error, "usage is still not recorded");
            }
            Err(error) => {
                let path = self.path.display();
                tracing::error!(%error, "usage cannot be recorded in {path}; budgets go on counting in memory");
            }
        }
    }
}

/// Ends a line that a killed host did not finish.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

impl Today {
    fn add(&mut self, record: &UsageRecord) {
        let day = day_of(&record.at);
        if day > self.day.as_str() {
            self.begin(day);
        }
        if day == self.day {
            let totals = self.agents.entry(record.agent.clone()).or_default();
            totals.tokens = totals.tokens.saturating_add(record.input).saturating_add(record.output);
            totals.usd += record.usd.unwrap_or(0.0);
        }
    }

    fn of(&mut self, day: &str, agent: &str) -> Totals {
        if day > self.day.as_str() {
            self.begin(day);
        }
        self.agents.get(agent).copied().unwrap_or_default()
    }

    fn begin(&mut self, day: &str) {
        self.agents.clear();
        day.clone_into(&mut self.day);
    }
}

/// Dollars of a call.
#[allow(clippy::cast_precision_loss, reason = "no call has 2^52 tokens")]
fn dollars(record: &UsageRecord, price: &Price) -> f64 {
    let cached = record.cached_input.min(record.input);
    let read = (record.input - cached) as f64 * price.input;
    let read_from_cache = cached as f64 * price.cached_input.unwrap_or(price.input);
    let written = record.output as f64 * price.output;
    (read + read_from_cache + written) / MILLION
}

/// The current UTC day, `2026-11-30`.
fn current_day() -> String {
    day_of(&Timestamp::now().to_string()).to_owned()
}

fn next_day(day: &str) -> Option<String> {
    Some(day.parse::<Date>().ok()?.tomorrow().ok()?.to_string())
}

#[cfg(test)]
mod tests;
