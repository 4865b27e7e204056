//! One file on its way: rows go in on one side, bytes come out at a destination on the other.

use std::io::Write;

use tagpipe_core::tabular::{Row, Table};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::compression::Compressed;
use super::tally::Tally;
use super::{ExportError, FileFormat, Scratch};
use crate::destination::{Destination, Upload};

/// Batches that wait to be written: with those in hand on both sides, all that is in memory.
const WAITING: usize = 2;

/// A file that is being written in a thread of its own. Nothing is seen of it until [`ExportFile::finish`].
#[derive(Debug)]
pub struct ExportFile {
    sender: mpsc::Sender<Message>,
    /// Until it was waited for.
    thread: Option<JoinHandle<Result<Ended, ExportError>>>,
    /// What came of it, until it is seen.
    whole: Option<Ended>,
    /// For a line that hangs when the file is given up.
    cancellation: CancellationToken,
}

/// What a finished file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its size, compressed.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

#[derive(Debug)]
enum Message {
    Table(&'static Table),
    Rows(Vec<Row>),
    End,
}

#[derive(Debug)]
struct Ended {
    written: Written,
    /// To be made seen; nothing for standard output.
    upload: Option<Upload>,
}

impl ExportFile {
    /// Begins a file at `place`.
    ///
    /// # Errors
    /// [`ExportError::Destination`].
    pub async fn begin(format: FileFormat, place: &Destination) -> Result<ExportFile, ExportError> {
        let mut out = place.create().await?.into_blocking();
        let cancellation = out.cancellation();
        Ok(ExportFile::start(cancellation, move |messages| {
            match write(format, &mut out, messages) {
                Ok(written) => Ok(Ended {
                    written,
                    upload: Some(out.into_upload()?),
                }),
                Err(error) => {
                    Handle::current().block_on(out.abort());
                    Err(error)
                }
            }
        }))
    }

    /// Begins to write to standard output.
    #[must_use]
    pub fn to_standard_output(format: FileFormat) -> ExportFile {
        ExportFile::start(CancellationToken::new(), move |messages| {
            let mut out = std::io::stdout();
            let written = write(format, &mut out, messages)?;
            out.flush()?;
            Ok(Ended {
                written,
                upload: None,
            })
        })
    }

    fn start(
        cancellation: CancellationToken,
        write: impl FnOnce(mpsc::Receiver<Message>) -> Result<Ended, ExportError> + Send + 'static,
    ) -> ExportFile {
        let (sender, messages) = mpsc::channel(WAITING);
        ExportFile {
            sender,
            thread: Some(tokio::task::spawn_blocking(move || write(messages))),
            whole: None,
            cancellation,
        }
    }

    /// Begins a table.
    ///
    /// # Errors
    /// What stopped the writing.
    pub async fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        self.send(Message::Table(table)).await
    }

    /// Adds rows to the table that was begun last. Returns when there is room for more.
    ///
    /// # Errors
    /// What stopped the writing.
    pub async fn rows(&mut self, rows: Vec<Row>) -> Result<(), ExportError> {
        self.send(Message::Rows(rows)).await
    }

    /// Writes everything, so that all that is left for [`ExportFile::finish`] is to make it seen.
    ///
    /// # Errors
    /// What stopped the writing.
    pub async fn complete(&mut self) -> Result<(), ExportError> {
        self.send(Message::End).await?;
        self.whole = Some(self.ended().await?);
        Ok(())
    }

    /// Makes the file seen, whole.
    ///
    /// # Errors
    /// What stopped the writing; then nothing is seen.
    pub async fn finish(&mut self) -> Result<Written, ExportError> {
        if self.whole.is_none() {
            self.complete().await?;
        }
        // It stays here until it is seen, so that it can be given up while its last part is on its way.
        if let Some(Ended {
            upload: Some(upload), ..
        }) = &mut self.whole
        {
            upload.complete().await?;
        }
        let whole = self.whole.take().ok_or(ExportError::Stopped)?;
        Ok(whole.written)
    }

    /// Gives the file up, and waits until what was sent is taken back.
    pub async fn abandon(self) {
        let ExportFile {
            sender,
            thread,
            whole,
            cancellation,
        } = self;
        drop(sender);
        cancellation.cancel();
        let whole = match thread {
            // It ends because it was given up, or for a reason that was told before; or it had come to its end just now.
            Some(thread) => thread.await.ok().and_then(Result::ok),
            None => whole,
        };
        if let Some(upload) = whole.and_then(|whole| whole.upload) {
            upload.abort().await;
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), ExportError> {
        if self.sender.send(message).await.is_ok() {
            return Ok(());
        }
        // The thread has ended, and knows why.
        self.ended().await.and(Err(ExportError::Stopped))
    }

    async fn ended(&mut self) -> Result<Ended, ExportError> {
        let Some(thread) = &mut self.thread else {
            return Err(ExportError::Stopped);
        };
        let ended = thread.await;
        self.thread = None;
        ended.unwrap_or_else(|error| Err(ExportError::Writing(format!("the writing thread ended: {error}"))))
    }
}

fn write(
    format: FileFormat,
    out: &mut (impl Write + Send),
    mut messages: mpsc::Receiver<Message>,
) -> Result<Written, ExportError> {
    let scratch = Scratch::default();
    let mut compressed = Compressed::new(format.compression, Tally::new(out))?;
    let mut writer = format.format.begin(&mut compressed, &scratch)?;
    loop {
        match messages.blocking_recv() {
            Some(Message::Table(table)) => writer.table(table)?,
            Some(Message::Rows(rows)) => writer.rows(&rows)?,
            Some(Message::End) => break,
            None => return Err(ExportError::Stopped),
        }
    }
    writer.finish()?;
    let (_, bytes, sha256) = compressed.finish()?.finish();
    Ok(Written { bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tagpipe_core::tabular::{Column, Kind, Value};

    use super::*;
    use crate::export::{Compression, FORMATS};

    const TABLE: Table = Table {
        name: "numbers",
        meaning: "a number and its name",
        columns: &[
            Column {
                name: "n",
                kind: Kind::Integer,
                nullable: false,
                unit: None,
                meaning: "the number",
            },
            Column {
                name: "name",
                kind: Kind::Text,
                nullable: true,
                unit: None,
                meaning: "its name",
            },
        ],
        order: &["n"],
    };

    fn rows() -> Vec<Row> {
        let name = |n: i64| {
            if n % 2 == 0 {
                Value::Null
            } else {
                Value::Text(format!("the {n}"))
            }
        };
        (0..100).map(|n| vec![Value::Integer(n), name(n)]).collect()
    }

    async fn begun(folder: &Path, format: FileFormat, name: &str) -> ExportFile {
        let place = Destination::local(folder.join(name));
        let mut file = ExportFile::begin(format, &place).await.unwrap();
        file.table(&TABLE).await.unwrap();
        file.rows(rows()).await.unwrap();
        file
    }

    fn all_formats() -> impl Iterator<Item = FileFormat> {
        FORMATS.iter().map(|format| FileFormat {
            format: *format,
            compression: Compression::None,
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_same_rows_are_the_same_bytes_in_every_format() {
        for format in all_formats() {
            let folder = tempfile::tempdir().unwrap();
            let mut written = Vec::new();
            for name in ["one", "two"] {
                written.push(begun(folder.path(), format, name).await.finish().await.unwrap());
            }
            assert_eq!(written[0], written[1], "{format:?}");
            let [one, two] = ["one", "two"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
            assert_eq!(one, two, "{format:?}");
            assert_eq!(one.len() as u64, written[0].bytes, "{format:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_given_up_is_never_seen() {
        for format in all_formats() {
            let folder = tempfile::tempdir().unwrap();
            let file = begun(folder.path(), format, "half").await;
            file.abandon().await;
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{format:?}");
        }
    }
}
