//! Everything that is kept: the catalogue of the report, the frontier of each run, the pace of the site and
//! the audit trail, on SQLite and PostgreSQL.
//!
//! This is the only crate with SQL. [`Store`] is the contract; [`contract`] has its words. What must hold:
//!
//! - A page is committed whole or not at all: rows, children, completion and audit entry are one transaction.
//! - A finish counts only with the token of the lease in force.
//! - Times are written by the database's clock alone, in one format.

pub mod audit;
pub mod audit_query;
pub mod backup;
pub mod browse;
mod catalogue;
mod check;
mod closing;
mod commit;
mod conditions;
mod connect;
pub mod contract;
mod database_file;
mod dialect;
pub mod diff;
mod documents;
mod doubt;
pub mod entities;
mod error;
pub mod export;
mod frontier;
mod incidents;
mod jobs;
mod lineage;
mod listing;
mod migrations;
pub mod monitor;
mod news;
mod orchestrators;
mod orders;
mod outbox;
mod pace;
mod page_rows;
mod reading_order;
mod reconcile;
mod replay;
pub mod retry;
mod row_json;
mod runners;
mod runs;
mod schedules;
mod steering;
mod subjects;
#[cfg(feature = "testing")]
pub mod testing;
mod tokens;
mod verification;
mod watches;

pub use check::{Checked, Finding};
pub use closing::{Closing, RunEnding};
pub use connect::{DatabaseUrl, InvalidDatabaseUrl, Store};
pub use dialect::Dialect;
pub use documents::{DocumentTotals, KeptDocument};
pub use error::{ErrorClass, StoreError};
pub use frontier::Outlook;
pub use incidents::{ClosedBrake, ReadCounts};
pub use jobs::{Job, JobEnd, JobKind, JobState, NewJob};
pub use lineage::{CertificateEvent, CertificateOrigin, Lineage};
pub use news::{Delivery, DeliveryState, NewsFilter, NewsWithDeliveries, RecordedNews};
pub use orchestrators::{OrchestratorIdentity, OrchestratorOverview, OrchestratorRecord};
pub use orders::{NewOrder, OrderState, Ordered, RunOrder};
pub use outbox::{Headline, MessageEnd, OpenMessage, PackedNews, WaitingNews};
pub use reading_order::ReadingOrder;
pub use reconcile::{Discrepancy, OpenByVerdict, Verdict, Verified, VerifiedRows};
pub use replay::{KeptPage, ReplayEnding, Replayed, Replayer, Reread};
pub use runners::{RunnerEnd, RunnerIdentity, RunnerReport, RunnerTotals, RunningRunner};
pub use runs::{FailedPage, Resumed, RunRecord, RunSeeding, SlowPage};
pub use schedules::{NewSchedule, Overlap, Schedule};
pub use steering::Steering;
pub use subjects::StoredSubject;
pub use tokens::{ApiToken, Scope};
pub use watches::StoredWatch;
