//! The paths of a tiled log (C2SP tlog-tiles).

use crate::tree::{TILE_WIDTH, TileId};

/// One of a log's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `checkpoint`: the newest, with its cosignatures.
    Checkpoint,
    /// `checkpoint/cosigned`: the newest that a witness has cosigned.
    Cosigned,
    /// `tile/L/N[.p/W]`: a tile and how many of its hashes.
    Tile(TileId, usize),
    /// `tile/entries/N[.p/W]`: a bundle's index and how many of its entries.
    Entries(u64, usize),
}

impl Resource {
    /// Reads a path below the log's prefix; none when there can be no such resource.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "checkpoint" => return Some(Self::Checkpoint),
            "checkpoint/cosigned" => return Some(Self::Cosigned),
            _ => {}
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => {
                (index, number(width).filter(|w| (1..TILE_WIDTH as u64).contains(w))? as usize)
            }
            None => (rest, TILE_WIDTH),
        };
        let resource = match level {
            "entries" => Self::Entries(tile_index(index)?, width),
            level => {
                let level = number(level).filter(|level| *level < 64)? as u8;
                Self::Tile(TileId { level, index: tile_index(index)? }, width)
            }
        };
        // Only the one spelling of each path exists.
        (resource.to_string() == path).then_some(resource)
    }

    /// The resources of a log of `size` entries, but for its checkpoints.
    pub fn all(size: u64) -> Vec<Self> {
        let mut all = Vec::new();
        let mut width = size;
        let mut level = 0;
        while width > 0 {
            for index in 0..width.div_ceil(TILE_WIDTH as u64) {
                let count = (width - index * TILE_WIDTH as u64).min(TILE_WIDTH as u64) as usize;
                if level == 0 {
                    all.push(Self::Entries(index, count));
                }
                all.push(Self::Tile(TileId { level, index }, count));
            }
            width /= TILE_WIDTH as u64;
            level += 1;
        }
        all
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (level, index, width) = match self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Cosigned => return f.write_str("checkpoint/cosigned"),
            Self::Tile(id, width) => (id.level.to_string(), id.index, *width),
            Self::Entries(index, width) => ("entries".to_owned(), *index, *width),
        };
        let mut text = format!("{:03}", index % 1000);
        let mut rest = index / 1000;
        while rest > 0 {
            text = format!("x{:03}/{text}", rest % 1000);
            rest /= 1000;
        }
        write!(f, "tile/{level}/{text}")?;
        if width < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn tile_index(text: &str) -> Option<u64> {
    let mut index = 0_u64;
    for part in text.split('/') {
        let part = part.strip_prefix('x').unwrap_or(part);
        index = index.checked_mul(1000)?.checked_add(number(part).filter(|n| *n < 1000)?)?;
    }
    Some(index)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_tlog_tiles() {
        for path in [
            "tile/0/x001/x234/067",
            "tile/63/000.p/1",
            "tile/entries/000.p/255",
            "tile/entries/x018/446",
        ] {
            assert_eq!(Resource::parse(path).unwrap().to_string(), path);
        }
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/64/000",
            "tile/00/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/-1/000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/+01",
            "tile/data/000",
            "checkpoint/",
            "/checkpoint",
            "tile/0/../checkpoint",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/entries/000.p/1.p/1",
        ] {
            assert_eq!(Resource::parse(path), None, "{path}");
        }
        let all = Resource::all(70_000);
        assert_eq!(all.len(), 274 * 2 + 2 + 1);
        assert_eq!(Resource::all(256).len(), 3);
        assert!(Resource::all(0).is_empty());
    }
}
