//! PostgreSQL over TLS, with an authority of its own: runs, backups and their programs trust the same one.

use std::fs;

use tagpipe_store::testing::TestPostgres;
use tagpipe_store::{ErrorClass, Store};
use tempfile::TempDir;

use super::*;

/// An authority, and a certificate of 127.0.0.1 that it has signed.
struct Authority {
    folder: TempDir,
}

impl Authority {
    fn new(names: &str) -> Authority {
        let authority = Authority {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let make = |arguments: &[&str]| {
            let output = Command::new("openssl")
                .args(arguments)
                .current_dir(authority.folder.path())
                .output()
                .expect("this test needs `openssl`");
            assert!(
                output.status.success(),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ];
        let root = [
            "req",
            "-x509",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "2",
            "-subj",
            "/CN=Our authority",
        ];
        make(&[&root[..], &key].concat());
        let request = [
            "req",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
            "-subj",
            "/CN=database",
        ];
        make(&[&request[..], &key].concat());
        fs::write(
            authority.file("names"),
            format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n"),
        )
        .expect("a file");
        make(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.pem",
        ]);
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self) -> TestPostgres {
        TestPostgres::start_encrypted(&self.file("server.pem"), &self.file("server.key"))
    }
}

fn with_tls(server: &TestPostgres, parameters: &[(&str, &str)]) -> DatabaseUrl {
    let DatabaseUrl::Postgres(mut url) = server.url() else {
        unreachable!("a PostgreSQL")
    };
    url.query_pairs_mut().extend_pairs(parameters);
    DatabaseUrl::Postgres(url)
}

async fn encryption(url: &DatabaseUrl) -> Option<String> {
    let store = Store::open(url, true)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let version = store.encryption().await.expect("it is told");
    store.close().await;
    version
}

async fn refusal(url: &DatabaseUrl) -> String {
    let error = Store::open(url, true).await.expect_err("it is refused");
    assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_authority_is_trusted() {
    let ours = Authority::new("IP:127.0.0.1,DNS:localhost");
    let theirs = Authority::new("IP:127.0.0.1");
    let server = ours.server();
    let ca = ours.file("ca.pem").display().to_string();
    let other = theirs.file("ca.pem").display().to_string();
    for mode in ["verify-full", "verify-ca"] {
        let right = with_tls(&server, &[("sslmode", mode), ("sslrootcert", &ca)]);
        assert_eq!(encryption(&right).await.as_deref(), Some("TLSv1.3"), "{mode}");
        let wrong = with_tls(&server, &[("sslmode", mode), ("sslrootcert", &other)]);
        let words = refusal(&wrong).await;
        assert!(
            words.contains("not of an authority that is trusted") && words.contains("POSTGRES_SSLROOTCERT"),
            "{words}"
        );
        // Public authorities have not signed it.
        let words = refusal(&with_tls(&server, &[("sslmode", mode)])).await;
        assert!(words.contains("authority"), "{words}");
    }
    assert!(
        encryption(&with_tls(&server, &[("sslmode", "require")]))
            .await
            .is_some()
    );
    assert!(
        encryption(&with_tls(&server, &[])).await.is_some(),
        "it is offered"
    );
    assert_eq!(
        encryption(&with_tls(&server, &[("sslmode", "disable")])).await,
        None
    );
    let words = refusal(&with_tls(
        &server,
        &[("sslmode", "verify-full"), ("sslrootcert", "/no/such/ca.pem")],
    ))
    .await;
    assert!(words.contains("/no/such/ca.pem"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_certificate_and_a_server_without_one_are_refused() {
    let authority = Authority::new("DNS:db.example.com");
    let server = authority.server();
    let ca = authority.file("ca.pem").display().to_string();
    let full = with_tls(&server, &[("sslmode", "verify-full"), ("sslrootcert", &ca)]);
    let words = refusal(&full).await;
    assert!(words.contains("another host's"), "{words}");
    let by_authority = with_tls(&server, &[("sslmode", "verify-ca"), ("sslrootcert", &ca)]);
    assert!(encryption(&by_authority).await.is_some());

    let plain = TestPostgres::start();
    let words = refusal(&with_tls(&plain, &[("sslmode", "require")])).await;
    assert!(words.contains("does not support TLS"), "{words}");
    assert_eq!(encryption(&with_tls(&plain, &[])).await, None);
}

/// Run, doctor, backup and restore by `POSTGRES_*`, as containers have them.
#[tokio::test(flavor = "multi_thread")]
async fn everything_works_over_tls_by_settings() {
    let ours = Authority::new("IP:127.0.0.1");
    let server = ours.server();
    let DatabaseUrl::Postgres(url) = server.url() else {
        unreachable!("a PostgreSQL")
    };
    let mut rig = Rig::new(small()).await;
    rig.without_database_flag();
    let port = url.port().expect("a port").to_string();
    let ca = ours.file("ca.pem").display().to_string();
    for (name, text) in [
        ("POSTGRES_HOST", "127.0.0.1"),
        ("POSTGRES_PORT", &port),
        ("POSTGRES_USER", url.username()),
        ("POSTGRES_PASSWORD", url.password().expect("one")),
        ("POSTGRES_DB", "postgres"),
        ("POSTGRES_SSLMODE", "verify-full"),
        ("POSTGRES_SSLROOTCERT", &ca),
    ] {
        rig.set_variable(name, text);
    }
    rig.run(&[]).await.summary(0);
    let site = rig.site.site_url();
    let doctor = rig
        .tagpipe(&[
            "doctor",
            "--base-url",
            &site,
            "--fetch",
            "http",
            "--want-free",
            "1",
        ])
        .await;
    assert!(doctor.stdout.contains("encrypted (TLSv1.3)"), "{}", doctor.stdout);
    let made = rig.tagpipe(&["backup", "--to", "safe", "--verify"]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let restored = rig.tagpipe(&["restore", "--from", "safe", "--force"]).await;
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    assert_eq!(
        psql(
            &url,
            "SELECT count(*) FROM audit_logs WHERE operation = 'restore'"
        ),
        "1"
    );

    fs::copy(ours.file("ca.pem"), rig.folder().join("right.pem")).expect("a file");
    rig.set_variable("POSTGRES_SSLROOTCERT", "no-such.pem");
    let ended = rig.tagpipe(&["backup", "--to", "safe"]).await;
    assert!(ended.failure(1).contains("no-such.pem"), "{}", ended.stderr);
    rig.set_variable("POSTGRES_SSLROOTCERT", "right.pem");
    rig.set_variable("POSTGRES_SSLMODE", "very-strict");
    let ended = rig.tagpipe(&["backup", "--to", "safe"]).await;
    assert!(ended.failure(2).contains("verify-full"), "{}", ended.stderr);
}
