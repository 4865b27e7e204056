//! How the service's runs are started: as processes of this program, with the service's settings and what each was asked
//! for.

use std::path::PathBuf;
use std::process::Command;

use async_trait::async_trait;
use tagpipe_engine::{EffectiveSetting, Errand, Examined, Launcher, OrderError, PlannedJob, RunOptions};
use tagpipe_store::{JobKind, Store};

use super::{doctor, jobs};
use crate::exit::Failure;
use crate::settings::{HANDED_DOWN, Merged, RUN_OPTIONS, run_config, runners_settings};

/// This program, with the service's settings.
pub(super) struct Program {
    executable: PathBuf,
    folder: PathBuf,
    merged: Merged,
    planned_jobs: Vec<PlannedJob>,
}

impl Program {
    pub(super) fn new(merged: Merged) -> Result<Program, Failure> {
        let gone =
            |what: &str, error: std::io::Error| Failure::could_not_run(format!("{what} is gone: {error}"));
        runners_settings(&merged)?;
        Ok(Program {
            executable: std::env::current_exe().map_err(|error| gone("this program's file", error))?,
            folder: std::env::current_dir().map_err(|error| gone("the current folder", error))?,
            planned_jobs: jobs::planned(&merged)?,
            merged,
        })
    }

    /// The service's settings with what a run is asked for.
    fn with(&self, options: &RunOptions) -> Result<Merged, String> {
        let mut merged = self.merged.clone();
        for (key, value) in options.iter() {
            let Some(known) = RUN_OPTIONS.iter().find(|known| **known == key) else {
                return Err(format!(
                    "`{key}` is no option of a run; it takes {}",
                    RUN_OPTIONS.join(", ")
                ));
            };
            merged.set_option(known, value);
        }
        run_config(&merged).map_err(|failure| failure.message)?;
        runners_settings(&merged).map_err(|failure| failure.message)?;
        Ok(merged)
    }
}

#[async_trait]
impl Launcher for Program {
    fn check(&self, options: &RunOptions) -> Result<(), String> {
        self.with(options).map(|_| ())
    }

    fn command(&self, errand: &Errand<'_>) -> Result<Command, String> {
        let merged = self.with(errand.options)?;
        let runners = runners_settings(&merged).map_err(|failure| failure.message)?;
        let handed_down = merged
            .handed_down(&self.folder)
            .map_err(|failure| failure.message)?;
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.folder)
            .env(HANDED_DOWN, handed_down)
            .arg(if runners.num_runners > 1 {
                "orchestrate"
            } else {
                "run"
            })
            .arg("--no-migrate")
            .arg("--order")
            .arg(errand.order.to_string());
        if let Some(run) = errand.resume {
            command.arg("--resume").arg(run.to_string());
        }
        if runners.num_runners > 1 {
            command
                .arg("--num-runners")
                .arg(runners.num_runners.to_string())
                .arg("--working-directory")
                .arg(&runners.working_directory);
        }
        // Budgets are a run's own, and not handed down.
        for (key, flag) in [("max_pages", "--max-pages"), ("max_duration", "--max-duration")] {
            if let Some(value) = merged.get(key) {
                command.arg(flag).arg(&value.text);
            }
        }
        Ok(command)
    }

    async fn check_job(&self, store: &Store, kind: JobKind, options: &RunOptions) -> Result<(), OrderError> {
        jobs::check(store, kind, options, &self.merged).await
    }

    fn job_command(&self, kind: JobKind, options: &RunOptions) -> Result<Command, String> {
        let arguments = jobs::arguments(kind, options, &self.merged)?;
        if kind == JobKind::Export {
            jobs::make_folder_of_exports(&self.merged).map_err(|failure| failure.message)?;
        }
        let handed_over = self.merged.handed_to_job(&self.folder);
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.folder)
            .env(HANDED_DOWN, handed_over.map_err(|failure| failure.message)?)
            .args(arguments);
        Ok(command)
    }

    fn planned_jobs(&self) -> Vec<PlannedJob> {
        self.planned_jobs.clone()
    }

    fn settings(&self) -> Vec<EffectiveSetting> {
        let shown = self.merged.shown();
        shown
            .into_iter()
            .map(|setting| EffectiveSetting {
                key: setting.key,
                value: setting.value,
                origin: setting.origin,
            })
            .collect()
    }

    async fn examine(&self) -> Vec<Examined> {
        let findings = doctor::examine_offline(&self.merged).await;
        findings
            .into_iter()
            .map(|finding| Examined {
                check: finding.check.to_owned(),
                state: finding.result.as_str().to_owned(),
                finding: finding.found,
                remedy: finding.remedy,
            })
            .collect()
    }
}
