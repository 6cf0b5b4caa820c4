//! What memory is too small for, on the disk: blocks, each encrypted under a key that exists in
//! this process only.
//!
//! The file lies in the folder of temporary files (`TMPDIR`), only its owner can read it, and it
//! has no name: it is gone with the process, however that ends. What is left on the disk is
//! ciphertext whose key was never there.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// About how large a block should be, in bytes: more of them at once gain little.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// A file of encrypted blocks.
pub(crate) struct Spill {
    file: File,
    key: LessSafeKey,
    /// Where each block ends.
    ends: Vec<u64>,
}

impl Spill {
    /// An empty file under a fresh key.
    pub(crate) fn create() -> Result<Self> {
        // Made for its owner alone, and unlinked at once.
        let file = tempfile::NamedTempFile::new().map_err(Error::Spill)?.into_file();
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(datapact_core::id::random());
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice())
            .expect("the key has the algorithm's length");
        Ok(Self { file, key: LessSafeKey::new(key), ends: Vec::new() })
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Appends a block, which is empty afterwards.
    pub(crate) fn append(&mut self, block: &mut Vec<u8>) -> Result<()> {
        let sealed = self.key.seal_in_place_append_tag(nonce(self.ends.len()), Aad::empty(), block);
        sealed.expect("a block is far shorter than the algorithm's limit");
        let start = self.ends.last().copied().unwrap_or(0);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start)).map_err(Error::Spill)?;
        file.write_all(block).map_err(Error::Spill)?;
        self.ends.push(start + block.len() as u64);
        block.clear();
        Ok(())
    }

    /// Reads the block with this index, from 0, into `block`.
    pub(crate) fn read(&self, index: usize, block: &mut Vec<u8>) -> Result<()> {
        let end = self.ends.get(index).copied().unwrap_or(0);
        let start =
            index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        block.resize((end - start) as usize, 0);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start)).map_err(Error::Spill)?;
        file.read_exact(block).map_err(Error::Spill)?;
        let opened = self.key.open_in_place(nonce(index), Aad::empty(), block);
        let length =
            opened.map_err(|_| Error::Spill(std::io::ErrorKind::InvalidData.into()))?.len();
        block.truncate(length);
        Ok(())
    }
}

/// A block is written once, so no two blocks have one nonce.
fn nonce(index: usize) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&(index as u64).to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn spilled() -> Spill {
        let mut spill = Spill::create().unwrap();
        for text in ["SENTINEL 1", "", "SENTINEL 333"] {
            spill.append(&mut text.as_bytes().to_vec()).unwrap();
        }
        spill
    }

    #[test]
    fn blocks_come_back_and_their_text_is_not_on_the_disk() {
        let mut spill = spilled();
        let mut block = Vec::new();
        for (index, text) in [(2, "SENTINEL 333"), (0, "SENTINEL 1"), (1, "")] {
            spill.read(index, &mut block).unwrap();
            assert_eq!(block, text.as_bytes());
        }
        let mut stored = Vec::new();
        spill.file.rewind().unwrap();
        spill.file.read_to_end(&mut stored).unwrap();
        assert_eq!(stored.len(), 10 + 12 + 3 * 16);
        assert!(!stored.windows(4).any(|window| window == b"SENT"));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_has_no_name_and_no_other_reader() {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = spilled().file.metadata().unwrap();
        assert_eq!((metadata.nlink(), metadata.mode() & 0o077), (0, 0));
    }

    #[test]
    fn a_block_that_was_touched_or_moved_is_refused() {
        let mut spill = spilled();
        spill.file.seek(SeekFrom::Start(3)).unwrap();
        spill.file.write_all(b"x").unwrap();
        let mut block = Vec::new();
        assert!(spill.read(0, &mut block).is_err());
        spill.read(2, &mut block).unwrap();
        spill.ends[1] = 0;
        assert!(spill.read(2, &mut block).is_err());
    }
}
