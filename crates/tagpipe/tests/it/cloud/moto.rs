//! Amazon S3, as moto plays it.

use std::path::Path;

use super::server::Server;
use super::target;
use crate::backup::printed;
use crate::harness::Rig;

/// An S3 server of this test's own, with the bucket `safe`.
pub(crate) struct S3 {
    pub(crate) port: u16,
    _server: Server,
}

/// Keys of a user.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
}

impl S3 {
    pub(crate) async fn start() -> S3 {
        let server = Server::start("s3-server").await;
        let s3 = S3 {
            port: server.port,
            _server: server,
        };
        let made = s3.client().put(s3.url("safe")).send().await.expect("an answer");
        assert!(made.status().is_success(), "{made:?}");
        s3
    }

    /// The objects that anybody sees.
    pub(crate) async fn objects(&self) -> Vec<String> {
        self.keys("safe?list-type=2").await
    }

    /// The uploads that were begun and neither completed nor aborted.
    pub(crate) async fn uploads(&self) -> Vec<String> {
        self.keys("safe?uploads").await
    }

    /// Puts an object there.
    pub(super) fn put(&self, key: &str, text: &str) {
        let script = "s3.put_object(Bucket='safe', Key=arguments[0], Body=arguments[1].encode())";
        self.python(script, &[key, text]);
    }

    /// The text of an object.
    pub(super) fn text(&self, key: &str) -> String {
        let script = "print(s3.get_object(Bucket='safe', Key=arguments[0])['Body'].read().decode(), end='')";
        self.python(script, &[key])
    }

    /// Fetches an object by Amazon's own library.
    pub(crate) fn fetch(&self, key: &str, to: &Path) {
        let script = "s3.download_file('safe', arguments[0], arguments[1])";
        self.python(script, &[key, to.to_str().expect("a path")]);
    }

    /// Fetches all objects by Amazon's own library, each under its key.
    pub(super) fn fetch_all(&self, to: &Path) {
        let script = "
import os
for page in s3.get_paginator('list_objects_v2').paginate(Bucket='safe'):
    for found in page.get('Contents', []):
        path = os.path.join(arguments[0], found['Key'])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        s3.download_file('safe', found['Key'], path)";
        self.python(script, &[to.to_str().expect("a path")]);
    }

    /// Of how many parts an object was made; one that was sent at once has none.
    pub(super) fn parts(&self, key: &str) -> u32 {
        // That is what the tag of such an object ends in.
        let tag = self.python(
            "print(s3.head_object(Bucket='safe', Key=arguments[0])['ETag'])",
            &[key],
        );
        let (_, parts) = tag.trim().trim_matches('"').split_once('-').unwrap_or_default();
        parts.parse().unwrap_or(0)
    }

    /// Sets the rules for what becomes of objects; Amazon's library refuses what it would not understand.
    pub(super) fn set_lifecycle(&self, rules: &str) {
        let script = "s3.put_bucket_lifecycle_configuration(Bucket='safe', LifecycleConfiguration=json.loads(arguments[0]))";
        self.python(script, &[rules]);
    }

    /// Gives the one user these rights in place of those before.
    pub(super) fn set_rights(&self, policy: &str) {
        let script =
            "iam.put_user_policy(UserName='tagpipe', PolicyName='rights', PolicyDocument=arguments[0])";
        self.python(script, &[policy]);
    }

    /// Makes the one user, without rights.
    pub(super) fn make_user(&self) -> Keys {
        let script = "
iam.create_user(UserName='tagpipe')
made = iam.create_access_key(UserName='tagpipe')['AccessKey']
print(made['AccessKeyId'], made['SecretAccessKey'])";
        let said = self.python(script, &[]);
        let (id, secret) = said.trim().split_once(' ').expect("two words");
        Keys {
            id: id.to_owned(),
            secret: secret.to_owned(),
        }
    }

    /// Whether it asks for signatures and rights from now on, also from this test.
    pub(super) async fn ask_for_rights(&self, asks: bool) {
        let unasked = if asks { "0" } else { "inf" };
        let url = self.url("moto-api/reset-auth");
        let set = self
            .client()
            .post(url)
            .body(unasked)
            .send()
            .await
            .expect("an answer");
        assert!(set.status().is_success(), "{set:?}");
    }

    fn client(&self) -> reqwest::Client {
        // Another test of this process may have been faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::new()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What stands between `<Key>` and `</Key>` in an answer.
    async fn keys(&self, path: &str) -> Vec<String> {
        let answer = self.client().get(self.url(path)).send().await.expect("an answer");
        let text = answer.text().await.expect("a text");
        text.split("<Key>")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()))
            .collect()
    }

    /// Runs a script with Amazon's library, and returns what it printed.
    fn python(&self, script: &str, arguments: &[&str]) -> String {
        let python = std::fs::read_dir(target())
            .expect("a target folder")
            .flatten()
            .map(|entry| entry.path().join("bin/python"))
            .find(|python| python.exists() && python.to_string_lossy().contains("/moto-"))
            .expect("what scripts/s3-server installed");
        let whole = format!(
            "import boto3, json, sys\n\
             keys = dict(endpoint_url=sys.argv[1], aws_access_key_id='a', aws_secret_access_key='b', region_name='us-east-1')\n\
             s3, iam, arguments = boto3.client('s3', **keys), boto3.client('iam', **keys), sys.argv[2:]\n\
             {script}"
        );
        let endpoint = self.url("");
        let arguments = [&["-c", &whole, endpoint.trim_end_matches('/')], arguments].concat();
        printed(python.to_str().expect("a path"), &arguments, &[])
    }
}

/// Has the rig's commands reach S3 at `port`.
pub(crate) fn reach(rig: &mut Rig, port: u16) {
    for (name, text) in [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "only-for-tests"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ] {
        rig.set_variable(name, text);
    }
    rig.set_variable("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
}
