//! Azure's connection strings, as its portal and its programs have them: `AccountName=…;AccountKey=…;BlobEndpoint=…`.

use object_store::azure::AzureConfigKey;

/// A text that is no connection string. It is not repeated, because it has secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text in AZURE_STORAGE_CONNECTION_STRING is no connection string: {0}; write \
     `AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net`, as Azure's portal shows it"
)]
pub(super) struct InvalidConnectionString(&'static str);

/// What a connection string says about blobs, as the settings that it stands for. What it says about queues, tables and files is
/// left out.
///
/// # Errors
/// [`InvalidConnectionString`].
pub(super) fn settings(text: &str) -> Result<Vec<(AzureConfigKey, String)>, InvalidConnectionString> {
    let mut said = Parts::default();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        // Keys and signatures have `=` in them, too.
        let (name, value) = part
            .split_once('=')
            .ok_or(InvalidConnectionString("a part of it has no `=`"))?;
        said.note(&name.to_ascii_lowercase(), value);
    }
    let (account, endpoint) = (said.account(), said.endpoint());
    let settings = [
        (AzureConfigKey::UseEmulator, said.uses_emulator),
        (AzureConfigKey::AccountName, account),
        (AzureConfigKey::AccessKey, said.key),
        (AzureConfigKey::SasKey, said.signature),
        (AzureConfigKey::Endpoint, endpoint),
    ];
    let settings: Vec<_> = settings
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    if settings.is_empty() {
        return Err(InvalidConnectionString(
            "it names neither an account nor an endpoint",
        ));
    }
    Ok(settings)
}

#[derive(Default)]
struct Parts {
    uses_emulator: Option<String>,
    account: Option<String>,
    key: Option<String>,
    signature: Option<String>,
    blob_endpoint: Option<String>,
    protocol: Option<String>,
    suffix: Option<String>,
}

impl Parts {
    fn note(&mut self, name: &str, value: &str) {
        let part = match name {
            "usedevelopmentstorage" => &mut self.uses_emulator,
            "accountname" => &mut self.account,
            "accountkey" => &mut self.key,
            "sharedaccesssignature" => &mut self.signature,
            "blobendpoint" => &mut self.blob_endpoint,
            "defaultendpointsprotocol" => &mut self.protocol,
            "endpointsuffix" => &mut self.suffix,
            _ => return,
        };
        *part = Some(value.to_owned());
    }

    /// The one that is named, or the one that the endpoint is of: strings with a signature name none.
    fn account(&self) -> Option<String> {
        self.account.clone().or_else(|| {
            let (_, host) = self.blob_endpoint.as_ref()?.split_once("://")?;
            let (account, _) = host.split_once(".blob.")?;
            Some(account.to_owned())
        })
    }

    /// The one that is named, or the one that account and suffix make.
    fn endpoint(&self) -> Option<String> {
        self.blob_endpoint.clone().or_else(|| {
            let (account, suffix) = (self.account.as_ref()?, self.suffix.as_ref()?);
            let protocol = self.protocol.as_deref().unwrap_or("https");
            Some(format!("{protocol}://{account}.blob.{suffix}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(AzureConfigKey, &str)]) {
        let found = settings(text).unwrap();
        let found: Vec<_> = found.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_azure_documents_is_understood() {
        use AzureConfigKey::{AccessKey, AccountName, Endpoint, SasKey, UseEmulator};
        check(
            "DefaultEndpointsProtocol=https;AccountName=cards;AccountKey=a2V5==;EndpointSuffix=core.windows.net",
            &[
                (AccountName, "cards"),
                (AccessKey, "a2V5=="),
                (Endpoint, "https://cards.blob.core.windows.net"),
            ],
        );
        check(
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5==;\
             BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;",
            &[
                (AccountName, "devstoreaccount1"),
                (AccessKey, "a2V5=="),
                (Endpoint, "http://127.0.0.1:10000/devstoreaccount1"),
            ],
        );
        check(
            "BlobEndpoint=https://cards.blob.core.windows.net/;SharedAccessSignature=sv=2023&sig=x%3D",
            &[
                (AccountName, "cards"),
                (SasKey, "sv=2023&sig=x%3D"),
                (Endpoint, "https://cards.blob.core.windows.net/"),
            ],
        );
        check("usedevelopmentstorage=true", &[(UseEmulator, "true")]);
    }

    #[test]
    fn what_is_none_is_refused_without_its_text() {
        for text in ["", "hush", "AccountName=cards;hush", "QueueEndpoint=https://hush"] {
            let told = settings(text).unwrap_err().to_string();
            assert!(
                told.contains("AZURE_STORAGE_CONNECTION_STRING") && !told.contains("hush"),
                "{told}"
            );
        }
    }
}
