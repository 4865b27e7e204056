//! Connections to clouds, with each provider's usual credentials.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::address::{Address, Provider};
use super::profile::{self, Keys};
use super::{Destination, DestinationError, connection_string};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may keep silent. A part of an upload is sent meanwhile, so this bounds the slowest line: 16 MiB in
/// three minutes are 90 kB a second.
const SILENCE_MAX: Duration = Duration::from_secs(180);

/// Connects, as far as that needs no network.
pub(super) fn connect(place: &Destination) -> Result<Arc<dyn ObjectStore>, DestinationError> {
    let Address::Object { provider, bucket, .. } = &place.address else {
        return Err(DestinationError::other(place, "a file has no connection"));
    };
    // Somebody else may have chosen already, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = match provider {
        Provider::S3 => s3(bucket, keys_of_files(place)?),
        Provider::Google => google(bucket),
        Provider::Azure => azure(bucket),
    };
    store.map_err(|error| DestinationError::of_object(place, &error))
}

/// Keys of Amazon's files, where the environment has none.
fn keys_of_files(place: &Destination) -> Result<Option<Keys>, DestinationError> {
    let given = AmazonS3Builder::from_env().get_config_value(&AmazonS3ConfigKey::AccessKeyId);
    match given {
        Some(_) => Ok(None),
        None => profile::from_files().map_err(|lack| DestinationError::of_profile(place, &lack)),
    }
}

fn s3(bucket: &str, keys: Option<Keys>) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::from_env().with_url(bucket).with_retry(retries());
    if let Some(found) = keys {
        builder = builder
            .with_access_key_id(found.access_key_id)
            .with_secret_access_key(found.secret_access_key);
        if let Some(token) = found.session_token {
            builder = builder.with_token(token);
        }
        if let Some(region) = found.region
            && builder.get_config_value(&AmazonS3ConfigKey::Region).is_none()
        {
            builder = builder.with_region(region);
        }
    }
    let options = options(std::env::var("AWS_ALLOW_HTTP").is_ok_and(|text| is_yes(&text)));
    Ok(Arc::new(builder.with_client_options(options).build()?))
}

fn google(bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let builder = GoogleCloudStorageBuilder::from_env()
        .with_url(bucket)
        .with_retry(retries())
        .with_client_options(options(
            std::env::var("GOOGLE_ALLOW_HTTP").is_ok_and(|text| is_yes(&text)),
        ));
    Ok(Arc::new(builder.build()?))
}

fn azure(bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    for (key, text) in settings_of_azures_own_programs()? {
        // A switch that nobody set is `false`.
        if builder.get_config_value(&key).is_none_or(|set| set == "false") {
            builder = builder.with_config(key, text);
        }
    }
    if let Some(endpoint) = builder.get_config_value(&AzureConfigKey::Endpoint) {
        // Azure's portal shows it with a slash at its end, behind which the library would put another one.
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let builder = builder
        .with_url(bucket)
        .with_retry(retries())
        .with_client_options(options(
            std::env::var("AZURE_ALLOW_HTTP").is_ok_and(|text| is_yes(&text)),
        ));
    Ok(Arc::new(builder.build()?))
}

/// What Azure's own command line reads and the library does not.
fn settings_of_azures_own_programs() -> object_store::Result<Vec<(AzureConfigKey, String)>> {
    let mut settings = Vec::new();
    for (variable, key) in [
        ("AZURE_STORAGE_ACCOUNT", AzureConfigKey::AccountName),
        ("AZURE_STORAGE_KEY", AzureConfigKey::AccessKey),
    ] {
        if let Ok(text) = std::env::var(variable) {
            settings.push((key, text));
        }
    }
    if let Ok(text) = std::env::var("AZURE_STORAGE_CONNECTION_STRING") {
        let said = connection_string::settings(&text).map_err(|error| object_store::Error::Generic {
            store: "Azure",
            source: Box::new(error),
        })?;
        settings.extend(said);
    }
    Ok(settings)
}

/// How requests are made. A whole answer may take any time, as a large object does; silence may not.
fn options(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout_disabled()
        .with_read_timeout(SILENCE_MAX)
}

/// A cut connection and a busy provider are met again for some ten seconds, a minute at most: each pause is drawn at random
/// between the first one and `base` times the last, so that a smaller base hardly grows. Credentials that are nowhere are
/// looked for as long, which is why it is not more.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(15),
            base: 3.0,
        },
        max_retries: 7,
        retry_timeout: Duration::from_secs(180),
    }
}

fn is_yes(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "on"
    )
}
