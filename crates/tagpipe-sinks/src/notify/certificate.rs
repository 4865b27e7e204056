//! Why the certificate of a server was not accepted, in words that say what is to be done.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use rustls::CertificateError;

/// Why a certificate was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Distrust {
    /// Nobody who is trusted has signed it.
    Stranger,
    /// It is an authority's, such as `openssl req -x509` makes where nothing else is said.
    Authority,
    /// It bears other names than this one.
    OtherName(Option<String>),
    /// Its time was over then, if that is known.
    Expired(Option<Timestamp>),
    /// Its time begins then, if that is known.
    TooEarly(Option<Timestamp>),
    /// Something else, in words.
    Other(String),
}

impl Distrust {
    /// What of an error comes of a certificate; `None` if nothing does.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Distrust> {
        certificate_error(error).map(|error| Distrust::from(&error))
    }
}

impl From<&CertificateError> for Distrust {
    fn from(error: &CertificateError) -> Distrust {
        let moment = |since_1970: Duration| Timestamp::from_second(since_1970.as_secs() as i64).ok();
        match error {
            CertificateError::UnknownIssuer => Distrust::Stranger,
            CertificateError::NotValidForName => Distrust::OtherName(None),
            CertificateError::NotValidForNameContext { expected, .. } => {
                Distrust::OtherName(Some(expected.to_str().into_owned()))
            }
            CertificateError::Expired => Distrust::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => {
                Distrust::Expired(moment(Duration::from_secs(not_after.as_secs())))
            }
            CertificateError::NotValidYet => Distrust::TooEarly(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Distrust::TooEarly(moment(Duration::from_secs(not_before.as_secs())))
            }
            CertificateError::Other(other) => match other.to_string().as_str() {
                // By the name that the verifier gives it, which is all that is there to tell it by.
                "CaUsedAsEndEntity" => Distrust::Authority,
                other => Distrust::Other(apart(other)),
            },
            other => Distrust::Other(apart(&other.to_string())),
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's certificate is not accepted: ")?;
        match self {
            Distrust::Stranger => f.write_str("no authority that is trusted has signed it"),
            Distrust::Authority => f.write_str(
                "it is that of an authority, which signs others' certificates and is not to be shown by a server",
            ),
            Distrust::OtherName(None) => f.write_str("it bears another name"),
            Distrust::OtherName(Some(name)) => write!(f, "it does not bear the name `{name}`"),
            Distrust::Expired(None) => f.write_str("it has expired"),
            Distrust::Expired(Some(at)) => write!(f, "it expired at {at}"),
            Distrust::TooEarly(None) => f.write_str("it is not valid yet"),
            Distrust::TooEarly(Some(from)) => write!(f, "it is valid from {from} only"),
            Distrust::Other(why) => f.write_str(why),
        }
    }
}

fn certificate_error(error: &(dyn Error + 'static)) -> Option<CertificateError> {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if let Some(rustls::Error::InvalidCertificate(found)) = one.downcast_ref() {
            return Some(found.clone());
        }
        // What an I/O error is made of is not its source.
        let within = one.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = within.and_then(|within| certificate_error(within)) {
            return Some(found);
        }
        cause = one.source();
    }
    None
}

/// `unknown revocation status` of `UnknownRevocationStatus`.
fn apart(name: &str) -> String {
    if name.contains(' ') {
        return name.to_owned();
    }
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_however_deep_and_is_words() {
        for (error, words) in [
            (
                CertificateError::UnknownIssuer,
                "no authority that is trusted has signed it",
            ),
            (CertificateError::Expired, "it has expired"),
            (
                CertificateError::NotValidForNameContext {
                    expected: "mail.example.com".try_into().expect("a name"),
                    presented: Vec::new(),
                },
                "it does not bear the name `mail.example.com`",
            ),
            (
                CertificateError::UnknownRevocationStatus,
                "unknown revocation status",
            ),
        ] {
            let deep = io::Error::other(io::Error::other(rustls::Error::InvalidCertificate(error)));
            let distrust = Distrust::of(&deep)
                .expect("it comes of a certificate")
                .to_string();
            assert!(distrust.ends_with(&format!(": {words}")), "{distrust}");
        }
        assert_eq!(Distrust::of(&io::Error::other("no route")), None);
    }
}
