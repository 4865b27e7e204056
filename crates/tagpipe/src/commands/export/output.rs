//! Where the rows of an export go: which file a row belongs to, what the files are called, and what is told of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tagpipe_core::tabular::Table;
use tagpipe_sinks::destination::{Destination, Trouble as DestinationTrouble};
use tagpipe_sinks::export::{
    ExportError, ExportFile, FileSchema, SCHEMA_FILE, Schema, TableSchema, Texts, part_paths, schema_name,
};
use tagpipe_store::export::{Batch, Level, Part, Standing};

use super::Trouble;
use super::plan::{Plan, Target};

/// What a file with several tables is called in a folder.
const ALL_TABLES: &str = "tagpipe";

/// An export that has come about.
#[derive(Debug)]
pub(super) struct Exported {
    pub(super) to: String,
    pub(super) schema: Schema,
    pub(super) schema_file: Option<String>,
    pub(super) standing: Standing,
    /// What is probably not meant so, in words.
    pub(super) warnings: Vec<String>,
}

impl Exported {
    pub(super) fn rows(&self) -> u64 {
        self.schema.tables.iter().map(|table| table.rows).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.schema.files.iter().map(|file| file.bytes).sum()
    }
}

/// Takes the rows of one table after the other.
#[derive(Debug)]
pub(super) struct Output<'a> {
    plan: &'a Plan,
    /// The file of the database, which is not written over.
    database: Option<PathBuf>,
    /// Of each part: its names, and the folders and name of its file.
    parts: HashMap<i64, (Vec<String>, Vec<String>)>,
    open: Option<OpenFile>,
    tables: Vec<TableSchema>,
    files: Vec<FileSchema>,
}

#[derive(Debug)]
struct OpenFile {
    file: ExportFile,
    part: Option<i64>,
    /// What is known of it so far.
    schema: FileSchema,
}

impl<'a> Output<'a> {
    pub(super) fn new(plan: &'a Plan, database: Option<PathBuf>, parts: &[Part]) -> Output<'a> {
        let level = plan.selection.split.unwrap_or(Level::Category);
        let texts: Vec<(i64, Vec<Texts>)> = parts.iter().map(|part| (part.id, texts(part, level))).collect();
        let mut paths = part_paths(&texts);
        let parts = texts
            .into_iter()
            .filter_map(|(id, texts)| Some((id, (texts.concat(), paths.remove(&id)?))))
            .collect();
        Output {
            plan,
            database,
            parts,
            open: None,
            tables: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Begins the file, where there is only one.
    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        if !self.has_one_file() {
            return Ok(());
        }
        let (name, file) = match &self.plan.target {
            Target::StandardOutput(format) => ("-".to_owned(), ExportFile::to_standard_output(*format)),
            Target::File(_, folder, name) => (name.clone(), self.begin_file(folder, name).await?),
            Target::Folder(format, folder) => {
                let name = format!("{ALL_TABLES}{}", format.ending());
                let file = self.begin_file(folder, &name).await?;
                (name, file)
            }
        };
        self.open = Some(OpenFile::new(file, name, None, None));
        Ok(())
    }

    pub(super) async fn begin_table(&mut self, table: &'static Table) -> Result<(), Trouble> {
        self.tables.push(TableSchema {
            table: *table,
            rows: 0,
        });
        if self.plan.selection.split.is_none() && !self.has_one_file() {
            let name = format!("{}{}", table.name, self.plan.target.format().ending());
            let Target::Folder(_, folder) = &self.plan.target else {
                return Ok(());
            };
            let file = self.begin_file(folder, &name).await?;
            self.open = Some(OpenFile::new(file, name, None, None));
        }
        if let Some(open) = &mut self.open {
            open.begin_table(table).await?;
        }
        Ok(())
    }

    /// Adds rows to the table that was begun last.
    pub(super) async fn rows(&mut self, table: &'static Table, batch: Batch) -> Result<(), Trouble> {
        if let Some(part) = batch.part
            && self.open.as_ref().is_none_or(|open| open.part != Some(part))
        {
            self.close_file().await?;
            self.begin_part(table, part).await?;
        }
        let count = batch.rows.len() as u64;
        if let Some(open) = &mut self.open {
            open.schema.rows += count;
            open.file.rows(batch.rows).await?;
        }
        if let Some(table) = self.tables.last_mut() {
            table.rows += count;
        }
        Ok(())
    }

    /// Rows of the table that was begun last.
    pub(super) fn rows_of_table(&self) -> u64 {
        self.tables.last().map_or(0, |table| table.rows)
    }

    pub(super) async fn end_table(&mut self) -> Result<(), Trouble> {
        if self.has_one_file() {
            return Ok(());
        }
        self.close_file().await
    }

    /// Ends the last file and writes the schema file: where that is, everything that it names is there.
    pub(super) async fn finish(
        &mut self,
        standing: &Standing,
        schema_version: String,
    ) -> Result<Exported, Trouble> {
        self.close_file().await?;
        let format = self.plan.target.format();
        let in_json = serde_json::to_value(standing)
            .map_err(|error| Trouble::Export(ExportError::Writing(error.to_string())))?;
        let schema = Schema {
            tagpipe: env!("CARGO_PKG_VERSION"),
            schema_version,
            format: format.format.name(),
            compression: format.compression.as_str(),
            standing: in_json,
            selection: self.plan.asked.clone(),
            tables: std::mem::take(&mut self.tables),
            files: std::mem::take(&mut self.files),
        };
        let to = match &self.plan.target {
            Target::StandardOutput(_) => "standard output".to_owned(),
            Target::File(_, folder, name) => as_written(&place(folder, name)?),
            Target::Folder(_, folder) => folder.to_string(),
        };
        let schema_file = self.schema_file()?;
        if let Some(file) = &schema_file {
            write_schema(&schema, file).await?;
        }
        Ok(Exported {
            to,
            schema,
            schema_file: schema_file.as_ref().map(as_written),
            standing: standing.clone(),
            warnings: Vec::new(),
        })
    }

    /// Where it is told what was exported; nowhere, if that went to standard output.
    fn schema_file(&self) -> Result<Option<Destination>, Trouble> {
        Ok(match &self.plan.target {
            Target::StandardOutput(_) => None,
            Target::File(_, folder, name) => Some(place(folder, &schema_name(name))?),
            Target::Folder(_, folder) => Some(place(folder, SCHEMA_FILE)?),
        })
    }

    /// Gives up what is not finished, and waits until nothing of it is left.
    pub(super) async fn abandon(mut self) {
        if let Some(open) = self.open.take() {
            open.file.abandon().await;
        }
    }

    fn has_one_file(&self) -> bool {
        match &self.plan.target {
            Target::StandardOutput(_) | Target::File(..) => true,
            Target::Folder(format, _) => {
                self.plan.selection.split.is_none()
                    && self.plan.tables.len() > 1
                    && format.format.takes_many_tables()
            }
        }
    }

    /// Begins the file of a part. Where there are several tables, each has its folder.
    async fn begin_part(&mut self, table: &'static Table, part: i64) -> Result<(), Trouble> {
        let Target::Folder(format, root) = &self.plan.target else {
            return Ok(());
        };
        let (names, path) = self.parts.get(&part).cloned().unwrap_or_default();
        let Some((file_name, folders)) = path.split_last() else {
            return Err(Trouble::Export(ExportError::Writing(format!(
                "a row of `{}` belongs to part {part}, which is not there",
                table.name
            ))));
        };
        let mut folder = root.clone();
        let mut name = String::new();
        make_folder(&folder).await;
        let of_table = (self.plan.tables.len() > 1).then(|| table.name.to_owned());
        for one in of_table.iter().chain(folders) {
            folder = place(&folder, one)?;
            make_folder(&folder).await;
            name.push_str(one);
            name.push('/');
        }
        let file_name = format!("{file_name}{}", format.ending());
        name.push_str(&file_name);
        let file = self.begin_file(&folder, &file_name).await?;
        let mut open = OpenFile::new(file, name, Some(part), Some(names));
        open.begin_table(table).await?;
        self.open = Some(open);
        Ok(())
    }

    async fn begin_file(&self, folder: &Destination, name: &str) -> Result<ExportFile, Trouble> {
        let place = place(folder, name)?;
        if let Some(path) = place.local_path() {
            let is_sqlite = self.plan.target.format().format.name() == "sqlite";
            refuse_what_is_no_export(path, self.database.as_deref(), is_sqlite)?;
        }
        Ok(ExportFile::begin(self.plan.target.format(), &place).await?)
    }

    async fn close_file(&mut self) -> Result<(), Trouble> {
        // It stays here until it is seen, so that it can be given up in the middle of that.
        match &mut self.open {
            Some(open) => open.file.complete().await?,
            None => return Ok(()),
        }
        if self.files.is_empty() {
            self.remove_former_schema().await?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let written = open.file.finish().await?;
        if let Some(OpenFile { schema, .. }) = self.open.take() {
            self.files.push(FileSchema {
                bytes: written.bytes,
                sha256: written.sha256,
                ..schema
            });
        }
        Ok(())
    }

    /// A former export's schema file must not describe a mixture of its files and new ones, if this one is killed.
    async fn remove_former_schema(&self) -> Result<(), Trouble> {
        let Some(file) = self.schema_file()? else {
            return Ok(());
        };
        match file.delete().await {
            Err(error)
                if file.local_path().is_none() && error.trouble == DestinationTrouble::AccessDenied =>
            {
                tracing::warn!(%error, "the former schema file stays until the export is whole");
                Ok(())
            }
            removed => Ok(removed.map_err(ExportError::from)?),
        }
    }
}

impl OpenFile {
    fn new(file: ExportFile, name: String, part: Option<i64>, names: Option<Vec<String>>) -> OpenFile {
        OpenFile {
            file,
            part,
            schema: FileSchema {
                name,
                tables: Vec::new(),
                part: names,
                rows: 0,
                bytes: 0,
                sha256: String::new(),
            },
        }
    }

    async fn begin_table(&mut self, table: &'static Table) -> Result<(), Trouble> {
        self.schema.tables.push(table.name);
        Ok(self.file.table(table).await?)
    }
}

/// What the folders and the file of a part are named after.
fn texts(part: &Part, level: Level) -> Vec<Texts> {
    let identity = &part.identity;
    let mut texts = vec![vec![identity.category.clone()]];
    if level >= Level::Year {
        texts.push(vec![identity.year.clone()]);
    }
    if level >= Level::Set {
        texts.push(vec![identity.brand.clone(), identity.set.clone()]);
    }
    texts
}

/// An address as people write it: what is in the working folder needs no `./`.
fn as_written(place: &Destination) -> String {
    let text = place.to_string();
    text.strip_prefix("./").map_or(text.clone(), str::to_owned)
}

fn place(folder: &Destination, name: &str) -> Result<Destination, Trouble> {
    folder
        .join(name)
        .map_err(|error| Trouble::Export(ExportError::Usage(error.to_string())))
}

/// Makes a folder of this machine; a cloud has none to make.
async fn make_folder(folder: &Destination) {
    if let Some(path) = folder.local_path() {
        // It may be there. If it cannot be made, whoever begins a file in it says so.
        let _ = tokio::fs::create_dir(path).await;
    }
}

/// What SQLite keeps beside a database's file.
const BESIDE_DATABASE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file takes the place of another one of its name. It must not be the database's own, or one that SQLite would read its log
/// into; and a device or pipe is no file.
fn refuse_what_is_no_export(path: &Path, database: Option<&Path>, is_sqlite: bool) -> Result<(), Trouble> {
    let refused = |why: String| Err(Trouble::Export(ExportError::Usage(why)));
    let is_own = |file: &Path| {
        is_same(path, file)
            || BESIDE_DATABASE
                .iter()
                .any(|end| is_same(path, &beside(file, end)))
    };
    if database.is_some_and(is_own) {
        return refused(format!(
            "`{}` is the database that is exported, or belongs to it; name another file",
            path.display()
        ));
    }
    if is_sqlite
        && let Some(log) = BESIDE_DATABASE
            .map(|end| beside(path, end))
            .iter()
            .find(|log| log.exists())
    {
        return refused(format!(
            "`{}` stands there: somebody has the database beside it open, or left changes in it that SQLite would read into the \
             new one; close it, or remove that file",
            log.display()
        ));
    }
    let is_odd = |found: &std::fs::Metadata| !found.is_file() && !found.is_dir();
    if std::fs::metadata(path).is_ok_and(|found| is_odd(&found)) {
        return refused(format!(
            "`{}` is no regular file; write to standard output with --to -",
            path.display()
        ));
    }
    Ok(())
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Whether both are one file, by whatever links; one that is not there yet is told by its folder and name.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        })
    };
    matches!((real(one), real(other)), (Some(one), Some(other)) if one == other)
}

async fn write_schema(schema: &Schema, file: &Destination) -> Result<(), Trouble> {
    let text = schema
        .text()
        .map_err(|error| Trouble::Export(ExportError::Writing(error.to_string())))?;
    let mut upload = file.create().await.map_err(ExportError::from)?;
    upload.write(text.into()).await.map_err(ExportError::from)?;
    upload.finish().await.map_err(ExportError::from)?;
    Ok(())
}
