//! Text of any encoding in, valid UTF-8 out, in blocks of bounded size.

use std::io::Read;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::{Error, Result};

/// How much is looked at to find out the encoding, and how much is read at a time.
const BLOCK_BYTES: usize = 256 << 10;

const HINT: &str = "say the right encoding in the rule file, such as \
                    `encoding = \"windows-1252\"`, or repair the file";

/// A buffer of UTF-8 in front of a reader.
pub(crate) struct Text {
    input: Box<dyn Read + Send>,
    raw: Vec<u8>,
    decoder: Option<Decoder>,
    encoding: &'static Encoding,
    buffer: Vec<u8>,
    /// Where in `buffer` what is not yet consumed begins.
    start: usize,
    /// Up to where `buffer` is known to be whole characters.
    valid: usize,
    /// How many bytes of UTF-8 were before `buffer`.
    before: u64,
    read: u64,
    ended: bool,
}

impl Text {
    /// Reads the first block, and finds out the encoding unless `declared`.
    pub(crate) fn open(
        mut input: Box<dyn Read + Send>,
        declared: Option<&'static Encoding>,
    ) -> Result<Self> {
        let mut raw = Vec::new();
        let ended = fill(&mut *input, &mut raw)?;
        let encoding = match (Encoding::for_bom(&raw), declared) {
            (Some((by_mark, _)), _) => by_mark,
            (None, Some(declared)) => declared,
            (None, None) => detect(&raw, ended),
        };
        let decoder = (encoding != UTF_8).then(|| encoding.new_decoder_with_bom_removal());
        let read = raw.len() as u64;
        let buffer = Vec::new();
        let mut text = Self {
            input,
            raw,
            decoder,
            encoding,
            buffer,
            start: 0,
            valid: 0,
            before: 0,
            read,
            ended,
        };
        if encoding == UTF_8 && text.raw.starts_with(&[0xef, 0xbb, 0xbf]) {
            text.raw.drain(..3);
        }
        text.take_raw()?;
        Ok(text)
    }

    /// The encoding of the input.
    pub(crate) fn encoding(&self) -> &'static Encoding {
        self.encoding
    }

    /// What was read and not consumed: whole characters.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.valid).unwrap_or_default()
    }

    /// `bytes` of [`Text::unread`] are done with.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.valid);
    }

    /// The offset of the next unread byte in the text as UTF-8.
    pub(crate) fn offset(&self) -> u64 {
        self.before + self.start as u64
    }

    /// How many bytes of the input were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Reads another block behind what is unread; false at the end.
    pub(crate) fn more(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.before += self.start as u64;
        self.valid -= self.start;
        self.start = 0;
        self.raw.clear();
        self.ended = fill(&mut *self.input, &mut self.raw)?;
        self.read += self.raw.len() as u64;
        self.take_raw()?;
        Ok(true)
    }

    fn take_raw(&mut self) -> Result<()> {
        match &mut self.decoder {
            None => self.buffer.append(&mut self.raw),
            Some(decoder) => {
                let needed =
                    decoder.max_utf8_buffer_length_without_replacement(self.raw.len()).unwrap_or(0);
                let from = self.buffer.len();
                self.buffer.resize(from + needed, 0);
                let room = self.buffer.get_mut(from..).unwrap_or_default();
                let (result, _, written) =
                    decoder.decode_to_utf8_without_replacement(&self.raw, room, self.ended);
                self.buffer.truncate(from + written);
                self.raw.clear();
                if !matches!(result, DecoderResult::InputEmpty) {
                    return Err(self.broken(self.buffer.len()));
                }
            }
        }
        let fresh = self.buffer.get(self.valid..).unwrap_or_default();
        let whole = match std::str::from_utf8(fresh) {
            Ok(_) => fresh.len(),
            // The rest of the character is in the next block.
            Err(error) if error.error_len().is_none() && !self.ended => error.valid_up_to(),
            Err(error) => return Err(self.broken(self.valid + error.valid_up_to())),
        };
        if let Some(at) = memchr::memchr(0, fresh) {
            let byte = self.before + (self.valid + at) as u64;
            return Err(Error::Mismatch {
                detail: format!("byte {byte} of the text is NUL, which text never has"),
                hint: "say the right encoding in the rule file, such as \
                       `encoding = \"utf-16le\"`, or repair the file",
            });
        }
        self.valid += whole;
        Ok(())
    }

    fn broken(&self, at: usize) -> Error {
        let byte = self.before + at as u64;
        Error::mismatch(format!("byte {byte} of the text is not {}", self.encoding.name()), HINT)
    }
}

/// Fills a block as far as the input reaches; true at its end.
fn fill(input: &mut dyn Read, raw: &mut Vec<u8>) -> Result<bool> {
    let read = input.take(BLOCK_BYTES as u64).read_to_end(raw).map_err(Error::Read)?;
    Ok(read < BLOCK_BYTES)
}

/// The encoding of text without a byte order mark, by its first block.
fn detect(block: &[u8], whole: bool) -> &'static Encoding {
    let utf_8 = match std::str::from_utf8(block) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && !whole,
    };
    if utf_8 && memchr::memchr(0, block).is_none() {
        return UTF_8;
    }
    // Text of mostly Latin letters in UTF-16 has a zero in every other byte.
    let zeros = |from: usize| block.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    if zeros(1) * 4 > block.len() && zeros(0) * 20 < block.len() {
        return UTF_16LE;
    }
    if zeros(0) * 4 > block.len() && zeros(1) * 20 < block.len() {
        return UTF_16BE;
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(block, whole);
    detector.guess(None, chardetng::Utf8Detection::Deny)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(bytes: &[u8]) -> Result<(String, &'static str)> {
        let mut text = Text::open(Box::new(std::io::Cursor::new(bytes.to_vec())), None)?;
        while text.more()? {}
        Ok((String::from_utf8(text.unread().to_vec()).unwrap(), text.encoding().name()))
    }

    #[test]
    fn encodings_are_found_out() {
        assert_eq!(read(b"name\nBj\xc3\xb6rk\n").unwrap(), ("name\nBjörk\n".to_owned(), "UTF-8"));
        assert_eq!(read(b"\xef\xbb\xbfa\n").unwrap(), ("a\n".to_owned(), "UTF-8"));
        assert_eq!(
            read(b"name;city\nBj\xf6rk;G\xf6teborg\nJ\xfcrgen;K\xf6ln\n").unwrap().1,
            "windows-1252"
        );
        assert_eq!(read(b"\xff\xfea\0\xf6\0\n\0").unwrap(), ("aö\n".to_owned(), "UTF-16LE"));
        assert_eq!(read(b"a\0b\0\n\0").unwrap(), ("ab\n".to_owned(), "UTF-16LE"));
        assert_eq!(read(b"\0a\0b\0\n").unwrap(), ("ab\n".to_owned(), "UTF-16BE"));
    }

    #[test]
    fn a_character_across_blocks_stays_whole_and_a_broken_one_is_refused_with_its_place() {
        let mut long = vec![b'a'; BLOCK_BYTES - 1];
        long.extend_from_slice("ö\n".as_bytes());
        assert!(read(&long).unwrap().0.ends_with("aö\n"));
        let mut broken = vec![b'a'; 2 * BLOCK_BYTES];
        broken.extend_from_slice(b"\xff\n");
        let error = read(&broken).unwrap_err().to_string();
        assert_eq!(error, format!("byte {} of the text is not UTF-8", 2 * BLOCK_BYTES));
        let mut with_nul = vec![b'a'; 2 * BLOCK_BYTES];
        with_nul.push(0);
        assert!(read(&with_nul).unwrap_err().to_string().contains("NUL"));
    }
}
