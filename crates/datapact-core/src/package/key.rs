//! The data encryption key and its file.

use std::fmt;

use zeroize::Zeroizing;

use crate::id::random;

/// What the line in a key file starts with.
const PREFIX: &str = "datapact-data-key-1:";

/// The longest key file that is worth reading, in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 128;

/// A data encryption key (WR-1): 32 uniformly random bytes, wiped from memory when dropped, never
/// shown.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

/// Why a key file was refused. It says nothing of the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a data key: a key file is one line, `{PREFIX}` and 64 lower-case hexadecimal \
     digits, as `--key-out` writes it"
)]
pub struct ParseKeyError;

impl DataKey {
    /// A fresh key from the operating system's random source.
    pub fn random() -> Self {
        Self(Zeroizing::new(random()))
    }

    /// The key with these bytes, which must be uniformly random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The content of a key file: one line.
    pub fn to_file(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 65));
        text.push_str(PREFIX);
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
            }
        }
        text.push('\n');
        text
    }

    /// Reads the content of a key file: exactly what [`DataKey::to_file`] writes; the line's end
    /// may be missing.
    ///
    /// # Errors
    /// Anything else: other spelling, spaces, a second line.
    pub fn from_file(content: &[u8]) -> Result<Self, ParseKeyError> {
        let line = content.strip_suffix(b"\n").unwrap_or(content);
        let digits = line.strip_prefix(PREFIX.as_bytes()).ok_or(ParseKeyError)?;
        if digits.iter().any(u8::is_ascii_uppercase) {
            return Err(ParseKeyError);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| ParseKeyError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn wr_1_each_key_is_fresh() {
        let (key, other) = (DataKey::random(), DataKey::random());
        assert_ne!(key.as_bytes(), other.as_bytes());
        assert_ne!(key.as_bytes(), &[0; 32]);
    }

    #[test]
    fn wr_1_a_key_file_is_read_strictly() {
        let key = DataKey::random();
        let file = key.to_file();
        assert_eq!(DataKey::from_file(file.as_bytes()).unwrap().as_bytes(), key.as_bytes());
        let line = file.trim_end();
        assert!(DataKey::from_file(line.as_bytes()).is_ok());
        for bad in [
            String::new(),
            format!("{line}\n\n"),
            format!("{line}\r\n"),
            format!(" {line}"),
            format!("{line}0"),
            line.replace(PREFIX, "datapact-data-key-2:"),
            line.replace(PREFIX, ""),
            format!("{PREFIX}{}", "F".repeat(64)),
            format!("{PREFIX}{}", "g".repeat(64)),
            line[..line.len() - 1].to_owned(),
        ] {
            assert_eq!(DataKey::from_file(bad.as_bytes()).unwrap_err(), ParseKeyError, "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = DataKey::from_bytes([0xab; 32]);
        assert_eq!(format!("{key:?}"), "DataKey(..)");
    }
}
