//! The running site: two listeners, what they share, and how they stop.

mod admin;
mod assets;
mod evil;
mod site;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::DemoConfig;
use crate::faults::Attempts;
use crate::request_log::{RequestLog, RequestRecord};
use crate::world::World;

/// How long a stop waits for answers under way.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The demo site.
#[derive(Debug)]
pub struct DemoSite;

impl DemoSite {
    /// Starts a site at `listen` and its admin address at `admin`. Port 0 takes any free one.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn start(
        config: DemoConfig,
        listen: SocketAddr,
        admin: SocketAddr,
    ) -> std::io::Result<RunningDemo> {
        let site = TcpListener::bind(listen).await?;
        let admin = TcpListener::bind(admin).await?;
        let (site_addr, admin_addr) = (site.local_addr()?, admin.local_addr()?);
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::new(Shared::new(config, stopping.clone()));
        let tasks = [
            serve(site, site::router(Arc::clone(&shared)), stopping.clone()),
            serve(admin, admin::router(Arc::clone(&shared)), stopping),
        ];
        tracing::info!(%site_addr, %admin_addr, pages = shared.now().world.page_count(), "demo site started");
        Ok(RunningDemo {
            shared,
            site_addr,
            admin_addr,
            stop,
            tasks,
        })
    }
}

fn serve(listener: TcpListener, router: Router, mut stopping: watch::Receiver<bool>) -> JoinHandle<()> {
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "connection keeps its delay");
        }
    });
    tokio::spawn(async move {
        let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
        {
            tracing::error!(%error, "demo site stopped serving");
        }
    })
}

/// A demo site that is up. Dropping it stops it as well.
#[derive(Debug)]
pub struct RunningDemo {
    shared: Arc<Shared>,
    site_addr: SocketAddr,
    admin_addr: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl RunningDemo {
    /// Origin of the site, without a slash at the end.
    pub fn site_url(&self) -> String {
        format!("http://{}", self.site_addr)
    }

    /// Origin of the admin address, without a slash at the end.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin_addr)
    }

    /// Address of the site.
    pub fn site_addr(&self) -> SocketAddr {
        self.site_addr
    }

    /// Address of the admin side.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The content as it is now; later changes of settings yield another world.
    pub fn world(&self) -> Arc<World> {
        Arc::clone(&self.shared.now().world)
    }

    /// The settings as they are now.
    pub fn config(&self) -> DemoConfig {
        self.shared.now().config.clone()
    }

    /// The requests recorded so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log.records()
    }

    /// Forgets the recorded requests.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// Changes settings; requests that arrive afterwards see all of the change.
    pub fn update(&self, change: impl FnOnce(&mut DemoConfig)) {
        let changed = self.shared.change(|config| {
            let mut config = config.clone();
            change(&mut config);
            Ok::<_, std::convert::Infallible>(config)
        });
        match changed {
            Ok(_) => {}
        }
    }

    /// Stops both listeners; answers under way are finished if they are quick.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in &mut self.tasks {
            if tokio::time::timeout(STOP_PATIENCE, &mut *task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for RunningDemo {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Settings and the world that follows from them, always changed together.
#[derive(Debug)]
struct Now {
    config: DemoConfig,
    world: Arc<World>,
}

/// What both listeners work on.
#[derive(Debug)]
struct Shared {
    now: RwLock<Arc<Now>>,
    /// Held while settings change, so that no change is lost to another.
    changing: Mutex<()>,
    attempts: Attempts,
    log: RequestLog,
    stopping: watch::Receiver<bool>,
}

impl Shared {
    fn new(config: DemoConfig, stopping: watch::Receiver<bool>) -> Self {
        let world = Arc::new(World::new(config.world_conditions()));
        let now = RwLock::new(Arc::new(Now { config, world }));
        Self {
            now,
            changing: Mutex::new(()),
            attempts: Attempts::default(),
            log: RequestLog::default(),
            stopping,
        }
    }

    fn now(&self) -> Arc<Now> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the settings that `change` makes of the present ones; another world is computed only where they ask
    /// for one. Changes happen one after the other.
    fn change<E>(&self, change: impl FnOnce(&DemoConfig) -> Result<DemoConfig, E>) -> Result<DemoConfig, E> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.now();
        let config = change(&before.config)?;
        let conditions = config.world_conditions();
        let world = if before.world.conditions() == conditions {
            Arc::clone(&before.world)
        } else {
            Arc::new(World::new(conditions))
        };
        if before.config.faults != config.faults {
            self.attempts.forget();
        }
        let now = Arc::new(Now {
            config: config.clone(),
            world,
        });
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(config)
    }

    /// Waits, but not beyond the stop of the site.
    async fn pause(&self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        let mut stopping = self.stopping.clone();
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }
}
