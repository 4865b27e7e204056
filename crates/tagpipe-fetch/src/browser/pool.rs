//! The tabs: how many there are, who has one, and when one (or the whole Chromium) is replaced.
//!
//! A tab is lent with a [`Lease`]. However the lease ends, also by a dropped future, the tab comes back, or is closed if it
//! is worn out. A tab that is not lent again at once leaves its page, whose script would go on asking the site; one that is
//! goes straight to the next page, which saves a navigation. A Chromium that grew too large is replaced without a pause: new pages go
//! to a new one, the old one ends with its last page.

use std::fmt::Display;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tagpipe_core::outcome::Outcome;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::BrowserSettings;
use super::process::Process;
use super::tab::Tab;
use crate::FetchError;

/// Memory is looked at no more often than this: it means reading a file for each process of the machine.
const MEMORY_LOOK: Duration = Duration::from_secs(5);

/// Until a healthy Chromium has opened a tab, also on a machine under load.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// How long a tab that came back still shows its page.
const LINGER: Duration = Duration::from_millis(50);

pub(super) struct Pool {
    settings: Arc<BrowserSettings>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Tab>>,
    browser: tokio::sync::Mutex<Browser>,
}

/// The Chromium in use, and all that were.
#[derive(Default)]
struct Browser {
    closed: bool,
    current: Option<Arc<Process>>,
    looked_at: Option<Instant>,
    started: Vec<(Weak<Process>, watch::Receiver<bool>)>,
}

/// A tab on loan.
pub(super) struct Lease {
    tab: Option<Tab>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    runtime: Handle,
}

impl Pool {
    pub(super) fn new(settings: Arc<BrowserSettings>) -> Arc<Pool> {
        Arc::new(Pool {
            permits: Arc::new(Semaphore::new(settings.tabs.max(1))),
            settings,
            idle: Mutex::default(),
            browser: tokio::sync::Mutex::default(),
        })
    }

    /// A tab, as soon as one is free. Dropping the future leaves nothing behind.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Lease, FetchError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let pool = Arc::clone(self);
        // In a task of its own: an opening that is abandoned half-way would leave a tab that nobody knows.
        let opening = tokio::spawn(async move { pool.lend_with(permit).await });
        opening.await.unwrap_or_else(|error| Err(no_tab(error)))
    }

    async fn lend_with(self: Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Lease, FetchError> {
        let process = self.process().await?;
        let tab = match self.take_idle(&process) {
            Some(tab) => tab,
            None => self.open_tab(process).await?,
        };
        Ok(Lease {
            tab: Some(tab),
            permit: Some(permit),
            runtime: Handle::current(),
            pool: self,
        })
    }

    async fn open_tab(&self, process: Arc<Process>) -> Result<Tab, FetchError> {
        match timeout(OPEN_LIMIT, Tab::open(Arc::clone(&process), &self.settings.block)).await {
            Ok(Ok(tab)) => Ok(tab),
            Ok(Err(error)) => Err(no_tab(error)),
            Err(_) => {
                let mut browser = self.browser.lock().await;
                browser.current.take_if(|current| Arc::ptr_eq(current, &process));
                Err(no_tab("Chromium does not answer"))
            }
        }
    }

    /// An idle tab of `process`; those of other processes and those that are worn out are closed.
    fn take_idle(&self, process: &Arc<Process>) -> Option<Tab> {
        let mut idle = self.idle();
        idle.retain(|tab| Arc::ptr_eq(tab.process(), process) && !self.is_worn_out(tab));
        idle.pop()
    }

    /// Lets the tab leave its page unless it has been lent again. Without a free permit there is no tab to spare: one that
    /// is idle is about to be lent.
    async fn leave_if_idle(&self, target: &str) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return;
        };
        let tab = {
            let mut idle = self.idle();
            let at = idle
                .iter()
                .position(|tab| tab.target == target && !tab.has_left());
            at.map(|at| idle.swap_remove(at))
        };
        if let Some(tab) = tab
            && tab.leave().await
        {
            self.idle().push(tab);
        }
        drop(permit);
    }

    fn is_worn_out(&self, tab: &Tab) -> bool {
        tab.is_dead()
            || tab.pages >= self.settings.recycle_after_pages
            || tab.born.elapsed() >= self.settings.recycle_after_age
    }

    /// The Chromium for the next page, started if need be.
    async fn process(&self) -> Result<Arc<Process>, FetchError> {
        let mut browser = self.browser.lock().await;
        if browser.closed {
            return Err(closed());
        }
        if let Some(current) = browser.usable(self.settings.recycle_above_bytes) {
            return Ok(current);
        }
        let process = match Process::start(&self.settings).await {
            Ok(process) => Arc::new(process),
            // It ran before, so that it will probably run again.
            Err(error) if !browser.started.is_empty() => {
                return Err(Outcome::Network {
                    detail: error.to_string(),
                }
                .into());
            }
            Err(error) => return Err(error),
        };
        browser.started.retain(|(_, gone)| !*gone.borrow());
        browser.started.push((Arc::downgrade(&process), process.gone()));
        browser.current = Some(Arc::clone(&process));
        Ok(process)
    }

    /// Memory of every Chromium that still runs, in bytes; 0 while one is being started, which is not waited for.
    pub(super) fn memory(&self) -> u64 {
        let Ok(browser) = self.browser.try_lock() else {
            return 0;
        };
        let running = browser
            .started
            .iter()
            .filter_map(|(process, _)| process.upgrade());
        running.map(|process| process.memory()).sum()
    }

    /// Ends every Chromium and waits until nothing of them is left.
    pub(super) async fn close(&self) {
        self.permits.close();
        let mut browser = self.browser.lock().await;
        browser.closed = true;
        browser.current = None;
        self.idle().clear();
        for (process, mut gone) in std::mem::take(&mut browser.started) {
            if let Some(process) = process.upgrade() {
                process.close().await;
            }
            // Fails only when the waiting task is gone, and the process with it.
            let _ = gone.wait_for(|gone| *gone).await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Tab>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Browser {
    /// The current process unless it has ended or grown too large.
    fn usable(&mut self, most_bytes: u64) -> Option<Arc<Process>> {
        let current = self.current.take_if(|process| process.has_ended());
        if current.is_some() {
            tracing::warn!("Chromium has ended, another one is started");
        }
        let is_due = self.looked_at.is_none_or(|at| at.elapsed() >= MEMORY_LOOK);
        if is_due && let Some(process) = &self.current {
            self.looked_at = Some(Instant::now());
            let bytes = process.memory();
            if bytes > most_bytes {
                tracing::info!(bytes, "Chromium grew large, another one takes over");
                self.current = None;
            }
        }
        self.current.clone()
    }
}

impl Lease {
    /// Counts a page as shown.
    pub(super) fn count_page(&mut self) {
        if let Some(tab) = &mut self.tab {
            tab.pages += 1;
        }
    }
}

impl Deref for Lease {
    type Target = Tab;

    fn deref(&self) -> &Tab {
        self.tab
            .as_ref()
            .expect("a lease has its tab until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(tab), Some(permit)) = (self.tab.take(), self.permit.take()) else {
            return;
        };
        let pool = Arc::clone(&self.pool);
        if pool.is_worn_out(&tab) {
            return;
        }
        let target = tab.target.clone();
        pool.idle().push(tab);
        // Only now, so that whoever waits for it finds the tab.
        drop(permit);
        self.runtime.spawn(async move {
            sleep(LINGER).await;
            pool.leave_if_idle(&target).await;
        });
    }
}

fn closed() -> FetchError {
    FetchError::Unavailable("the browser was closed".to_owned())
}

fn no_tab(why: impl Display) -> FetchError {
    Outcome::Network {
        detail: format!("a browser tab cannot be opened: {why}"),
    }
    .into()
}
