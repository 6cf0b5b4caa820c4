//! Proofs that the log holds an entry: C2SP tlog-proof.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Position;
use crate::log_policy::{CheckpointError, LogPolicy};
use crate::note::{CHECKPOINT_BYTES_MAX, Checkpoint};
use crate::tree::{Hash, TILE_WIDTH, TileId, inclusion_proof, leaf_hash, root_from_proof};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof does not prove.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not a proof.
    #[error("this is not a proof of the form `{HEADER}`")]
    Malformed,
    /// Its checkpoint is not believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It does not lead from the entry to the checkpoint's root.
    #[error("the log does not hold this entry at this position")]
    Inclusion,
}

/// The proof that the log's entry at one position is what is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    index: u64,
    hashes: Vec<Hash>,
    checkpoint: String,
}

impl Proof {
    /// The tiles that the proof of `position` in a log of `size` entries is made from. None if the
    /// log has no such entry.
    pub fn tiles(position: Position, size: u64) -> Option<BTreeSet<TileId>> {
        // A pass over made-up hashes tells which tiles are needed.
        let mut needed = BTreeSet::new();
        inclusion_proof(position, size, &mut |id| {
            needed.insert(id);
            Some(vec![[0; 32]; TILE_WIDTH])
        })?;
        Some(needed)
    }

    /// The proof of `position` in a log of `size` entries, from its [`Proof::tiles`]. The
    /// checkpoint may have come from elsewhere: [`Proof::verify`] compares it. None if a tile is
    /// missing or short.
    pub fn from_tiles(
        position: Position,
        size: u64,
        tiles: &BTreeMap<TileId, Vec<Hash>>,
        checkpoint: String,
    ) -> Option<Self> {
        let hashes = inclusion_proof(position, size, &mut |id| tiles.get(&id).cloned())?;
        Some(Self { index: position, hashes, checkpoint })
    }

    /// The checkpoint, as it was signed and cosigned.
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// The position that is proved.
    pub fn position(&self) -> Position {
        self.index
    }

    /// Checks that a log of `policy`, cosigned as the policy demands, holds `entry` at the proof's
    /// position, and returns the checkpoint.
    pub fn verify(&self, policy: &LogPolicy, entry: &[u8]) -> Result<Checkpoint, ProofError> {
        let checkpoint = policy.open(self.checkpoint.as_bytes())?;
        let root = root_from_proof(self.index, checkpoint.size(), leaf_hash(entry), &self.hashes);
        if root.as_ref() == Some(checkpoint.root()) {
            Ok(checkpoint)
        } else {
            Err(ProofError::Inclusion)
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let malformed = || ProofError::Malformed;
        let (proof, checkpoint) = text.split_once("\n\n").ok_or_else(malformed)?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(HEADER) || checkpoint.len() > CHECKPOINT_BYTES_MAX {
            return Err(malformed());
        }
        // Extra data is the application's; this one has none to say.
        lines.next_if(|line| line.starts_with("extra "));
        let index =
            lines.next().and_then(|line| line.strip_prefix("index ")).ok_or_else(malformed)?;
        let number: u64 = index.parse().map_err(|_| malformed())?;
        let hashes: Vec<Hash> = lines
            .take(65)
            .map(|line| STANDARD.decode(line).ok()?.try_into().ok())
            .collect::<Option<_>>()
            .ok_or_else(malformed)?;
        if number.to_string() != index || hashes.len() > 64 {
            return Err(malformed());
        }
        Ok(Self { index: number, hashes, checkpoint: checkpoint.to_owned() })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn proofs_have_one_form() {
        let hash = STANDARD.encode([5; 32]);
        let text = format!("{HEADER}\nindex 5\n{hash}\n\nlog\n6\nroot\n\n\u{2014} log sig\n");
        let proof: Proof = text.parse().unwrap();
        assert_eq!(proof.to_string(), text);
        let extra = text.replace("index", "extra YWdl\nindex");
        assert_eq!(extra.parse::<Proof>(), Ok(proof));
        for bad in [
            String::new(),
            text.replace("@v1", "@v2"),
            text.replace("index 5", "index 05"),
            text.replace("index 5", "index -5"),
            text.replace("index 5", "index 5 "),
            text.replace("\n\n", "\n"),
            text.replace(&hash, "BQUF"),
            text.replace(&hash, &format!("{hash}\n").repeat(65)),
        ] {
            assert_eq!(bad.parse::<Proof>(), Err(ProofError::Malformed), "{bad}");
        }
    }
}
