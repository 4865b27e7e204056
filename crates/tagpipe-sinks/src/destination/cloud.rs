//! Connections to clouds, with each provider's usual credentials.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::address::{Address, Provider};
use super::profile::{self, Keys};
use super::{Destination, DestinationError};

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
    // What Azure's own command line calls them.
    for (variable, key) in [
        ("AZURE_STORAGE_ACCOUNT", AzureConfigKey::AccountName),
        ("AZURE_STORAGE_KEY", AzureConfigKey::AccessKey),
    ] {
        if builder.get_config_value(&key).is_none()
            && let Ok(text) = std::env::var(variable)
        {
            builder = builder.with_config(key, text);
        }
    }
    let builder = builder
        .with_url(bucket)
        .with_retry(retries())
        .with_client_options(options(
            std::env::var("AZURE_ALLOW_HTTP").is_ok_and(|text| is_yes(&text)),
        ));
    Ok(Arc::new(builder.build()?))
}

/// How requests are made. A whole answer may take any time, as a large object does; silence may not.
fn options(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout_disabled()
        .with_read_timeout(SILENCE_MAX)
}

/// A cut connection and a busy provider are met again within a minute or so.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(15),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(180),
    }
}

fn is_yes(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "on"
    )
}
