//! What a service costs a run, and how fast it answers meanwhile; `bench/serving` says what is measured.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval, sleep};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const STREAMS: usize = 200;
const REQUESTS_A_SECOND: u32 = 500;
const ROUNDS: usize = 3;
/// How fast the run is to go, in requests a second: as fast as it can, and at a pace that leaves the machine room.
const PACES: [(&str, Option<u32>); 2] = [("as fast as it can", None), ("300 requests a second", Some(300))];

/// A process that is ended with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the load was answered.
#[derive(Default)]
struct Answers {
    times_us: Mutex<Vec<u64>>,
    errors: AtomicU64,
    events: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().ok_or("the program's path is missing")?;
    let pages = arguments.next().unwrap_or_else(|| "5000".to_owned());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let program = std::fs::canonicalize(program)?;
    let start = |words: &[&str]| -> Result<(Ended, String)> {
        let mut child = Command::new(&program)
            .args(words)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let address = address_of(&mut child)?;
        Ok((Ended(child), address))
    };
    std::fs::write(
        folder.path().join("tagpipe.toml"),
        "delay = 0\nfetch = \"http\"\nnum_runners = 1\nconcurrency = 16\nlog_level = \"INFO\"\n",
    )?;
    let any = ["--listen", "127.0.0.1:0"];
    let (_site, site) = start(
        &[
            &["demo-site", "--admin", "127.0.0.1:0", "--pages", &pages],
            &any[..],
        ]
        .concat(),
    )?;
    let (_service, service) = start(
        &[
            &["serve", "--base-url", &site, "--database-url", "sqlite:load.db"],
            &any[..],
        ]
        .concat(),
    )?;
    let client = Client::builder().pool_max_idle_per_host(64).build()?;

    println!("# A service under load\n");
    println!(
        "{pages} pages, {STREAMS} event streams, {REQUESTS_A_SECOND} requests a second on the catalogue\n"
    );
    read(&client, &service, None).await?;
    let cards = cards_of(&client, &service).await?;
    println!(
        "| run | alone, pages/s | under load, pages/s | requests | errors | events | median ms | 99 % ms | slowest ms |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|"
    );
    for (name, rate) in PACES {
        let (mut alone, mut loaded) = (Vec::new(), Vec::new());
        let answers = Arc::new(Answers::default());
        for _ in 0..ROUNDS {
            alone.push(read(&client, &service, rate).await?);
            let is_over = Arc::new(AtomicBool::new(false));
            let load = tokio::spawn(load(
                client.clone(),
                service.clone(),
                Arc::clone(&cards),
                Arc::clone(&answers),
                Arc::clone(&is_over),
            ));
            sleep(Duration::from_secs(1)).await;
            loaded.push(read(&client, &service, rate).await?);
            is_over.store(true, Ordering::Relaxed);
            load.await??;
        }
        let mut times = answers.times_us.lock().await.clone();
        times.sort_unstable();
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            times.get(place).copied().unwrap_or(0) as f64 / 1000.0
        };
        println!(
            "| {name} | {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} |",
            spread(&mut alone),
            spread(&mut loaded),
            times.len(),
            answers.errors.load(Ordering::Relaxed),
            answers.events.load(Ordering::Relaxed),
            at(0.5),
            at(0.99),
            times.last().copied().unwrap_or(0) as f64 / 1000.0,
        );
    }
    Ok(())
}

/// The first address in what a process says; the rest of it is read and forgotten.
fn address_of(child: &mut Child) -> Result<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let outputs: [Option<Box<dyn std::io::Read + Send>>; 2] = [
        child.stdout.take().map(|it| Box::new(it) as _),
        child.stderr.take().map(|it| Box::new(it) as _),
    ];
    for output in outputs.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if let Some(at) = line.find("http://127.0.0.1:") {
                    let host = line[at + "http://".len()..]
                        .split(['/', '"', ' '])
                        .next()
                        .unwrap_or_default();
                    let address = format!("http://{host}");
                    // Only the first one is waited for.
                    let _ = sender.send(address);
                }
            }
        });
    }
    Ok(receiver.recv_timeout(Duration::from_secs(30))?)
}

async fn get(client: &Client, url: &str) -> Result<Value> {
    let text = client.get(url).send().await?.error_for_status()?.text().await?;
    Ok(serde_json::from_str(&text)?)
}

/// Reads everything once more; pages a second.
async fn read(client: &Client, service: &str, rate: Option<u32>) -> Result<f64> {
    let options = match rate {
        Some(rate) => json!({ "full": true, "max_rate": rate }),
        None => json!({ "full": true }),
    };
    let started = client
        .post(format!("{service}/api/v1/runs"))
        .header("content-type", "application/json")
        .body(json!({ "options": options, "when_busy": "queue" }).to_string())
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?;
    let run = serde_json::from_str::<Value>(&started)?["run"]
        .as_i64()
        .ok_or("the run has not begun")?;
    loop {
        let status = get(client, &format!("{service}/api/v1/runs/{run}")).await?;
        if let Some(state) = status["state"].as_str().filter(|state| *state != "running") {
            if state != "reconciled" {
                return Err(format!("run {run} ended {state}").into());
            }
            let (pages, time) = (status["pages_completed"].as_f64(), status["elapsed_s"].as_f64());
            return Ok(pages.unwrap_or(0.0) / time.unwrap_or(1.0));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Addresses of the catalogue: cards, their certificates, sets, searches.
async fn cards_of(client: &Client, service: &str) -> Result<Arc<Vec<String>>> {
    let found = get(client, &format!("{service}/api/v1/search?q=1&limit=500")).await?;
    let mut addresses = Vec::new();
    for card in found["items"].as_array().into_iter().flatten() {
        let (id, set) = (&card["id"], &card["set"]["id"]);
        addresses.push(format!("{service}/api/v1/cards/{id}"));
        addresses.push(format!("{service}/api/v1/cards/{id}/grade-rows?limit=20"));
        addresses.push(format!("{service}/api/v1/sets/{set}/cards?limit=20"));
        addresses.push(format!("{service}/cards/{id}"));
        if let Some(name) = card["name"].as_str().and_then(|name| name.split(' ').next()) {
            let word: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            addresses.push(format!("{service}/api/v1/search?q={word}&limit=20"));
        }
    }
    match addresses.is_empty() {
        true => Err("the catalogue is empty".into()),
        false => Ok(Arc::new(addresses)),
    }
}

async fn load(
    client: Client,
    service: String,
    addresses: Arc<Vec<String>>,
    answers: Arc<Answers>,
    is_over: Arc<AtomicBool>,
) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        let path = ["/live/overview", "/api/v1/audit/events"][usize::from(number % 10 == 0)];
        let (client, answers) = (client.clone(), Arc::clone(&answers));
        let (url, is_over) = (format!("{service}{path}"), Arc::clone(&is_over));
        tasks.spawn(async move {
            let Ok(mut stream) = client.get(url).send().await else {
                answers.errors.fetch_add(1, Ordering::Relaxed);
                return;
            };
            while !is_over.load(Ordering::Relaxed) {
                tokio::select! {
                    part = stream.chunk() => match part {
                        Ok(Some(_)) => { answers.events.fetch_add(1, Ordering::Relaxed); }
                        _ => { answers.errors.fetch_add(1, Ordering::Relaxed); return; }
                    },
                    () = sleep(Duration::from_millis(200)) => {}
                }
            }
        });
    }
    let mut tick = interval(Duration::from_secs(1) / REQUESTS_A_SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0_usize;
    while !is_over.load(Ordering::Relaxed) {
        tick.tick().await;
        number += 1;
        let url = addresses[number * 7919 % addresses.len()].clone();
        let (client, answers) = (client.clone(), Arc::clone(&answers));
        tasks.spawn(async move {
            let began = Instant::now();
            let answer = client
                .get(url)
                .send()
                .await
                .and_then(reqwest::Response::error_for_status);
            let is_good = match answer {
                Ok(answer) => answer.bytes().await.is_ok(),
                Err(_) => false,
            };
            if !is_good {
                answers.errors.fetch_add(1, Ordering::Relaxed);
            }
            let time = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            answers.times_us.lock().await.push(time);
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let (least, most) = (
        values.first().copied().unwrap_or(0.0),
        values.last().copied().unwrap_or(0.0),
    );
    format!("{:.0} ({least:.0} to {most:.0})", values[values.len() / 2])
}
