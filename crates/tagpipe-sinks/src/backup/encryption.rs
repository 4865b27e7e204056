//! Who can open a backup. The format is age's (age-encryption.org/v1), so that its own program opens one as well.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::str::FromStr as _;

use age::secrecy::SecretString;
use age::stream::{StreamReader, StreamWriter};

use super::BackupError;

/// For whom a backup is encrypted.
pub struct Recipients(Lock);

enum Lock {
    Keys(Vec<age::x25519::Recipient>),
    Passphrase(SecretString),
}

/// What opens encrypted backups: any number of keys, and a passphrase.
#[derive(Default)]
pub struct Identities {
    keys: Vec<age::x25519::Identity>,
    passphrase: Option<SecretString>,
}

/// A text that is no key, or a file without any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The secret half, where the public one is meant.
    #[error(
        "that is a secret key (not shown here), which must not stand where backups are made; give its public half, which \
         begins with `age1`: `age-keygen -y FILE` prints it"
    )]
    SecretAsRecipient,
    /// The public half, where the secret one is meant.
    #[error("`{0}` has a recipient in place of a secret key; the key begins with `AGE-SECRET-KEY-1`")]
    RecipientAsSecret(String),
    /// Nothing that age knows.
    #[error("`{0}` is not a recipient; one begins with `age1`: `age-keygen` makes a key and prints it")]
    NoRecipient(String),
    /// A file with something else in it.
    #[error("`{0}` has no secret key of age's; such a line begins with `AGE-SECRET-KEY-1`")]
    NoSecret(String),
    /// A file that cannot be read.
    #[error("cannot read `{file}`: {cause}")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        cause: String,
    },
    /// Nothing to encrypt with.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
}

impl Recipients {
    /// Reads recipients: each an `age1…`, or the path of a file with one on each line.
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Recipients, InvalidKey> {
        let mut keys = Vec::new();
        for text in texts.into_iter().map(str::trim).filter(|text| !text.is_empty()) {
            if is_secret(text) {
                return Err(InvalidKey::SecretAsRecipient);
            }
            if text.starts_with("age1") {
                keys.push(recipient(text)?);
                continue;
            }
            if !Path::new(text).is_file() {
                return Err(InvalidKey::NoRecipient(text.to_owned()));
            }
            let before = keys.len();
            for line in lines(Path::new(text))? {
                keys.push(recipient(&line)?);
            }
            if keys.len() == before {
                return Err(InvalidKey::NoRecipient(text.to_owned()));
            }
        }
        if keys.is_empty() {
            return Err(InvalidKey::NoRecipient(String::new()));
        }
        Ok(Recipients(Lock::Keys(keys)))
    }

    /// Whoever knows the passphrase.
    ///
    /// # Errors
    /// [`InvalidKey::EmptyPassphrase`].
    pub fn passphrase(text: &str) -> Result<Recipients, InvalidKey> {
        Ok(Recipients(Lock::Passphrase(secret(text)?)))
    }

    /// Encrypts what is written to it. It must be finished.
    pub(super) fn wrap<W: Write>(&self, output: W) -> Result<StreamWriter<W>, BackupError> {
        let told = |error: &dyn fmt::Display| BackupError::Encryption(error.to_string());
        let encryptor = match &self.0 {
            Lock::Keys(keys) => age::Encryptor::with_recipients(keys.iter().map(|key| key as _))
                .map_err(|error| told(&error))?,
            Lock::Passphrase(text) => age::Encryptor::with_user_passphrase(text.clone()),
        };
        encryptor.wrap_output(output).map_err(|error| told(&error))
    }
}

impl Identities {
    /// Adds the keys of a file, as `age-keygen` writes it.
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn add_file(&mut self, file: &Path) -> Result<(), InvalidKey> {
        let shown = file.display().to_string();
        let lines = lines(file)?;
        if lines.is_empty() {
            return Err(InvalidKey::NoSecret(shown));
        }
        for line in lines {
            if line.starts_with("age1") {
                return Err(InvalidKey::RecipientAsSecret(shown));
            }
            let key =
                age::x25519::Identity::from_str(&line).map_err(|_| InvalidKey::NoSecret(shown.clone()))?;
            self.keys.push(key);
        }
        Ok(())
    }

    /// Adds a passphrase.
    ///
    /// # Errors
    /// [`InvalidKey::EmptyPassphrase`].
    pub fn add_passphrase(&mut self, text: &str) -> Result<(), InvalidKey> {
        self.passphrase = Some(secret(text)?);
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.passphrase.is_none()
    }

    /// Decrypts what is read from it.
    pub(super) fn unwrap<R: Read>(&self, input: R) -> Result<StreamReader<R>, age::DecryptError> {
        let decryptor = age::Decryptor::new(input)?;
        let mut passphrase = self.passphrase.clone().map(age::scrypt::Identity::new);
        if let Some(identity) = &mut passphrase {
            // A machine that is slower than the one that made the backup must open it, too.
            identity.set_max_work_factor(WORK_FACTOR_MAX);
        }
        let keys = self.keys.iter().map(|key| key as &dyn age::Identity);
        let passphrase = passphrase.iter().map(|one| one as &dyn age::Identity);
        decryptor.decrypt(keys.chain(passphrase))
    }
}

/// The most work that a passphrase may ask for, as a power of two: what age's own program takes.
const WORK_FACTOR_MAX: u8 = 22;

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Lock::Keys(keys) => write!(f, "Recipients({} keys)", keys.len()),
            Lock::Passphrase(_) => f.write_str("Recipients(passphrase)"),
        }
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({} keys)", self.keys.len())
    }
}

fn recipient(text: &str) -> Result<age::x25519::Recipient, InvalidKey> {
    if is_secret(text) {
        return Err(InvalidKey::SecretAsRecipient);
    }
    age::x25519::Recipient::from_str(text).map_err(|_| InvalidKey::NoRecipient(text.to_owned()))
}

fn is_secret(text: &str) -> bool {
    text.to_ascii_uppercase().contains("AGE-SECRET-KEY")
}

fn secret(text: &str) -> Result<SecretString, InvalidKey> {
    if text.is_empty() {
        return Err(InvalidKey::EmptyPassphrase);
    }
    Ok(SecretString::from(text.to_owned()))
}

/// The lines of a file that say something.
fn lines(file: &Path) -> Result<Vec<String>, InvalidKey> {
    let text = std::fs::read_to_string(file).map_err(|error| InvalidKey::Unreadable {
        file: file.display().to_string(),
        cause: error.to_string(),
    })?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_the_wrong_place_are_told_and_not_shown() {
        use age::secrecy::ExposeSecret as _;
        let identity = age::x25519::Identity::generate();
        let secret = identity.to_string();
        let secret = secret.expose_secret();
        let refused = Recipients::parse([secret]).unwrap_err().to_string();
        assert!(refused.contains("age1") && !refused.contains(secret), "{refused}");
        let refused = Recipients::parse(["agee1xyz"]).unwrap_err().to_string();
        assert!(refused.contains("agee1xyz"), "{refused}");

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.txt");
        std::fs::write(&file, format!("# made today\n{secret}\n")).unwrap();
        let mut identities = Identities::default();
        identities.add_file(&file).unwrap();
        assert!(!identities.is_empty());
        std::fs::write(&file, identity.to_public().to_string()).unwrap();
        assert!(matches!(
            identities.add_file(&file),
            Err(InvalidKey::RecipientAsSecret(_))
        ));
        assert!(Recipients::parse([file.to_str().unwrap()]).is_ok());
    }
}
