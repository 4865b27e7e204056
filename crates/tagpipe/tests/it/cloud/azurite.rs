//! Azure Blob Storage, as Azurite plays it.

use std::path::{Path, PathBuf};

use super::server::Server;
use super::target;
use crate::backup::printed;
use crate::harness::Rig;

/// Azurite's account and its key, which everybody knows.
pub(super) const ACCOUNT: &str = "devstoreaccount1";
pub(super) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// An Azure server of this test's own, with the container `safe`.
pub(super) struct Azurite {
    pub(super) port: u16,
    _server: Server,
}

impl Azurite {
    pub(super) async fn start() -> Azurite {
        let server = Server::start("azure-server").await;
        let azurite = Azurite {
            port: server.port,
            _server: server,
        };
        azurite.node("await safe.create();", &[]);
        azurite
    }

    /// The blobs that anybody sees.
    pub(super) fn blobs(&self) -> Vec<String> {
        self.lines("for await (const found of safe.listBlobsFlat()) console.log(found.name);")
    }

    /// The blobs that have blocks, also those of which nothing is seen yet.
    pub(super) fn begun(&self) -> Vec<String> {
        self.lines(
            "for await (const found of safe.listBlobsFlat({ includeUncommitedBlobs: true })) console.log(found.name);",
        )
    }

    /// Puts a blob there.
    pub(super) fn put(&self, key: &str, text: &str) {
        let script = "await safe.getBlockBlobClient(words[0]).upload(words[1], words[1].length);";
        self.node(script, &[key, text]);
    }

    /// The text of a blob.
    pub(super) fn text(&self, key: &str) -> String {
        let script = "process.stdout.write(await safe.getBlobClient(words[0]).downloadToBuffer());";
        self.node(script, &[key])
    }

    /// Of how many blocks a blob was made; one that was sent at once has none.
    pub(super) fn blocks(&self, key: &str) -> u32 {
        let script = "console.log((await safe.getBlockBlobClient(words[0]).getBlockList('committed')).committedBlocks?.length ?? 0);";
        self.node(script, &[key]).trim().parse().expect("a number")
    }

    /// Fetches all blobs by Microsoft's own library, each under its key.
    pub(super) fn fetch_all(&self, to: &Path) {
        let script = "
const { mkdirSync } = require('fs'), { dirname, join } = require('path');
for await (const found of safe.listBlobsFlat()) {
  const path = join(words[0], found.name);
  mkdirSync(dirname(path), { recursive: true });
  await safe.getBlobClient(found.name).downloadToFile(path);
}";
        self.node(script, &[to.to_str().expect("a path")]);
    }

    /// A signature for the container with these permissions.
    pub(super) fn signature(&self, permissions: &str) -> String {
        let script = "
const { ContainerSASPermissions } = require('@azure/storage-blob');
const expiresOn = new Date(Date.now() + 3600_000);
const url = await safe.generateSasUrl({ permissions: ContainerSASPermissions.parse(words[0]), expiresOn });
console.log(url.split('?')[1]);";
        self.node(script, &[permissions]).trim().to_owned()
    }

    fn lines(&self, script: &str) -> Vec<String> {
        self.node(script, &[]).lines().map(str::to_owned).collect()
    }

    /// Runs a script with Microsoft's library, and returns what it printed.
    fn node(&self, script: &str, words: &[&str]) -> String {
        let whole = format!(
            "const {{ BlobServiceClient }} = require('@azure/storage-blob');
const [text, ...words] = process.argv.slice(1);
const safe = BlobServiceClient.fromConnectionString(text).getContainerClient('safe');
(async () => {{ {script} }})().catch((error) => {{ console.error(error); process.exit(1); }});"
        );
        let text = connection_string(self.port);
        let modules = [("NODE_PATH", modules().display().to_string())];
        printed("node", &[&["-e", &whole, &text], words].concat(), &modules)
    }
}

/// Where Microsoft's library is.
fn modules() -> PathBuf {
    std::fs::read_dir(target())
        .expect("a target folder")
        .flatten()
        .map(|entry| entry.path().join("node_modules"))
        .find(|modules| modules.exists() && modules.to_string_lossy().contains("/azurite-"))
        .expect("what scripts/azure-server installed")
}

/// All that one needs to know about the server at `port`, as Azure writes it.
pub(super) fn connection_string(port: u16) -> String {
    format!(
        "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    )
}

/// Has the rig's commands reach Azure at `port`.
pub(super) fn reach(rig: &mut Rig, port: u16) {
    for (name, text) in [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
        ("AZURE_ALLOW_HTTP", "true"),
    ] {
        rig.set_variable(name, text);
    }
    // With the slash that Azure's portal has at the end.
    rig.set_variable(
        "AZURE_STORAGE_ENDPOINT",
        &format!("http://127.0.0.1:{port}/{ACCOUNT}/"),
    );
}
