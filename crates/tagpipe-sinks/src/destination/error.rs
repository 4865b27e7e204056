//! What can go wrong at a destination, by what one can do about it.

use std::error::Error;

use super::Destination;
use super::address::{Address, Provider};
use super::profile::NoKeys;

/// Something did not work at a destination.
#[derive(Debug, thiserror::Error)]
#[error("`{place}`: {trouble}{}", .cause.as_deref().map(|cause| format!(" ({cause})")).unwrap_or_default())]
pub struct DestinationError {
    /// Where.
    pub place: String,
    /// What.
    pub trouble: Trouble,
    /// What the machine or the provider said about it, in one line.
    pub cause: Option<String>,
}

/// What did not work, by what one can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody has said who we are.
    #[error("there are no credentials; {0}")]
    NoCredentials(
        /// Which ones to give.
        &'static str,
    ),
    /// A profile of Amazon's files was named that has no keys; the cause says why.
    #[error(
        "the profile that AWS_PROFILE names gives no keys; correct it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoProfile,
    /// Who we are is known, and may not do this.
    #[error("access is denied; the credentials are wrong, have expired, or lack the right to do this")]
    AccessDenied,
    /// The file system says so.
    #[error("permission is denied; give this user the right to read and write there")]
    PermissionDenied,
    /// The bucket or container does not exist.
    #[error("there is no such bucket or container; make it, or correct its name or region")]
    NoBucket,
    /// The bucket is kept in another region than the one that was asked.
    #[error("the bucket is in another region; set AWS_REGION to that one")]
    WrongRegion,
    /// A folder that it should be in does not exist; the cause says which.
    #[error("there is no such folder; make it with `mkdir -p`")]
    NoFolder,
    /// A part of its path that should be a folder is none; the cause says which.
    #[error("something else is where a folder should be; name a folder")]
    NotAFolder,
    /// It is not there.
    #[error("it is not there")]
    NotThere,
    /// No room is left.
    #[error("no room is left there")]
    Full,
    /// An endpoint of `http://`.
    #[error("the endpoint is not encrypted; set {0}=true if that is meant")]
    NotEncrypted(
        /// The variable of its provider.
        &'static str,
    ),
    /// The provider wants less to do, or fails, and still did after retries.
    #[error("the provider is too busy or fails, also after retries; try again later")]
    Busy,
    /// The provider was not reached or broke off, and still did after retries.
    #[error("it was not reached, also after retries; is the network up, and the endpoint right?")]
    Unreachable,
    /// What is left; the cause says what.
    #[error("it did not work")]
    Other,
}

impl DestinationError {
    /// About a local file.
    pub(super) fn of_file(place: &Destination, error: &std::io::Error) -> DestinationError {
        use std::io::ErrorKind;
        let trouble = match error.kind() {
            ErrorKind::NotFound => Trouble::NotThere,
            ErrorKind::NotADirectory => Trouble::NotAFolder,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Trouble::PermissionDenied,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Trouble::Full,
            _ => Trouble::Other,
        };
        let cause = match trouble {
            Trouble::NotAFolder => in_the_way(place),
            Trouble::Other => Some(error.to_string()),
            _ => None,
        };
        DestinationError {
            place: place.to_string(),
            trouble,
            cause,
        }
    }

    /// About a folder that something should be written into.
    pub(super) fn of_folder(place: &Destination, error: &std::io::Error) -> DestinationError {
        let mut told = DestinationError::of_file(place, error);
        if told.trouble == Trouble::NotThere {
            told.trouble = Trouble::NoFolder;
            told.cause = missing(place);
        }
        told
    }

    /// About an object.
    pub(super) fn of_object(place: &Destination, error: &object_store::Error) -> DestinationError {
        let said = chain(error);
        let trouble = match error {
            _ if lacks_credentials(&said) => Trouble::NoCredentials(credentials_of(place)),
            _ if is_elsewhere(&said) => Trouble::WrongRegion,
            _ if lacks_bucket(&said) => Trouble::NoBucket,
            object_store::Error::NotFound { .. } => Trouble::NotThere,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Trouble::AccessDenied
            }
            _ if is_denied(&said) => Trouble::AccessDenied,
            _ if said.contains("URL scheme is not allowed") => Trouble::NotEncrypted(permission_of(place)),
            _ if was_not_reached(error) => Trouble::Unreachable,
            _ if is_busy(&said) => Trouble::Busy,
            _ => Trouble::Other,
        };
        let cause = matches!(
            trouble,
            Trouble::AccessDenied
                | Trouble::WrongRegion
                | Trouble::Busy
                | Trouble::Unreachable
                | Trouble::Other
        )
        .then(|| in_one_line(&said));
        DestinationError {
            place: place.to_string(),
            trouble,
            cause,
        }
    }

    /// About a profile of Amazon's files.
    pub(super) fn of_profile(place: &Destination, lack: &NoKeys) -> DestinationError {
        DestinationError {
            place: place.to_string(),
            trouble: Trouble::NoProfile,
            cause: Some(lack.to_string()),
        }
    }

    /// About an object that ended before its end.
    pub(super) fn cut_short(place: &Destination, read: u64, size: u64) -> DestinationError {
        DestinationError {
            place: place.to_string(),
            trouble: Trouble::Unreachable,
            cause: Some(format!("the connection ended after {read} of {size} bytes")),
        }
    }

    /// In our own words.
    pub(super) fn other(place: &Destination, cause: impl Into<String>) -> DestinationError {
        DestinationError {
            place: place.to_string(),
            trouble: Trouble::Other,
            cause: Some(cause.into()),
        }
    }
}

impl From<DestinationError> for std::io::Error {
    fn from(error: DestinationError) -> std::io::Error {
        std::io::Error::other(error)
    }
}

/// The first folder on the way there that does not exist.
fn missing(place: &Destination) -> Option<String> {
    let folder = place.local_path()?.parent()?;
    let on_the_way: Vec<_> = folder.ancestors().collect();
    let mut from_the_top = on_the_way.into_iter().rev();
    let first = from_the_top.find(|folder| !folder.as_os_str().is_empty() && !folder.exists())?;
    Some(format!("`{}` is missing", first.display()))
}

/// What on the way to a local path is no folder, in words.
fn in_the_way(place: &Destination) -> Option<String> {
    let is_in_the_way = |path: &&std::path::Path| path.metadata().is_ok_and(|found| !found.is_dir());
    let path = place.local_path()?.ancestors().find(is_in_the_way)?;
    let what = if path.is_file() { "a file" } else { "no folder" };
    Some(format!("`{}` is {what}", path.display()))
}

/// Where the services of a cloud's machines hand out credentials: who is sent there has given none. And what is said where half
/// of them was given.
const SIGNS_OF_NO_CREDENTIALS: [&str; 7] = [
    "/latest/api/token",
    "/latest/meta-data/iam",
    "/computeMetadata/v1/",
    "/metadata/identity/oauth2/token",
    "Missing AccessKeyId",
    "Missing SecretAccessKey",
    "Account must be specified",
];

fn lacks_credentials(said: &str) -> bool {
    SIGNS_OF_NO_CREDENTIALS.iter().any(|sign| said.contains(sign))
}

fn lacks_bucket(said: &str) -> bool {
    [
        "NoSuchBucket",
        "ContainerNotFound",
        "The specified bucket does not exist",
    ]
    .iter()
    .any(|word| said.contains(word))
}

/// What S3 answers whoever asks in another region than the bucket's: a redirect to nowhere, or that it expects another one.
fn is_elsewhere(said: &str) -> bool {
    said.contains("redirect without LOCATION")
        || (said.contains("AuthorizationHeaderMalformed") && said.contains("region"))
}

/// Whether it was refused. Listing and removing have no errors of their own for this; removing many has one for each.
fn is_denied(said: &str) -> bool {
    matches!(status(said), Some(401 | 403))
        || ["(code: AccessDenied)", "(code: 403)", "ExpiredToken"]
            .iter()
            .any(|sign| said.contains(sign))
}

fn is_busy(said: &str) -> bool {
    matches!(status(said), Some(429 | 500 | 502 | 503 | 504)) || said.contains("SlowDown")
}

/// The status of an answer that was no success. The library tells it in words alone.
fn status(said: &str) -> Option<u16> {
    let (_, rest) = said.split_once("non-2xx status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Whether the last try ended without an answer.
fn was_not_reached(error: &object_store::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<object_store::client::HttpError>() {
            use object_store::client::HttpErrorKind;
            return !matches!(error.kind(), HttpErrorKind::Request | HttpErrorKind::Unknown)
                || chain(error).contains("connect");
        }
        source = error.source();
    }
    false
}

fn credentials_of(place: &Destination) -> &'static str {
    match &place.address {
        Address::Object {
            provider: Provider::Google,
            ..
        } => {
            "set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account, or run \
             `gcloud auth application-default login`"
        }
        Address::Object {
            provider: Provider::Azure,
            ..
        } => {
            "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or AZURE_STORAGE_SAS_TOKEN), or \
             AZURE_USE_AZURE_CLI=true after `az login`"
        }
        _ => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for a profile of ~/.aws/credentials"
        }
    }
}

/// The variable that allows what is not encrypted.
fn permission_of(place: &Destination) -> &'static str {
    match &place.address {
        Address::Object {
            provider: Provider::Google,
            ..
        } => "GOOGLE_ALLOW_HTTP",
        Address::Object {
            provider: Provider::Azure,
            ..
        } => "AZURE_ALLOW_HTTP",
        _ => "AWS_ALLOW_HTTP",
    }
}

/// An error and its causes, without those that only repeat what was said.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        source = error.source();
    }
    said
}

/// Bounded, and without the lines and marks of the XML that providers answer.
fn in_one_line(text: &str) -> String {
    const MOST: usize = 400;
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
