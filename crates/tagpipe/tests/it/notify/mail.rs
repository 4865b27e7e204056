//! Mail, to a real server with TLS and authentication.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::{deliveries, send, small};
use crate::harness::{Rig, wait_until};

/// A mail server with a certificate of its own authority. Killed when the test ends.
struct MailServer {
    folder: TempDir,
    port: u16,
    said: Arc<Mutex<Vec<Value>>>,
    _process: Child,
}

impl MailServer {
    async fn start(security: &str) -> MailServer {
        let folder = tempfile::tempdir().expect("a folder");
        make_certificates(folder.path()).await;
        MailServer::start_in(folder, security).await
    }

    /// With the certificate `server.pem` and its key, which are in `folder`.
    async fn start_in(folder: TempDir, security: &str) -> MailServer {
        let mut process = Command::new(python_with_server().await)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/notify/mail_server.py"))
            .args([security, "server.pem", "server.key"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the mail server starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output is piped")).lines();
        let port = lines.next_line().await.expect("a line").expect("its port");
        let said = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let said = Arc::clone(&said);
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    let value = serde_json::from_str(&line).expect("JSON");
                    said.lock().expect("a lock").push(value);
                }
            }
        });
        MailServer {
            folder,
            port: port.parse().expect("a port"),
            said,
            _process: process,
        }
    }

    fn said(&self) -> Vec<Value> {
        self.said.lock().expect("a lock").clone()
    }

    /// A channel to this server in the rig's settings.
    fn write_settings(&self, rig: &Rig, security: &str, password: &str, ca_file: &Path) {
        rig.write("password", &format!("{password}\n"));
        let more = format!(
            "security = \"{security}\"\nuser = \"me\"\npassword_file = \"password\"\nca_file = {ca_file:?}"
        );
        write_channel(rig, self.port, &["a@example.com", "B <b@example.com>"], &more);
    }

    /// A channel to these recipients over this server in the rig's settings.
    fn write_recipients(&self, rig: &Rig, to: &[&str]) {
        rig.write("password", "correct horse\n");
        let authority = self.authority();
        let more = format!(
            "security = \"tls\"\nuser = \"me\"\npassword_file = \"password\"\nca_file = {authority:?}"
        );
        write_channel(rig, self.port, to, &more);
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// A channel to a mail server on a port of this machine in the rig's settings, with further lines.
fn write_channel(rig: &Rig, port: u16, to: &[&str], more: &str) {
    rig.write(
        "tagpipe.toml",
        &format!(
            "[[notify.channels]]\nname = \"mail\"\nkind = \"email\"\nserver = \"127.0.0.1:{port}\"\n\
             from = \"Cards <tagpipe@example.com>\"\nto = {to:?}\n{more}\n"
        ),
    );
}

/// A Python that has aiosmtpd; installed into the target folder the first time.
async fn python_with_server() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/mail-server-python");
    let output = Command::new(script)
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("bash");
    assert!(
        output.status.success(),
        "the mail server can be installed from PyPI"
    );
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

/// An authority, and a certificate of it for the server's address.
async fn make_certificates(folder: &Path) {
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ];
    openssl(
        folder,
        &[
            &[
                "req",
                "-x509",
                "-subj",
                "/CN=authority",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ][..],
            &key,
        ]
        .concat(),
    )
    .await;
    openssl(
        folder,
        &[
            &[
                "req",
                "-x509",
                "-subj",
                "/CN=server",
                "-keyout",
                "server.key",
                "-out",
                "server.pem",
            ][..],
            &[
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ],
            &["-addext", "basicConstraints=critical,CA:FALSE"],
            &key,
        ]
        .concat(),
    )
    .await;
}

async fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .await
        .expect("openssl is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn a_run_is_told_by_mail(security: &str) {
    let rig = Rig::new(small()).await;
    let server = MailServer::start(security).await;
    server.write_settings(&rig, security, "correct horse", &server.authority());
    let tested = rig.tagpipe(&["notify", "test"]).await;
    assert_eq!(
        (tested.code, tested.stdout.as_str()),
        (Some(0), "mail (email): delivered\n"),
        "{}",
        tested.stderr
    );
    let run = rig.run(&[]).await;
    run.summary(0);
    wait_until("mail", || server.said().len() >= 2).await;
    // Another look finds nothing to do.
    assert_eq!(rig.tagpipe(&["notify", "send"]).await.code, Some(0));
    let said = server.said();
    assert_eq!(said.len(), 2, "{said:#?}");
    let mail = &said[1];
    assert_eq!(mail["mail"]["subject"], "[tagpipe] Run 1: reconciled");
    assert_eq!(mail["mail"]["from"], "Cards <tagpipe@example.com>");
    assert_eq!(mail["mail"]["auto-submitted"], "auto-generated");
    assert_eq!(mail["sender"], "tagpipe@example.com");
    assert_eq!(mail["recipients"], json!(["a@example.com", "b@example.com"]));
    assert_eq!(mail["user"], "me");
    let tls = mail["tls"].as_str().expect("it is encrypted");
    assert!(tls.starts_with("TLSv1."), "{tls}");
    let body = mail["body"].as_str().expect("a text");
    let pages = rig.site.world().page_count();
    assert!(body.contains(&format!("Pages read: {pages}")), "{body}");
    // The id is the message's, whatever carries it.
    let delivery = deliveries(&rig).await.remove(0);
    let id = delivery["message_id"].as_str().expect("an id");
    assert_eq!(mail["mail"]["message-id"], format!("<{id}@example.com>"));
    assert_eq!(delivery["state"], "sent");
    assert!(!format!("{}{}", run.stderr, tested.stderr).contains("correct horse"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_by_mail_over_starttls() {
    a_run_is_told_by_mail("starttls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_by_mail_over_tls() {
    a_run_is_told_by_mail("tls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_cannot_be_trusted_gets_no_password_and_a_wrong_one_is_given_up() {
    let rig = Rig::new(small()).await;
    let (server, stranger) = (
        MailServer::start("starttls").await,
        MailServer::start("starttls").await,
    );
    // By another authority.
    server.write_settings(&rig, "starttls", "correct horse", &stranger.authority());
    let tested = rig.tagpipe(&["notify", "test"]).await;
    assert_eq!(tested.code, Some(1));
    assert!(tested.stdout.contains("certificate"), "{}", tested.stdout);
    // Without encryption, which this server does not take.
    server.write_settings(&rig, "plain", "correct horse", &server.authority());
    assert_eq!(rig.tagpipe(&["notify", "test"]).await.code, Some(1));
    assert_eq!(server.said(), Vec::<Value>::new());

    server.write_settings(&rig, "starttls", "battery staple", &server.authority());
    let run = rig.run(&[]).await;
    run.summary(0);
    assert!(server.said().iter().all(|said| said["refused"] == true));
    let delivery = deliveries(&rig).await.remove(0);
    assert_eq!(delivery["state"], "failed", "{delivery:#}");
    assert!(
        delivery["last_error"]
            .as_str()
            .is_some_and(|why| why.contains("535")),
        "{delivery:#}"
    );
    let audit = rig.audit().await;
    let given_up: Vec<_> = audit.iter().filter(|entry| entry.operation == "notify").collect();
    assert_eq!((given_up.len(), given_up[0].level.as_str()), (1, "ERROR"));
    let everything = format!("{}{delivery}{}", run.stderr, given_up[0].message);
    assert!(!everything.contains("battery staple"), "{everything}");

    // Once it is right, it is sent after all.
    server.write_settings(&rig, "starttls", "correct horse", &server.authority());
    let sent = rig.tagpipe(&["notify", "send", "--again"]).await;
    assert_eq!(sent.code, Some(0), "{}{}", sent.stdout, sent.stderr);
    wait_until("mail", || {
        server.said().iter().any(|said| said.get("mail").is_some())
    })
    .await;
    assert_eq!(deliveries(&rig).await[0]["state"], "sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_recipient_that_is_refused_keeps_the_mail_from_nobody_else() {
    let rig = Rig::new(small()).await;
    let server = MailServer::start("tls").await;
    server.write_recipients(&rig, &["bad@example.com", "anna@example.com"]);
    let tested = rig.tagpipe(&["notify", "test"]).await;
    assert_eq!(tested.code, Some(1));
    for word in ["delivered in part", "`bad@example.com`", "no such user"] {
        assert!(tested.stdout.contains(word), "{}", tested.stdout);
    }
    rig.run(&[]).await.summary(0);
    wait_until("mail", || server.said().len() >= 2).await;
    for mail in server.said() {
        assert_eq!(mail["recipients"], json!(["anna@example.com"]));
    }
    let delivery = deliveries(&rig).await.remove(0);
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&json!("sent"), &json!(1))
    );
    let why = delivery["last_error"].as_str().expect("words");
    assert!(why.contains("bad@example.com") && !why.contains("anna"), "{why}");
    let shown = rig.tagpipe(&["notify", "list"]).await.stdout;
    assert!(
        shown.contains("sent in part") && shown.contains("bad@example.com"),
        "{shown}"
    );
    let audit = rig.audit().await;
    let told = audit.iter().filter(|entry| entry.operation == "notify");
    assert_eq!(
        told.map(|entry| entry.level.as_str()).collect::<Vec<_>>(),
        ["ERROR"]
    );
    // Nobody is left who could get it.
    server.write_recipients(&rig, &["bad@example.com"]);
    rig.run(&[]).await.summary(0);
    assert_eq!(deliveries(&rig).await[0]["state"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_mail_does_not_get_it_again_when_it_is_tried_for_the_others() {
    let rig = Rig::new(small()).await;
    let server = MailServer::start("tls").await;
    let to = ["anna@example.com", "full@example.com", "bad@example.com"];
    server.write_recipients(&rig, &to);
    rig.run(&[]).await.summary(0);
    wait_until("mail", || !server.said().is_empty()).await;
    let delivery = deliveries(&rig).await.remove(0);
    let why = delivery["last_error"].as_str().expect("words");
    assert!(why.contains("mailbox full"), "{delivery:#}");
    let (code, said) = send(&rig, &["--again"]).await;
    assert_eq!(
        (code, &said["sent"], &said["in_part"]),
        (Some(1), &json!(1), &json!(1)),
        "{said:#}"
    );
    let mails = server.said();
    let recipients: Vec<&Value> = mails.iter().map(|mail| &mail["recipients"]).collect();
    assert_eq!(
        recipients,
        [&json!(["anna@example.com"]), &json!(["full@example.com"])]
    );
    let id = |mail: &Value| mail["mail"]["message-id"].clone();
    assert_eq!(
        (id(&mails[0]), &mails[0]["body"]),
        (id(&mails[1]), &mails[1]["body"])
    );
    let delivery = deliveries(&rig).await.remove(0);
    assert_eq!(delivery["state"], "sent");
    let why = delivery["last_error"].as_str().expect("words");
    assert!(why.contains("bad@example.com") && !why.contains("full@"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_says_nothing_is_given_up_in_time_and_that_is_recorded() {
    let rig = Rig::new(small()).await;
    // The system accepts connections to it; nobody greets.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    write_channel(&rig, port, &["a@example.com"], "security = \"plain\"");
    let tested = rig.tagpipe(&["notify", "test"]).await;
    assert_eq!(
        (tested.code, tested.stdout.as_str()),
        (
            Some(1),
            "mail (email): not delivered: the mail server has not taken it within 10 s\n"
        )
    );
    rig.run(&[]).await.summary(0);
    let delivery = deliveries(&rig).await.remove(0);
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&json!("open"), &json!(1))
    );
    assert!(
        delivery["last_error"]
            .as_str()
            .is_some_and(|why| why.contains("within 10 s")),
        "{delivery:#}"
    );
}

/// What `notify test` says of the channel `mail`.
async fn tested(rig: &Rig) -> String {
    rig.tagpipe(&["notify", "test"]).await.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_accepted_is_said_with_what_to_do() {
    let rig = Rig::new(small()).await;
    let self_signed = async |more: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let plain = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-keyout",
            "server.key",
            "-out",
            "server.pem",
        ];
        openssl(folder.path(), &[&plain, more].concat()).await;
        MailServer::start_in(folder, "starttls").await
    };
    // As openssl makes it if nothing else is said.
    let server = self_signed(&[]).await;
    let own = server.folder.path().join("server.pem");
    server.write_settings(&rig, "starttls", "correct horse", &own);
    let said = tested(&rig).await;
    for word in [
        "is not accepted",
        "authority",
        "CA:FALSE",
        "IP:127.0.0.1",
        "`ca_file`",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(
        !said.contains("cannot be reached") && !said.contains("CaUsed"),
        "{said}"
    );
    // As it is advised.
    let advised = self_signed(&[
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ])
    .await;
    let own = advised.folder.path().join("server.pem");
    advised.write_settings(&rig, "starttls", "correct horse", &own);
    assert_eq!(tested(&rig).await, "mail (email): delivered\n");
    // By somebody else than `ca_file` says, and without one.
    let server = MailServer::start("tls").await;
    server.write_settings(&rig, "tls", "correct horse", &own);
    let said = tested(&rig).await;
    for word in ["no authority that is trusted", "`ca_file`", "server.pem"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    write_channel(&rig, server.port, &["a@example.com"], "security = \"tls\"");
    let said = tested(&rig).await;
    assert!(
        said.contains("as `ca_file`") && !said.contains("Unknown"),
        "{said}"
    );
    // By HTTP as well, where the system says who is trusted.
    let url = format!("url = \"https://127.0.0.1:{}/\"", server.port);
    rig.write(
        "tagpipe.toml",
        &format!("[[notify.channels]]\nname = \"mail\"\nkind = \"webhook\"\n{url}\n"),
    );
    let said = tested(&rig).await;
    assert!(
        said.contains("no authority that is trusted") && said.contains("SSL_CERT_FILE"),
        "{said}"
    );
}
