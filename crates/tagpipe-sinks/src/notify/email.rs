//! Mail by SMTP. Encrypted and, with a name and a password, authenticated; unencrypted only if the settings say so by name.
//!
//! A recipient that the server refuses keeps it from no other one: the rest get the mail, and who does not is told.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, Tls, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use tagpipe_core::news::NewsLevel;
use tagpipe_core::text::cut;
use tokio::time::timeout;

use super::certificate::Distrust;
use super::http::{shown, words};
use super::{Message, Notifier, NotifyError, Outcome, SEND_WITHIN, Secret};

/// What mail needs.
#[derive(Debug, Clone)]
pub struct EmailSettings {
    /// Name of the server, which its certificate must bear.
    pub host: String,
    /// Its port; `None` for the usual one: 587 for STARTTLS, 465 for TLS, 25 for plain.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    pub security: Security,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    /// Sender.
    pub from: String,
    /// Recipients, at least one.
    pub to: Vec<String>,
    /// PEM file with certificates that the server's may be signed by, besides those that everybody trusts.
    pub ca_file: Option<PathBuf>,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// It begins in plain text and must go on encrypted.
    StartTls,
    /// It is encrypted from its beginning.
    Tls,
    /// Not at all.
    Plain,
}

impl Security {
    /// The security of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Security> {
        match name {
            "starttls" => Some(Security::StartTls),
            "tls" => Some(Security::Tls),
            "plain" => Some(Security::Plain),
            _ => None,
        }
    }

    fn port(self) -> u16 {
        match self {
            Security::StartTls => 587,
            Security::Tls => 465,
            Security::Plain => 25,
        }
    }
}

/// For a connection to one address of the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the server to answer a farewell, which changes nothing any more.
const FAREWELL_WITHIN: Duration = Duration::from_millis(500);
/// Longest subject, in characters.
const SUBJECT_MAX: usize = 150;

pub(super) struct Email {
    host: String,
    port: u16,
    tls: Tls,
    login: Option<Credentials>,
    from: Mailbox,
    to: Vec<Mailbox>,
    ca_file: Option<PathBuf>,
}

impl Email {
    pub(super) fn new(settings: &EmailSettings) -> Result<Email, NotifyError> {
        // Fails only when the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if settings.to.is_empty() {
            return Err(NotifyError("mail needs a recipient".to_owned()));
        }
        let login = settings.login.as_ref();
        Ok(Email {
            host: settings.host.clone(),
            port: settings.port.unwrap_or(settings.security.port()),
            tls: tls(settings)?,
            login: login.map(|(user, password)| Credentials::new(user.clone(), password.reveal().to_owned())),
            from: mailbox(&settings.from)?,
            to: settings
                .to
                .iter()
                .map(|to| mailbox(to))
                .collect::<Result<_, _>>()?,
            ca_file: settings.ca_file.clone(),
        })
    }

    fn mail(&self, message: &Message) -> Result<lettre::Message, lettre::error::Error> {
        let subject = match message.level() {
            NewsLevel::Info => format!("[tagpipe] {}", message.title()),
            level => format!("[tagpipe {level}] {}", message.title()),
        };
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut builder = MessageBuilder::new()
            .from(self.from.clone())
            .subject(cut(&subject, SUBJECT_MAX))
            // The same each time that it is sent: mail servers and programs drop doubles by it.
            .message_id(Some(format!("<{}@{}>", message.id, self.from.email.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        builder.body(message.plain_text())
    }
}

/// A recipient that the server does not take.
struct Refused {
    address: String,
    /// Whether it will not be taken later either.
    is_permanent: bool,
    why: String,
}

#[async_trait]
impl Notifier for Email {
    async fn send(&self, message: &Message, reached: &[String]) -> Outcome {
        let mail = match self.mail(message) {
            Ok(mail) => mail.formatted(),
            Err(error) => {
                return Outcome::Permanent {
                    why: format!("no mail can be made of it: {}", shown(&error.to_string())),
                };
            }
        };
        let is_reached = |to: &Mailbox| reached.contains(&to.email.to_string());
        let to: Vec<&Mailbox> = self.to.iter().filter(|to| !is_reached(to)).collect();
        // The settings may name nobody any more that has not got it.
        if to.is_empty() {
            return Outcome::Delivered;
        }
        match timeout(SEND_WITHIN, self.hand_over(&mail, &to)).await {
            Err(_) => Outcome::later(format!(
                "the mail server has not taken it within {} s",
                SEND_WITHIN.as_secs()
            )),
            Ok(Err(error)) => self.outcome_of(&error),
            Ok(Ok((refused, connection))) => {
                farewell(connection).await;
                outcome_of_recipients(&to, &refused, reached)
            }
        }
    }
}

impl Email {
    /// Hands `mail` over for those of `to` that the server takes. Returns the others.
    async fn hand_over(
        &self,
        mail: &[u8],
        to: &[&Mailbox],
    ) -> Result<(Vec<Refused>, AsyncSmtpConnection), Failure> {
        let mut connection = self.connect().await?;
        let mut parameters = Vec::new();
        let is_ascii = |mailbox: &Mailbox| AsRef::<str>::as_ref(&mailbox.email).is_ascii();
        if !is_ascii(&self.from) || !to.iter().all(|to| is_ascii(to)) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Failure::Ascii);
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        connection
            .command(Mail::new(Some(self.from.email.clone()), parameters))
            .await?;
        let mut refused = Vec::new();
        for one in to {
            match connection.command(Rcpt::new(one.email.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => refused.push(Refused {
                    address: one.email.to_string(),
                    is_permanent: error.is_permanent(),
                    why: words(&error),
                }),
                Err(error) => return Err(error.into()),
            }
        }
        if refused.len() < to.len() {
            connection.command(Data).await?;
            connection.message(mail).await?;
        }
        Ok((refused, connection))
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let me = ClientId::default();
        let server = (self.host.as_str(), self.port);
        let from_the_beginning = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_TIMEOUT), &me, from_the_beginning, None)
                .await?;
        if let Tls::Required(parameters) = &self.tls {
            connection.starttls(parameters.clone(), &me).await?;
        }
        if let Some(login) = &self.login {
            connection.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok(connection)
    }

    fn outcome_of(&self, failure: &Failure) -> Outcome {
        let error = match failure {
            Failure::Smtp(error) => error,
            Failure::Ascii => {
                return Outcome::Permanent {
                    why: "the mail server takes no addresses with letters such as these (no SMTPUTF8)"
                        .to_owned(),
                };
            }
        };
        let why = self.in_words(error);
        match error.is_permanent() {
            true => Outcome::Permanent { why },
            false => Outcome::later(why),
        }
    }

    fn in_words(&self, error: &SmtpError) -> String {
        if let Some(code) = error.status() {
            return format!("the mail server answers {code}: {}", words(error));
        }
        if let Some(distrust) = Distrust::of(error) {
            return format!("{distrust}{}", self.remedy(&distrust));
        }
        match error.is_client() || error.is_response() {
            true => format!("the mail server does not do as it should: {}", words(error)),
            false => format!("the mail server cannot be reached: {}", words(error)),
        }
    }

    /// What to do that its certificate is accepted.
    fn remedy(&self, distrust: &Distrust) -> String {
        match (distrust, &self.ca_file) {
            (Distrust::Stranger, None) => {
                "; name the certificate of the authority that has, in PEM, as `ca_file`".to_owned()
            }
            (Distrust::Stranger, Some(file)) => format!(
                "; `ca_file`, which is `{}`, takes the certificate of the authority that has",
                file.display()
            ),
            (Distrust::Authority, _) => format!(
                "; make it with `openssl req -x509 -addext basicConstraints=critical,CA:FALSE -addext \
                 subjectAltName={}:{}` and what else was said, and name it as `ca_file`",
                match self.host.parse::<IpAddr>() {
                    Ok(_) => "IP",
                    Err(_) => "DNS",
                },
                self.host
            ),
            (Distrust::OtherName(_), _) => "; give the name that it bears as `server`".to_owned(),
            _ => String::new(),
        }
    }
}

/// Why a mail was not handed over.
enum Failure {
    /// By the conversation.
    Smtp(SmtpError),
    /// An address is not ASCII, and the server takes no other ones.
    Ascii,
}

impl From<SmtpError> for Failure {
    fn from(error: SmtpError) -> Failure {
        Failure::Smtp(error)
    }
}

/// Ends a conversation as it should be ended, with a server that answers soon.
async fn farewell(mut connection: AsyncSmtpConnection) {
    // What was handed over is, whether or not this works.
    let _ = timeout(FAREWELL_WITHIN, connection.quit()).await;
}

/// What it means that these of `to` were refused, where those that are `reached` have it from before.
fn outcome_of_recipients(to: &[&Mailbox], refused: &[Refused], reached: &[String]) -> Outcome {
    if refused.is_empty() {
        return Outcome::Delivered;
    }
    let each: Vec<String> = refused
        .iter()
        .map(|one| format!("`{}`: {}", one.address, one.why))
        .collect();
    let does_somebody_have_it = refused.len() < to.len() || !reached.is_empty();
    let why = match does_somebody_have_it {
        true => format!(
            "the mail server does not take it for {}; the others have it",
            each.join(", ")
        ),
        false => format!("the mail server does not take it for {}", each.join(", ")),
    };
    if refused.iter().any(|one| !one.is_permanent) {
        let is_refused = |address: &String| refused.iter().any(|one| one.address == *address);
        let to = to.iter().map(|to| to.email.to_string());
        return Outcome::Retry {
            after: None,
            why,
            reached: to.filter(|address| !is_refused(address)).collect(),
        };
    }
    match does_somebody_have_it {
        true => Outcome::DeliveredInPart { why },
        false => Outcome::Permanent { why },
    }
}

fn tls(settings: &EmailSettings) -> Result<Tls, NotifyError> {
    if settings.security == Security::Plain {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.ca_file {
        let wrong = |why: &str| NotifyError(format!("`{}` holds no certificates: {why}", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong(&error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(&words(&error)))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters
        .build()
        .map_err(|error| NotifyError(format!("no TLS with `{}`: {}", settings.host, words(&error))))?;
    Ok(match settings.security {
        Security::StartTls => Tls::Required(parameters),
        _ => Tls::Wrapper(parameters),
    })
}

fn mailbox(text: &str) -> Result<Mailbox, NotifyError> {
    text.trim().parse().map_err(|_| {
        NotifyError(format!(
            "`{text}` is no mail address; it takes one such as tagpipe@example.com or Cards <tagpipe@example.com>"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;

    fn settings() -> EmailSettings {
        EmailSettings {
            host: "smtp.example.com".to_owned(),
            port: None,
            security: Security::StartTls,
            login: Some(("me".to_owned(), Secret::new("hunter2"))),
            from: "tagpipe@example.com".to_owned(),
            to: vec!["Somebody <a@example.com>".to_owned(), "b@example.com".to_owned()],
            ca_file: None,
        }
    }

    #[test]
    fn a_title_adds_no_header() {
        let email = Email::new(&settings()).expect("right settings");
        let mail = email
            .mail(&message(&["a\r\nBcc: evil@example.com\r\n\r\nx ü"], 0))
            .expect("a mail");
        let text = String::from_utf8(mail.formatted()).expect("ASCII");
        let (head, _) = text.split_once("\r\n\r\n").expect("a head");
        assert!(!head.lines().any(|line| line.starts_with("Bcc:")), "{head}");
        assert!(
            text.contains("Message-ID: <0197c2f0-0000-7000-8000-000000000001@example.com>"),
            "{text}"
        );
    }

    #[test]
    fn whoever_is_refused_is_named_and_whoever_is_not_has_it() {
        let mailboxes: Vec<Mailbox> = ["a@x.org", "b@x.org", "c@x.org"]
            .iter()
            .map(|text| mailbox(text).expect("an address"))
            .collect();
        let to: Vec<&Mailbox> = mailboxes.iter().collect();
        let refused = |address: &str, is_permanent| Refused {
            address: address.to_owned(),
            is_permanent,
            why: "no such user".to_owned(),
        };
        let said = |refused: &[Refused], reached: &[&str]| {
            let reached: Vec<String> = reached.iter().map(|text| (*text).to_owned()).collect();
            outcome_of_recipients(&to, refused, &reached)
        };
        let (a, b, c) = (
            || refused("a@x.org", true),
            || refused("b@x.org", false),
            || refused("c@x.org", true),
        );
        assert_eq!(said(&[], &[]), Outcome::Delivered);
        let Outcome::DeliveredInPart { why } = said(&[a()], &[]) else {
            panic!("two have it")
        };
        assert!(
            why.contains("`a@x.org`: no such user") && !why.contains("b@x.org"),
            "{why}"
        );
        let Outcome::Retry { reached, why, .. } = said(&[a(), b()], &[]) else {
            panic!("one may be taken later")
        };
        assert_eq!(reached, ["c@x.org"]);
        assert!(why.contains("a@x.org") && why.contains("b@x.org"), "{why}");
        let all = [a(), refused("b@x.org", true), c()];
        assert!(matches!(said(&all, &[]), Outcome::Permanent { .. }));
        assert!(matches!(
            said(&all, &["d@x.org"]),
            Outcome::DeliveredInPart { .. }
        ));
    }

    #[test]
    fn wrong_settings_are_told_before_anything_is_sent() {
        let gone = EmailSettings {
            ca_file: Some(PathBuf::from("/nowhere/ca.pem")),
            ..settings()
        };
        let nobody = EmailSettings {
            to: Vec::new(),
            ..settings()
        };
        let nonsense = EmailSettings {
            from: "hello".to_owned(),
            ..settings()
        };
        for (settings, word) in [
            (gone, "/nowhere/ca.pem"),
            (nobody, "recipient"),
            (nonsense, "`hello`"),
        ] {
            let Err(refused) = Email::new(&settings) else {
                panic!("{word}: it is wrong");
            };
            assert!(refused.to_string().contains(word), "{refused}");
        }
        assert!(!format!("{:?}", settings()).contains("hunter2"));
    }
}
