//! The whole server in one process: every part opened, joined and, at the end, closed in order.
//!
//! Guarantees: ports are taken before anything is opened, and answer 503 until everything is
//! ready; a stop answers what is under way, writes a last checkpoint and releases the folder.
//! Left out: arguments, signals and output, which are the commands'.

use crate::control::{Controller, kept_topic};
use crate::data_dir::{self, DataDir, DataDirError, IfMissing};
use crate::dead_letters;
use crate::engine;
use crate::groups::{self, Groups};
use crate::packs::{self, Pack};
use crate::settings;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tradewind_analyze::{Platform, PlatformParts, SettingRow};
use tradewind_collect::demo::Storefront;
use tradewind_collect::{CollectParts, Collector, Retries};
use tradewind_disk::Disk;
use tradewind_lake::Lake;
use tradewind_log::group::GroupCoordinator;
use tradewind_log::wire::{KeptTopics, WireLimits};
use tradewind_log::{LogStore, RecoveryReport};
use tradewind_process::Engine;
use tradewind_serve::{Health, SubscribeLimits, Subscribers, http, metrics};
use tradewind_sql::Catalogue;
use tradewind_types::config::Config;
use tradewind_types::{Clock, Log};

/// What a server is started with.
pub struct ServerOptions {
    /// The data folder; made when it is not there.
    pub data_dir: PathBuf,
    /// Everything that can be set.
    pub config: Config,
    /// The same for `sys.settings`.
    pub settings: Vec<SettingRow>,
    /// Where the folder is.
    pub disk: Arc<dyn Disk>,
    /// Our time.
    pub clock: Arc<dyn Clock>,
}

/// Why a server could not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A port that is taken, or an address that is not ours.
    #[error(
        "{name} cannot listen on {address}: {reason}; set {setting} to another address, or to port 0 for a free one"
    )]
    Port {
        /// `HTTP` or `Kafka`.
        name: &'static str,
        /// As it was configured.
        address: String,
        /// What the operating system said.
        reason: String,
        /// The setting or argument that changes it.
        setting: &'static str,
    },
    /// A part that would not open.
    #[error("{0}")]
    Part(String),
}

fn part(error: impl std::fmt::Display) -> StartError {
    StartError::Part(error.to_string())
}

/// A running server.
pub struct Server {
    /// HTTP and Kafka.
    addresses: Option<(SocketAddr, SocketAddr)>,
    health: Health,
    parts: Parts,
    stop: watch::Sender<bool>,
    /// The two ports; they end when they have drained.
    ports: Vec<JoinHandle<()>>,
    /// Loops that are ended at once.
    background: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the folder and serves it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: ServerOptions) -> Result<Self, StartError> {
        let config = options.config.clone();
        tradewind_log::wire::raise_open_files();
        let http = listen("HTTP", &config.server.http.listen, "server.http_listen").await?;
        let kafka = listen("Kafka", &config.server.kafka.listen, "server.kafka_listen").await?;
        let (http_addr, kafka_addr) = (address(&http)?, address(&kafka)?);
        let (stop, _) = watch::channel(false);
        let health = Health::default();
        let routes: Arc<OnceLock<Router>> = Arc::default();
        let front = front(health.clone(), Arc::clone(&routes));
        let http = http::run(http, front, settings::http(&config), stopped(&stop));
        let http = tokio::spawn(http);
        let parts = match Parts::open(options).await {
            Ok(parts) => parts,
            Err(error) => {
                http.abort();
                return Err(error);
            }
        };
        let subscribers = Subscribers::new(SubscribeLimits::default(), stop.subscribe());
        let _ = routes.set(parts.routes(&config, kafka_addr, subscribers)?);
        let kafka = tokio::spawn(tradewind_log::wire::serve(
            kafka,
            (parts.log.clone(), parts.groups.clone()),
            parts.wire_limits(&config),
            advertised(&config, kafka_addr),
            stopped(&stop),
        ));
        let (ports, background) = (vec![http, kafka], parts.background(&config));
        watch_log(&health, &parts.log);
        health.ready();
        let addresses = Some((http_addr, kafka_addr));
        Ok(Self { addresses, health, parts, stop, ports, background })
    }

    /// Opens the folder for this process alone, without ports. Pipelines run.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn embedded(options: ServerOptions) -> Result<Self, StartError> {
        let (stop, _) = watch::channel(false);
        let parts = Parts::open(options).await?;
        let health = Health::default();
        let groups = parts.groups.clone();
        // Where there is a port, it runs them.
        let background = vec![tokio::spawn(async move { groups.run().await })];
        let ports = Vec::new();
        Ok(Self { addresses: None, health, parts, stop, ports, background })
    }

    /// Where HTTP is served; `None` without ports.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.addresses.map(|(http, _)| http)
    }

    /// Where the Kafka protocol is served; `None` without ports.
    pub fn kafka_addr(&self) -> Option<SocketAddr> {
        self.addresses.map(|(_, kafka)| kafka)
    }

    /// SQL, without a connection between.
    pub fn platform(&self) -> &Platform {
        &self.parts.platform
    }

    /// What opening the log found.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.parts.recovery
    }

    /// The pipelines.
    pub fn engine(&self) -> &Engine {
        &self.parts.engine
    }

    /// Answers what is under way, checkpoints, closes.
    ///
    /// # Errors
    /// The first part that could not be closed in order; what was acknowledged is durable all the
    /// same.
    pub async fn shutdown(self) -> Result<(), StartError> {
        self.health.stopping();
        let _ = self.stop.send(true);
        for port in self.ports {
            let _ = port.await;
        }
        for task in self.background {
            task.abort();
        }
        let collector = self.parts.collector.close().await.map_err(part);
        let engine = self.parts.engine.shutdown().await.map_err(part);
        let log = self.parts.log.close().await.map_err(part);
        collector.and(engine).and(log)
    }
}

async fn listen(
    name: &'static str,
    address: &str,
    setting: &'static str,
) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Port {
        name,
        address: address.to_string(),
        reason: match error.kind() {
            io::ErrorKind::AddrInUse => "the port is in use".to_string(),
            _ => data_dir::plain(&error),
        },
        setting,
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(part)
}

fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + use<> {
    let mut stop = stop.subscribe();
    async move {
        // A sender that is gone means the same.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Where Kafka clients are told to come back to. A wildcard address is none: then it is loopback.
fn advertised(config: &Config, listening: SocketAddr) -> (String, u16) {
    let named = config.server.kafka.advertised.as_deref().and_then(|name| name.rsplit_once(':'));
    match named.and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?))) {
        Some(advertised) => advertised,
        None if listening.ip().is_unspecified() => ("127.0.0.1".into(), listening.port()),
        None => (listening.ip().to_string(), listening.port()),
    }
}

async fn take_folder(disk: &Arc<dyn Disk>, path: &Path) -> Result<DataDir, StartError> {
    let (disk, path) = (Arc::clone(disk), path.to_path_buf());
    let taken = tokio::task::spawn_blocking(move || DataDir::open(&disk, &path, IfMissing::Make));
    Ok(taken.await.map_err(part)??)
}

/// The front door: what is there once everything has started, and 503 before.
fn front(health: Health, routes: Arc<OnceLock<Router>>) -> Router {
    let rest = move |request: Request<Body>| {
        let routes = routes.get().cloned();
        async move {
            match routes {
                Some(routes) => match routes.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                None => starting(),
            }
        }
    };
    health.router().fallback(rest)
}

fn starting() -> Response {
    let retry = [(header::RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, "the server is starting\n").into_response()
}

/// Everything behind the ports.
struct Parts {
    log: LogStore,
    groups: GroupCoordinator,
    recovery: RecoveryReport,
    collector: Arc<Collector>,
    retries: Arc<Retries>,
    /// The sample shop, where it was asked for.
    shop: Option<Arc<Storefront>>,
    lake: Lake,
    engine: Engine,
    catalogue: Arc<Catalogue>,
    platform: Platform,
    folder: DataDir,
}

impl Parts {
    async fn open(options: ServerOptions) -> Result<Self, StartError> {
        let ServerOptions { data_dir, config, settings: rows, disk, clock } = &options;
        let folder = take_folder(disk, data_dir).await?;
        let dir = folder.path.as_path();
        let (log, recovery) = open_log(disk, clock, config, dir).await?;
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let groups = GroupCoordinator::new(log.clone(), settings::wire(config).groups);
        let collect = CollectParts {
            log: Arc::clone(&shared),
            disk: Arc::clone(disk),
            dir: dir.join("collect"),
            clock: Arc::clone(clock),
            settings: settings::collect(config),
        };
        let collector = Collector::open(collect.clone()).await.map_err(part)?;
        let retries = Retries::open(&collect, Arc::clone(&collector)).await.map_err(part)?;
        let shop = open_shop(config, &collect, &collector, dir).await?;
        let lake_dir = dir.join("lake");
        let lake =
            Lake::open(Arc::clone(disk), &lake_dir, settings::lake(config), Arc::clone(clock));
        let lake = lake.await.map_err(part)?;
        let catalogue = open_catalogue(clock, dir).await?;
        engine::make_tables(&catalogue, &lake).await.map_err(part)?;
        let manifests = dir.join("pipelines");
        let engine = engine::start(engine::Parts {
            catalogue: &catalogue,
            log: &shared,
            lake: &lake,
            disk,
            clock,
            config,
            dir: &manifests,
        });
        let engine = engine.await.map_err(part)?;
        let controller = Controller {
            catalogue: Arc::clone(&catalogue),
            lake: lake.clone(),
            engine: engine.clone(),
            log: Arc::clone(&shared),
            clock: Arc::clone(clock),
            topic_partitions: config.log.default_partitions,
        };
        let platform = Platform::new(PlatformParts {
            catalogue: Some(Arc::clone(&catalogue)),
            lake: Some(lake.clone()),
            log: Some(shared),
            control: Some(Arc::new(controller)),
            groups: Some(Arc::new(Groups { coordinator: groups.clone(), log: log.clone() })),
            configuration: rows.clone(),
            settings: settings::analyze(config, Some(spill_dir(dir)?)),
        });
        let platform = platform.map_err(part)?;
        let retries = Arc::new(retries);
        Ok(Self {
            log,
            groups,
            recovery,
            collector,
            retries,
            shop,
            lake,
            engine,
            catalogue,
            platform,
            folder,
        })
    }

    fn wire_limits(&self, config: &Config) -> WireLimits {
        let catalogue = Arc::clone(&self.catalogue);
        let kept_topics = KeptTopics::new(move |topic| kept_topic(&catalogue, topic));
        WireLimits { kept_topics, ..settings::wire(config) }
    }

    fn routes(
        &self,
        config: &Config,
        kafka: SocketAddr,
        subscribers: Subscribers,
    ) -> Result<Router, StartError> {
        let recorder = metrics::install().map_err(part)?;
        let (platform, engine) = (self.platform.clone(), self.engine.clone());
        let limits = settings::sql_limits(config);
        let log = self.log.clone();
        let topics: metrics::Figures = Arc::new(move || log.exposition());
        let shop = self.shop.as_ref().map_or_else(Router::new, |shop| {
            tradewind_collect::demo::shop_router(Arc::clone(shop))
                .merge(tradewind_serve::shop_pages())
        });
        Ok(Router::new()
            .merge(tradewind_collect::http::router(Arc::clone(&self.collector)))
            .merge(dead_letters::router(Arc::clone(&self.retries)))
            .merge(shop)
            .merge(tradewind_serve::tracker())
            .merge(tradewind_serve::sql_router(platform, limits, subscribers.clone()))
            .merge(tradewind_serve::subscribe_router(engine.clone(), subscribers.clone()))
            .merge(tradewind_serve::live_router(engine.clone(), subscribers))
            .merge(tradewind_serve::panels_router(
                self.folder.path.join("panels"),
                config.demo.shop,
            ))
            .merge(metrics::router(recorder, engine, topics))
            .merge(groups::router(self.named_groups()))
            .merge(tradewind_serve::dashboard(kafka.to_string())))
    }

    fn named_groups(&self) -> Groups {
        Groups { coordinator: self.groups.clone(), log: self.log.clone() }
    }

    fn background(&self, config: &Config) -> Vec<JoinHandle<()>> {
        let every = Duration::from_millis(config.lake.maintenance_interval_ms);
        let (log, lake) = (self.log.clone(), self.lake.clone());
        let mut tasks = vec![
            tokio::spawn(async move { log.maintain(LOG_MAINTENANCE_INTERVAL).await }),
            tokio::spawn(maintain_lake(lake, every)),
        ];
        if let Some(shop) = self.shop.clone() {
            tasks.push(tokio::spawn(async move { shop.run().await }));
        }
        if let Ok(recorder) = metrics::install() {
            tasks.push(tokio::spawn(metrics::upkeep(recorder)));
        }
        tasks
    }
}

/// A partition that takes no writes makes the server unhealthy.
fn watch_log(health: &Health, log: &LogStore) {
    let log = log.clone();
    health.add(move || {
        log.stats().into_iter().find_map(|stats| {
            let reason = stats.offline?;
            Some(format!("{}-{} is offline: {reason}", stats.topic, stats.partition))
        })
    });
}

/// How often retention and compaction look at the topics: as often as Kafka looks for what to compact.
const LOG_MAINTENANCE_INTERVAL: Duration = Duration::from_secs(15);

async fn maintain_lake(lake: Lake, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        for (table, outcome) in lake.maintain_once().await {
            if let Err(error) = outcome {
                tracing::warn!(table, %error, "a table could not be looked after");
            }
        }
    }
}

/// The sample shop, where it was asked for; it sends with the first write key there is.
async fn open_shop(
    config: &Config,
    parts: &CollectParts,
    collector: &Arc<Collector>,
    dir: &Path,
) -> Result<Option<Arc<Storefront>>, StartError> {
    if !config.demo.shop {
        return Ok(None);
    }
    let key = config.collect.write_keys.first().map(|key| key.key.clone()).unwrap_or_default();
    let api = tradewind_collect::http::router(Arc::clone(collector));
    let disk = Arc::clone(&parts.disk);
    let (folder, clock) = (dir.join("shop"), Arc::clone(&parts.clock));
    Ok(Some(Storefront::open(disk, &folder, clock, api, key).await.map_err(part)?))
}

async fn open_log(
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    config: &Config,
    dir: &Path,
) -> Result<(LogStore, RecoveryReport), StartError> {
    let (disk, clock, settings) = (Arc::clone(disk), Arc::clone(clock), settings::log(config));
    let dir = dir.join("log");
    let opened =
        tokio::task::spawn_blocking(move || LogStore::open(disk, &dir, settings, clock)).await;
    opened.map_err(part)?.map_err(part)
}

/// Opens the catalogue and brings it up to the packs.
async fn open_catalogue(clock: &Arc<dyn Clock>, dir: &Path) -> Result<Arc<Catalogue>, StartError> {
    let (clock, dir) = (Arc::clone(clock), dir.to_path_buf());
    let opened = tokio::task::spawn_blocking(move || {
        let catalogue = Catalogue::open(&dir.join("catalogue"), clock).map_err(part)?;
        let own = packs::in_folder(&dir.join("packs"));
        let own = own.map_err(|error| part(format!("{}: {error}", dir.join("packs").display())))?;
        for Pack { name, files } in std::iter::once(packs::ecommerce()).chain(own) {
            let report = catalogue.apply_pack(&name, &files).map_err(part)?;
            for refused in report.refused {
                tracing::warn!(pack = name, "{refused}");
            }
        }
        Ok(Arc::new(catalogue))
    });
    opened.await.map_err(part)?
}

/// Where queries spill: emptied, since nothing in it outlives a process.
fn spill_dir(dir: &Path) -> Result<PathBuf, StartError> {
    let spill = dir.join("tmp");
    let made = match std::fs::remove_dir_all(&spill) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(&spill),
    };
    made.map_err(|error| part(format!("{}: {}", spill.display(), data_dir::plain(&error))))?;
    Ok(spill)
}
