//! Mail by SMTP. Encrypted and, with a name and a password, authenticated; unencrypted only if the settings say so by name.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error as SmtpError};
use lettre::{AsyncTransport, Tokio1Executor};
use tagpipe_core::news::{NewsLevel, cut};

use super::http::{shown, words};
use super::{Message, Notifier, NotifyError, Outcome, Secret};

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

/// For each step of the conversation.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest subject, in characters.
const SUBJECT_MAX: usize = 150;

pub(super) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    pub(super) fn new(settings: &EmailSettings) -> Result<Email, NotifyError> {
        // Fails only when the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port.unwrap_or(settings.security.port()))
            .timeout(Some(STEP_TIMEOUT))
            .tls(tls(settings)?);
        if let Some((user, password)) = &settings.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        if settings.to.is_empty() {
            return Err(NotifyError("mail needs a recipient".to_owned()));
        }
        Ok(Email {
            transport: builder.build(),
            from: mailbox(&settings.from)?,
            to: settings
                .to
                .iter()
                .map(|to| mailbox(to))
                .collect::<Result<_, _>>()?,
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

#[async_trait]
impl Notifier for Email {
    async fn send(&self, message: &Message) -> Outcome {
        let mail = match self.mail(message) {
            Ok(mail) => mail,
            Err(error) => {
                return Outcome::Permanent {
                    why: format!("no mail can be made of it: {}", shown(&error.to_string())),
                };
            }
        };
        match self.transport.send(mail).await {
            Ok(_) => Outcome::Delivered,
            Err(error) if error.is_permanent() => Outcome::Permanent {
                why: in_words(&error),
            },
            Err(error) => Outcome::Retry {
                after: None,
                why: in_words(&error),
            },
        }
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

fn in_words(error: &SmtpError) -> String {
    match error.status() {
        Some(code) => format!("the mail server answers {code}: {}", words(error)),
        None => format!("the mail server cannot be reached: {}", words(error)),
    }
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
