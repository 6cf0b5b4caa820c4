//! How fast tables are desensitized, on one thread: `throughput FOLDER MIB`
//! (`bench/desensitize.sh`). A third argument has only those measured whose name holds it.
//!
//! Rates are by the thread's processor time, with the kernel's part for reading and writing, so
//! that other programs on the machine count little.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use aes::Aes256;
use aws_lc_rs::hmac;
use datapact_desensitize::format::{Input, Options};
use datapact_desensitize::{Plan, PseudonymKey, Report, run};
use fpe::ff1::{FF1, FlexibleNumeralString};

type Error = Box<dyn std::error::Error>;

const ROUNDS: usize = 3;

/// Ten columns that are dropped, masked or generalized.
const TEN: &[(&str, &str)] = &[
    ("name", "transform = \"drop\""),
    ("email", "transform = \"drop\""),
    ("street", "transform = \"drop\""),
    ("phone", "transform = \"mask\"\nkeep-last = 3"),
    ("card", "transform = \"mask\"\nkeep-last = 4"),
    ("age", "transform = \"generalize\"\nas = \"number\"\nbin = 10"),
    ("zip", "transform = \"generalize\"\nas = \"postcode\"\nkeep = 3"),
    ("born", "transform = \"generalize\"\nas = \"date\"\nto = \"month\""),
    ("income", "transform = \"generalize\"\nas = \"number\"\nbin = 1000"),
    ("lat", "transform = \"generalize\"\nas = \"grid\"\ncell = 0.1"),
];

const QUASI: &[(&str, &str)] = &[
    ("age", "transform = \"quasi-identifier\"\nas = \"number\"\nlevels = [5, 10, 20]"),
    ("zip", "transform = \"quasi-identifier\"\nas = \"postcode\"\nlevels = [4, 3, 2]"),
    ("born", "transform = \"quasi-identifier\"\nas = \"date\""),
];

fn rules(head: &str, columns: &[(&str, &str)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, rest)| format!("[[column]]\nname = \"{name}\"\n{rest}\n"))
        .collect();
    format!("version = 1\n{head}\n{}", columns.concat())
}

/// The rest of the columns stay.
fn with_rest(columns: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let rest = TEN.iter().filter(|(name, _)| !columns.iter().any(|(other, _)| other == name));
    columns.iter().copied().chain(rest.map(|(name, _)| (*name, "transform = \"keep\""))).collect()
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(mib)) = (arguments.next(), arguments.next()) else {
        return Err("usage: throughput FOLDER MIB [ONLY]".into());
    };
    let only = arguments.next().unwrap_or_default();
    let (folder, mib) = (Path::new(&folder), mib.parse::<u64>()?);
    let table = folder.join("table.csv");
    let people = write_table(&table, mib << 20)?;
    let ids = folder.join("ids.csv");
    write_ids(&ids, people)?;

    let measure = |what: &str, file: &Path, rules: &str| -> Result<Option<(f64, Report)>, Error> {
        if !what.contains(&only) {
            return Ok(None);
        }
        let mut best = f64::MAX;
        let mut report = None;
        for _ in 0..ROUNDS {
            let plan = Plan::new(rules.as_bytes(), folder, Some(PseudonymKey::random()))?;
            let mut input = Input::file(File::open(file)?, Some("csv"), Options::default())?;
            let begin = seconds()?;
            report = Some(run(
                &mut input,
                &plan,
                Box::new(File::create(folder.join("out.csv"))?),
                &mut |_| {},
            )?);
            best = best.min(seconds()? - begin);
        }
        let report = report.ok_or("no round")?;
        let (bytes, records) = (std::fs::metadata(file)?.len() as f64, report.records as f64);
        println!("| {what} | {:.0} | {:.2} |", bytes / best / 1e6, records / best / 1e6);
        Ok(Some((records / best, report)))
    };
    println!("| table | MB/s of one CPU | million records/s |\n|---|---|---|");
    let keep = with_rest(&[]);
    measure("ten columns, all kept", &table, &rules("", &keep))?;
    measure("ten columns dropped, masked or generalized", &table, &rules("", TEN))?;
    let classes = measure(
        "k-anonymity (k = 5, three quasi-identifiers)",
        &table,
        &rules("[k-anonymity]\nk = 5", &with_rest(QUASI)),
    )?;
    let pseudonyms = measure(
        "one column, pseudonyms",
        &ids,
        &rules("", &[("id", "transform = \"pseudonym\"")]),
    )?;
    let ff1 = measure("one column, FF1", &ids, &rules("", &[("id", "transform = \"ff1\"")]))?;
    // What follows holds all values in memory.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();

    println!("\n| primitive | million values/s | column's share of it |\n|---|---|---|");
    if let Some((column, _)) = pseudonyms {
        let bare = best(people, |id| {
            let key = &HMAC_KEY;
            std::hint::black_box(hmac::sign(key, id.as_bytes()));
        })?;
        println!("| HMAC-SHA-256 | {:.2} | {:.0} % |", bare / 1e6, column / bare * 100.0);
    }
    if let Some((column, _)) = ff1 {
        let cipher = FF1::<Aes256>::new(&[7; 32], 10)?;
        let bare = best(people.min(200_000), |id| {
            let numerals: Vec<u16> = id.bytes().map(|byte| u16::from(byte - b'0')).collect();
            let _ =
                std::hint::black_box(cipher.encrypt(&[], &FlexibleNumeralString::from(numerals)));
        })?;
        println!("| FF1 of 12 digits | {:.2} | {:.0} % |", bare / 1e6, column / bare * 100.0);
    }
    if let Some((Some(anonymity), suppressed, records)) =
        classes.map(|(_, report)| (report.k_anonymity, report.suppressed, report.records))
    {
        println!("\nk reached {}, {suppressed} of {records} records left out", anonymity.reached);
    }
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("peak memory of the tables: {}", peak.trim_start_matches("VmHWM:").trim());
    Ok(())
}

static HMAC_KEY: std::sync::LazyLock<hmac::Key> =
    std::sync::LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]));

/// The processor time of this thread.
fn seconds() -> Result<f64, Error> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9)
}

fn best(values: u64, mut act: impl FnMut(&str)) -> Result<f64, Error> {
    let ids: Vec<String> = (0..values).map(id).collect();
    let mut fastest = f64::MAX;
    for _ in 0..ROUNDS {
        let begin = seconds()?;
        ids.iter().for_each(|id| act(id));
        fastest = fastest.min(seconds()? - begin);
    }
    Ok(ids.len() as f64 / fastest)
}

fn id(number: u64) -> String {
    format!("{:012}", number.wrapping_mul(2_654_435_761) % 1_000_000_000_000)
}

fn write_ids(path: &Path, count: u64) -> Result<(), Error> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "id")?;
    for number in 0..count {
        writeln!(out, "{}", id(number))?;
    }
    Ok(out.flush()?)
}

fn write_table(path: &Path, bytes: u64) -> Result<u64, Error> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut out = BufWriter::new(File::create(path)?);
    let names: Vec<&str> = TEN.iter().map(|(name, _)| *name).collect();
    writeln!(out, "{}", names.join(","))?;
    let (mut written, mut count) = (0, 0);
    while written < bytes {
        let (first, last) = (below(5000), below(90_000));
        let line = format!(
            "Given{first} Family{last},given{first}.family{last}@example.org,\
             \"{} Long Street, Flat {}\",+49 30 {:07},4{:015},{},{:05},{}-{:02}-{:02},\
             {}.{:02},{}.{:05}\n",
            below(300),
            below(40),
            below(10_000_000),
            below(1_000_000_000) * 1000,
            below(60) + below(40),
            10_000 + below(300) * below(300),
            1930 + below(90),
            below(12) + 1,
            below(28) + 1,
            below(200_000),
            below(100),
            47 + below(8),
            below(100_000)
        );
        out.write_all(line.as_bytes())?;
        written += line.len() as u64;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}
