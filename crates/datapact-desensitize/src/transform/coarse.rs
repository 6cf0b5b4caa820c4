//! Values made coarser: the levels of a quasi-identifier, of which `generalize` uses one.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{date, number};
use crate::error::{Error, Result, printable};
use crate::format::{Format, Input, Options};
use crate::rules::{DateStep, Hierarchy, Levels, Reading};
use crate::table::{Field, Record};

/// The most bytes of all hierarchy files, since all are in memory.
const HIERARCHIES_BYTES_MAX: u64 = 4 << 20;

/// What replaces every value at the last level.
pub(crate) const ANY: &[u8] = b"*";

/// From fine to coarse: level 0 is the value itself, [`Scale::top`] is [`ANY`].
pub(crate) enum Scale {
    Number { bins: Vec<(f64, usize)>, reading: Reading },
    Date { steps: Vec<DateStep>, reading: Reading },
    Postcode(Vec<usize>),
    Hierarchy(Arc<Tree>),
    Category,
}

/// The hierarchies that rules name, each read once.
#[derive(Default)]
pub(crate) struct Hierarchies(HashMap<PathBuf, Arc<Tree>>);

impl Hierarchies {
    /// Reads the files of `all`, in `folder` unless absolute.
    pub(crate) fn read<'r>(
        all: impl Iterator<Item = &'r Hierarchy>,
        folder: &Path,
    ) -> Result<Self> {
        let (mut read, mut left) = (Self::default(), HIERARCHIES_BYTES_MAX);
        for Hierarchy { file } in all {
            if !read.0.contains_key(file) {
                let tree = Tree::read(file, folder, &mut left)?;
                read.0.insert(file.clone(), Arc::new(tree));
            }
        }
        Ok(read)
    }

    /// The tree of a hierarchy; an empty one if it was not read.
    pub(crate) fn tree(&self, hierarchy: &Hierarchy) -> Arc<Tree> {
        self.0.get(&hierarchy.file).cloned().unwrap_or_default()
    }
}

/// Values and what they belong to. A name has one parent, whichever value it is the ancestor of.
#[derive(Default)]
pub(crate) struct Tree {
    /// The parent of each value.
    values: HashMap<Box<[u8]>, u32>,
    ancestors: Vec<Ancestor>,
    height: usize,
}

struct Ancestor {
    name: Box<[u8]>,
    /// None at the highest level.
    parent: Option<u32>,
}

impl Scale {
    pub(crate) fn new(levels: &Levels, reading: Reading, hierarchies: &Hierarchies) -> Self {
        match levels {
            Levels::Number(bins) => Self::Number {
                bins: bins.iter().map(|bin| (*bin, number::decimals(*bin))).collect(),
                reading,
            },
            Levels::Date(steps) => Self::Date { steps: steps.clone(), reading },
            Levels::Postcode(kept) => Self::Postcode(kept.clone()),
            Levels::Hierarchy(hierarchy) => Self::Hierarchy(hierarchies.tree(hierarchy)),
            Levels::Category => Self::Category,
        }
    }

    /// The level that is [`ANY`].
    pub(crate) fn top(&self) -> usize {
        1 + match self {
            Self::Number { bins, .. } => bins.len(),
            Self::Date { steps, .. } => steps.len(),
            Self::Postcode(kept) => kept.len(),
            Self::Hierarchy(tree) => tree.height,
            Self::Category => 0,
        }
    }

    /// Appends the value at a level. False if the value is not of the scale's kind; what was
    /// appended is then to be taken away.
    pub(crate) fn write(&self, level: usize, field: Field<'_>, out: &mut Vec<u8>) -> bool {
        let value = field.bytes.trim_ascii();
        let step = level.checked_sub(1);
        if level >= self.top() {
            out.extend_from_slice(ANY);
            return true;
        }
        let exactly = |out: &mut Vec<u8>| {
            out.extend_from_slice(value);
            true
        };
        match self {
            Self::Number { bins, reading } => {
                let Some(found) = number::parse(value, reading.mark(field.kind)) else {
                    return false;
                };
                match step.and_then(|step| bins.get(step)) {
                    None => exactly(out),
                    Some((bin, decimals)) => {
                        // By way of the finest bin, so that what shares one shares all that hold
                        // it.
                        let low = match bins.first() {
                            Some((finest, _)) if level > 1 => {
                                number::floor_to(found.value, *finest)
                            }
                            _ => found.value,
                        };
                        let low = number::floor_to(low, *bin);
                        let mut bound = |bound, before: &[u8]| {
                            out.extend_from_slice(before);
                            number::write(bound, *decimals, reading.decimal, out)
                        };
                        bound(low, b"") && bound(low + bin, b"..")
                    }
                }
            }
            Self::Date { steps, reading } => {
                let Some(found) = date::parse(value, reading.dates) else { return false };
                // A value is readable at all levels or at none, or records that are alike would
                // part again.
                if found.month.is_none()
                    && steps.first().is_some_and(|step| *step <= DateStep::Quarter)
                {
                    return false;
                }
                match step.and_then(|step| steps.get(step)) {
                    None => exactly(out),
                    Some(step) => date::write(found, *step, out),
                }
            }
            Self::Postcode(kept) => {
                if value.is_ascii() {
                    let longest = kept.first().copied().unwrap_or(0);
                    let prefix =
                        step.and_then(|step| kept.get(step)).map_or(value.len(), |kept| *kept);
                    let Some(prefix) = value.get(..prefix).filter(|_| longest < value.len()) else {
                        return false;
                    };
                    out.extend_from_slice(prefix);
                    out.resize(out.len() + value.len() - prefix.len(), b'*');
                    return true;
                }
                let Ok(text) = std::str::from_utf8(value) else { return false };
                // A value with nothing behind the longest prefix would stay whole.
                if kept.first().is_some_and(|kept| text.chars().nth(*kept).is_none()) {
                    return false;
                }
                match step.and_then(|step| kept.get(step)) {
                    None => exactly(out),
                    Some(kept) => {
                        let Some((end, _)) = text.char_indices().nth(*kept) else { return false };
                        let (prefix, rest) = text.split_at(end);
                        out.extend_from_slice(prefix.as_bytes());
                        out.extend(rest.chars().map(|_| b'*'));
                        true
                    }
                }
            }
            Self::Hierarchy(tree) => match (tree.values.get(value), step) {
                (None, _) => false,
                (Some(_), None) => exactly(out),
                (Some(parent), Some(step)) => {
                    out.extend_from_slice(tree.ancestor(*parent, step).unwrap_or(ANY));
                    true
                }
            },
            Self::Category => exactly(out),
        }
    }
}

impl Tree {
    /// The name that is so many steps above an ancestor.
    fn ancestor(&self, index: u32, steps: usize) -> Option<&[u8]> {
        let first = self.ancestors.get(index as usize)?;
        let found =
            (0..steps).try_fold(first, |below, _| self.ancestors.get(below.parent? as usize))?;
        Some(&found.name)
    }

    /// Reads a file of up to `left` bytes, and takes its length from these.
    fn read(file: &Path, folder: &Path, left: &mut u64) -> Result<Self> {
        let path = folder.join(file);
        let shown = printable(&file.to_string_lossy());
        let wrong = |detail: String| Error::Mismatch {
            detail,
            hint: "a line of a hierarchy is `value,parent,grandparent,...`",
        };
        let file = File::open(&path)
            .map_err(|error| wrong(format!("the hierarchy `{shown}` cannot be read: {error}")))?;
        let length = file.metadata().map_err(Error::Read)?.len();
        *left = left.checked_sub(length).ok_or_else(|| {
            let detail = format!(
                "with `{shown}` the hierarchies are longer than {HIERARCHIES_BYTES_MAX} bytes"
            );
            Error::mismatch(detail, "remove the lines of values that the data do not have")
        })?;
        let options =
            Options { format: Some(Format::Csv), header: Some(false), ..Options::default() };
        let mut source = Input::file(file, None, options)?.open()?;
        let height = source.columns().len() - 1;
        if height == 0 || height > 16 {
            return Err(wrong(format!("the hierarchy `{shown}` has {height} levels, not 1 to 16")));
        }
        let mut tree = Self { height, ..Self::default() };
        let (mut record, mut known) =
            (Record::default(), HashMap::<(usize, Box<[u8]>), u32>::new());
        while source.read(&mut record)? {
            let fault = |what: &str| {
                wrong(format!("the hierarchy `{shown}`, line {}: {what}", record.position.line))
            };
            let name = |level: usize| record.field(level).bytes.trim_ascii();
            if (0..record.len()).any(|level| name(level).is_empty()) {
                return Err(fault("a name is empty"));
            }
            let mut parent = None;
            for level in (1..record.len()).rev() {
                let index = *known.entry((level, Box::from(name(level)))).or_insert_with(|| {
                    tree.ancestors.push(Ancestor { name: Box::from(name(level)), parent });
                    tree.ancestors.len() as u32 - 1
                });
                // Two parents of one name would make alike records part again on the way up.
                if tree.ancestors.get(index as usize).is_some_and(|known| known.parent != parent) {
                    return Err(fault("a name has two parents"));
                }
                parent = Some(index);
            }
            if tree.values.insert(Box::from(name(0)), parent.unwrap_or(0)).is_some() {
                return Err(fault("a value occurs twice"));
            }
        }
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn levels(scale: &Scale, value: &str) -> Vec<Option<String>> {
        (0..=scale.top())
            .map(|level| {
                let mut out = Vec::new();
                scale
                    .write(level, Field::text(value.as_bytes()), &mut out)
                    .then(|| String::from_utf8(out).unwrap())
            })
            .collect()
    }

    fn check(levels_of: Levels, value: &str, expected: &[&str]) {
        let scale = Scale::new(&levels_of, Reading::default(), &Hierarchies::default());
        let expected: Vec<_> =
            expected.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect();
        assert_eq!(levels(&scale, value), expected);
    }

    #[test]
    fn values_become_coarser_level_by_level() {
        check(Levels::Number(vec![5.0, 10.0]), "27", &["27", "25..30", "20..30", "*"]);
        check(Levels::Number(vec![0.5]), "-0.2", &["-0.2", "-0.5..0.0", "*"]);
        check(Levels::Number(vec![5.0]), "old", &["", "", "*"]);
        check(
            Levels::Date(DateStep::ALL.to_vec()),
            "2024-05-17",
            &["2024-05-17", "2024-05", "2024-Q2", "2024", "2020s", "*"],
        );
        check(Levels::Postcode(vec![3, 1]), " 12345", &["12345", "123**", "1****", "*"]);
        check(Levels::Postcode(vec![3]), "123", &["", "", "*"]);
        check(Levels::Category, "x", &["x", "*"]);
    }

    #[test]
    fn hierarchies_are_read_and_broken_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join("h.csv"), text).unwrap();
            let hierarchy = Hierarchy { file: "h.csv".into() };
            let read = Hierarchies::read(std::iter::once(&hierarchy), folder.path())?;
            Ok::<_, Error>(Scale::new(&Levels::Hierarchy(hierarchy), Reading::default(), &read))
        };
        let scale =
            read("flu,viral,infection\ncold,viral,infection\ngout,joint,metabolic\n").unwrap();
        assert_eq!(
            levels(&scale, "flu"),
            ["flu", "viral", "infection", "*"].map(|text| Some(text.to_owned()))
        );
        assert_eq!(levels(&scale, "unknown").first(), Some(&None));
        for (text, expected) in [
            ("flu\n", "has 0 levels"),
            ("flu,\n", "line 1: a name is empty"),
            ("flu,viral\nflu,other\n", "line 2: a value occurs twice"),
            ("flu,viral,a\ncold,viral,b\n", "line 2: a name has two parents"),
            (&"long value,parent\n".repeat(300_000), "are longer than 4194304 bytes"),
        ] {
            let error = read(text).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
