//! Places that data is written to and read from: files, and cloud storage.
//!
//! A [`Destination`] is one address: of a file or an object, or of the folder that they are in. What must hold:
//!
//! - Nothing half is ever seen under a name: a file is written without a name and gets it when it is whole; an object
//!   appears when its upload is completed. Neither a failure nor a kill leaves clutter in a folder.
//! - No data passes through memory as a whole.
//! - An address has no secrets: credentials come from the environment, as each provider documents them.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tagpipe_sinks::destination::Destination;
//!
//! let folder = Destination::parse("s3://my-bucket/exports")?;
//! let mut upload = folder.join("cards.csv")?.create().await?;
//! upload.write("number,name\n".into()).await?;
//! upload.finish().await?;
//! # Ok(())
//! # }
//! ```

mod address;
mod cloud;
mod connection_string;
mod download;
mod error;
mod file;
mod object;
mod profile;
mod upload;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use object_store::ObjectStore;

use address::Address;
pub use address::{InvalidDestination, InvalidName};
pub use download::{BlockingDownload, Download};
pub use error::{DestinationError, Trouble};
pub use upload::{BlockingUpload, Upload};

/// The address of a file or an object, or of the folder that they are in. Cheap to clone.
///
/// Shown without secrets, because it has none.
#[derive(Debug, Clone)]
pub struct Destination {
    address: Address,
    /// Made when first needed, and shared by all that were joined to this one.
    connection: Arc<OnceLock<Arc<dyn ObjectStore>>>,
}

/// What is in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the clock of whoever keeps it.
    pub modified: jiff::Timestamp,
}

impl Destination {
    /// Reads a path, or one of `file://`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` and
    /// Azure's other forms.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right; what might be a secret is not repeated.
    pub fn parse(text: &str) -> Result<Destination, InvalidDestination> {
        Ok(Destination::at(Address::parse(text)?))
    }

    /// A path of this machine.
    #[must_use]
    pub fn local(path: impl Into<std::path::PathBuf>) -> Destination {
        Destination::at(Address::File(path.into()))
    }

    fn at(address: Address) -> Destination {
        Destination {
            address,
            connection: Arc::default(),
        }
    }

    /// What is called `name` in this folder.
    ///
    /// # Errors
    /// A name that would lead anywhere else is refused.
    pub fn join(&self, name: &str) -> Result<Destination, InvalidName> {
        Ok(Destination {
            address: self.address.join(name)?,
            connection: Arc::clone(&self.connection),
        })
    }

    /// The folder that this is in, and its name there. `None` for what is a root.
    #[must_use]
    pub fn split(&self) -> Option<(Destination, String)> {
        let (address, name) = self.address.split()?;
        let folder = Destination {
            address,
            connection: Arc::clone(&self.connection),
        };
        Some((folder, name))
    }

    /// The path, if this is on this machine.
    #[must_use]
    pub fn local_path(&self) -> Option<&Path> {
        match &self.address {
            Address::File(path) => Some(path),
            Address::Object { .. } => None,
        }
    }

    /// Begins to write it. Nothing is seen of it until [`Upload::finish`]; what was there before stays until then.
    ///
    /// Of a local path the last folder is made if it is missing.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn create(&self) -> Result<Upload, DestinationError> {
        self.create_for(file::Readers::Anybody).await
    }

    /// The same for what is nobody else's business: a local file can be read by its owner alone. Who may read an object is for
    /// its bucket to say.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn create_private(&self) -> Result<Upload, DestinationError> {
        self.create_for(file::Readers::Owner).await
    }

    async fn create_for(&self, readers: file::Readers) -> Result<Upload, DestinationError> {
        match &self.address {
            Address::File(path) => Ok(Upload::to_file(
                self.clone(),
                file::Draft::begin(self, path, readers).await?,
            )),
            Address::Object { key, .. } => Ok(Upload::to_object(
                self.clone(),
                object::Sending::begin(self.store()?, key.clone()),
            )),
        }
    }

    /// Writes a finished local file to it, and returns its bytes.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn publish(&self, finished: &Path) -> Result<u64, DestinationError> {
        let mut from = Destination::local(finished).read().await?;
        let mut upload = self.create().await?;
        while let Some(bytes) = from.next().await? {
            upload.write(bytes).await?;
        }
        upload.finish().await
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn read(&self) -> Result<Download, DestinationError> {
        match &self.address {
            Address::File(path) => Download::of_file(self.clone(), path).await,
            Address::Object { key, .. } => Download::of_object(self.clone(), &self.store()?, key).await,
        }
    }

    /// Its bytes; `None` if it is not there.
    ///
    /// # Errors
    /// See [`Trouble`]; a bucket that is not there is one.
    pub async fn size(&self) -> Result<Option<u64>, DestinationError> {
        match &self.address {
            Address::File(path) => file::size(self, path).await,
            Address::Object { key, .. } => object::size(self, &self.store()?, key).await,
        }
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn exists(&self) -> Result<bool, DestinationError> {
        Ok(self.size().await?.is_some())
    }

    /// The files or objects directly in this folder, by name. A folder that is not there has none.
    ///
    /// # Errors
    /// See [`Trouble`]; a bucket that is not there is one.
    pub async fn list(&self) -> Result<Vec<Entry>, DestinationError> {
        let mut entries = match &self.address {
            Address::File(path) => file::list(self, path).await?,
            Address::Object { key, .. } => object::list(self, &self.store()?, key).await?,
        };
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    /// Removes it. What is not there counts as removed.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn delete(&self) -> Result<(), DestinationError> {
        match &self.address {
            Address::File(path) => file::delete(self, path).await,
            Address::Object { key, .. } => object::delete(self, &self.store()?, key).await,
        }
    }

    /// The connection of what is in a cloud.
    fn store(&self) -> Result<Arc<dyn ObjectStore>, DestinationError> {
        if let Some(store) = self.connection.get() {
            return Ok(Arc::clone(store));
        }
        let store = cloud::connect(self)?;
        Ok(Arc::clone(self.connection.get_or_init(|| store)))
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

impl std::str::FromStr for Destination {
    type Err = InvalidDestination;

    fn from_str(text: &str) -> Result<Destination, InvalidDestination> {
        Destination::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_is_seen_when_it_is_whole_and_not_before() {
        let home = tempfile::tempdir().unwrap();
        let folder = Destination::local(home.path().join("made"));
        let place = folder.join("cards.csv").unwrap();
        for content in ["first", "second"] {
            let mut upload = place.create().await.unwrap();
            upload.write(content.into()).await.unwrap();
            let before = std::fs::read_to_string(place.local_path().unwrap()).unwrap_or_default();
            assert_ne!(before, content);
            assert!(
                names(folder.local_path().unwrap()).len() <= 1,
                "nothing half has a name"
            );
            assert_eq!(upload.finish().await.unwrap(), content.len() as u64);
            assert_eq!(
                std::fs::read_to_string(place.local_path().unwrap()).unwrap(),
                content
            );
        }
        // Neither one that is dropped nor one that is taken back leaves anything.
        let mut dropped = place.create().await.unwrap();
        dropped.write("third".into()).await.unwrap();
        drop(dropped);
        place.create().await.unwrap().abort().await;
        assert_eq!(names(folder.local_path().unwrap()), ["cards.csv"]);
        assert_eq!(
            std::fs::read_to_string(place.local_path().unwrap()).unwrap(),
            "second"
        );

        let copy = folder.join("copy.csv").unwrap();
        assert_eq!(copy.publish(place.local_path().unwrap()).await.unwrap(), 6);
        let listed = folder.list().await.unwrap();
        let told: Vec<(&str, u64)> = listed.iter().map(|one| (one.name.as_str(), one.size)).collect();
        assert_eq!(told, [("cards.csv", 6), ("copy.csv", 6)]);
        assert!(copy.exists().await.unwrap());
        copy.delete().await.unwrap();
        copy.delete().await.unwrap();
        assert_eq!(copy.size().await.unwrap(), None);
        assert_eq!(copy.read().await.unwrap_err().trouble, Trouble::NotThere);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_written_is_told_with_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let deep = Destination::local(home.path().join("no/such/folder/file"));
        let told = deep.create().await.unwrap_err();
        assert_eq!(told.trouble, Trouble::NoFolder);
        let missing = home.path().join("no");
        let words = format!("make it with `mkdir -p` (`{}` is missing)", missing.display());
        assert!(told.to_string().ends_with(&words), "{told}");
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let below = Destination::local(file.join("below"));
        let in_a_file = Destination::local(&file);
        for told in [
            below.create().await.unwrap_err(),
            in_a_file.list().await.unwrap_err(),
        ] {
            assert_eq!(told.trouble, Trouble::NotAFolder);
            let words = told.to_string();
            assert!(
                words.contains(&format!("`{}` is a file", file.display())),
                "{words}"
            );
            assert!(!words.contains("mkdir"), "{words}");
        }
        std::fs::remove_file(&file).unwrap();
        let folder = Destination::local(home.path());
        let told = folder.create().await.unwrap_err().to_string();
        assert!(told.contains("it is a folder"), "{told}");
        assert_eq!(
            Destination::local(home.path().join("none")).list().await.unwrap(),
            []
        );
        assert_eq!(names(home.path()), Vec::<String>::new());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_private_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let folder = Destination::local(home.path());
        let private = folder.join("private").unwrap();
        let file = home.path().join("private");
        for _ in 0..2 {
            private.create_private().await.unwrap().finish().await.unwrap();
            assert_eq!(
                std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
                0o600
            );
            // Also where it takes another one's place.
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn blocking_writers_and_readers_pass_everything_on() {
        use std::io::{Read as _, Write as _};
        let home = tempfile::tempdir().unwrap();
        let place = Destination::local(home.path().join("large"));
        let content: Vec<u8> = (0..1_000_003_u32).map(|at| (at % 251) as u8).collect();
        let (mut writer, all) = (place.create().await.unwrap().into_blocking(), content.clone());
        let written = tokio::task::spawn_blocking(move || {
            for piece in all.chunks(777) {
                writer.write_all(piece).unwrap();
            }
            writer.into_upload().unwrap()
        });
        let size = written.await.unwrap().finish().await.unwrap();
        assert_eq!(size, content.len() as u64);
        let mut reader = place.read().await.unwrap().into_blocking();
        let read = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            reader.read_to_end(&mut found).unwrap();
            found
        });
        assert!(read.await.unwrap() == content);
    }
}
