//! `cargo xtask dist`: a release archive for this machine's system, and a look at it from the
//! outside: it is unpacked elsewhere, its checksums are compared, and its program is run.
//!
//! Needs `tar` (GNU) and `sha256sum`. `--dev` takes the development profile without chains, to see
//! quickly that the archive is made rightly.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tree;

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];
/// Files of the repository, and their places in the archive.
const FILES: [(&str, &str); 12] = [
    ("LICENSE", "LICENSE"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("docs/install.md", "docs/install.md"),
    ("docs/operations.md", "docs/operations.md"),
    ("docs/stores.md", "docs/stores.md"),
    ("docs/durability.md", "docs/durability.md"),
    ("docs/ledgers/ethereum.md", "docs/ledgers/ethereum.md"),
    ("docs/ledgers/fabric.md", "docs/ledgers/fabric.md"),
    ("packaging/Containerfile", "Containerfile"),
    ("packaging/systemd/datapact@.service", "lib/systemd/system/datapact@.service"),
    ("packaging/sysusers.d/datapact.conf", "lib/sysusers.d/datapact.conf"),
];

type Result<T> = std::result::Result<T, String>;

/// Makes the archive; `arguments` may be `--dev`.
pub(crate) fn run(arguments: &[&str]) -> bool {
    let development = match arguments {
        [] => false,
        ["--dev"] => true,
        _ => {
            eprintln!("dist takes `--dev` or nothing");
            return false;
        }
    };
    match make(development) {
        Ok(archive) => {
            println!("{}", archive.display());
            true
        }
        Err(why) => {
            eprintln!("dist: {why}");
            false
        }
    }
}

fn make(development: bool) -> Result<PathBuf> {
    let root = tree::root();
    let features: &[&str] = if development {
        &["postgres", "s3"]
    } else {
        &["postgres", "s3", "evm", "fabric", "otel"]
    };
    let features =
        features.iter().map(|feature| format!("datapact/{feature}")).collect::<Vec<_>>().join(",");
    // The chaincode is a program of its own, which runs beside Fabric's peers.
    let programs: &[&str] =
        if development { &["datapact"] } else { &["datapact", "datapact-chaincode"] };
    let mut build = Command::new("cargo");
    build
        .args(["build", "--locked", "--package", "datapact", "--features", &features])
        .current_dir(&root);
    if !development {
        build.args(["--release", "--package", "datapact-chaincode"]);
    }
    succeed(build.args(programs.iter().flat_map(|program| ["--bin", program])))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let built = target.join(if development { "debug" } else { "release" });
    let program = built.join("datapact");

    let version = output(Command::new(&program).arg("--version"))?;
    let version =
        version.trim().strip_prefix("datapact ").ok_or("the program does not say its version")?;
    let host = output(Command::new("rustc").arg("-vV"))?;
    let host =
        host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let name = format!("datapact-{version}-{host}{}", if development { "-dev" } else { "" });
    let dist = target.join("dist");
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| said(&folder, &e))?;
    }
    for program in programs {
        copy(&built.join(program), &folder.join("bin").join(program))?;
    }
    for (from, to) in FILES {
        copy(&root.join(from), &folder.join(to))?;
    }
    for shell in SHELLS {
        let text = output(Command::new(&program).args(["completion", shell]))?;
        write(&folder.join("completions").join(format!("datapact.{shell}")), &text)?;
    }
    succeed(Command::new(&program).arg("man").arg(folder.join("man/man1")))?;
    let components = components(&root, &features)?;
    write(&folder.join("THIRD-PARTY.txt"), &third_party(&components))?;
    write(&folder.join("sbom.cdx.json"), &sbom(version, &components))?;
    checksums(&folder)?;

    let archive = dist.join(format!("{name}.tar.gz"));
    // The same sources give the same archive, except for the program itself.
    let options =
        ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=2026-01-01 00:00Z"];
    let mut tar = Command::new("tar");
    succeed(tar.args(options).arg("-C").arg(&dist).arg("-czf").arg(&archive).arg(&name))?;
    let sum = output(Command::new("sha256sum").arg(format!("{name}.tar.gz")).current_dir(&dist))?;
    write(&dist.join(format!("{name}.tar.gz.sha256")), &sum)?;
    inspect(&dist, &archive, &name, version, programs)?;
    Ok(archive)
}

/// Unpacks the archive in an empty folder, and uses it.
fn inspect(
    dist: &Path,
    archive: &Path,
    name: &str,
    version: &str,
    programs: &[&str],
) -> Result<()> {
    let elsewhere = dist.join(format!("unpacked-{}", std::process::id()));
    fs::create_dir_all(&elsewhere).map_err(|e| said(&elsewhere, &e))?;
    let looked = (|| {
        succeed(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&elsewhere))?;
        let folder = elsewhere.join(name);
        succeed(
            Command::new("sha256sum")
                .args(["--check", "--quiet", "SHA256SUMS"])
                .current_dir(&folder),
        )?;
        for program in programs {
            let says = output(
                Command::new(folder.join("bin").join(program)).arg("--version").env_clear(),
            )?;
            if says.trim() != format!("{program} {version}") {
                return Err(format!("the unpacked program says `{}`", says.trim()));
            }
        }
        let program = folder.join("bin/datapact");
        let config = elsewhere.join("storage/storage.toml");
        let init = ["config", "init", "storage", "--name", "storage.example", "-o"];
        succeed(Command::new(&program).args(init).arg(&config).env_clear())?;
        for made in
            ["man/man1/datapact.1", "man/man1/datapact-serve.1", "completions/datapact.bash"]
        {
            let made = folder.join(made);
            if fs::metadata(&made).map_or(0, |meta| meta.len()) < 100 {
                return Err(format!("`{}` is missing or empty", made.display()));
            }
        }
        Ok(())
    })();
    let removed = fs::remove_dir_all(&elsewhere).map_err(|e| said(&elsewhere, &e));
    looked.and(removed)
}

/// A crate that is part of the program.
struct Component {
    name: String,
    version: String,
    license: String,
    foreign: bool,
}

fn components(root: &Path, features: &str) -> Result<Vec<Component>> {
    let mut tree = Command::new("cargo");
    tree.args([
        "tree",
        "--locked",
        "--package",
        "datapact",
        "--features",
        features,
        "--edges",
        "normal",
    ]);
    tree.args(["--prefix", "none", "--format", "{p}\t{l}"]).current_dir(root);
    let text = output(&mut tree)?;
    let mut lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    lines.sort_unstable();
    lines.dedup();
    let component = |line: &str| {
        let (package, license) = line.split_once('\t')?;
        let mut words = package.split(' ');
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        // Ours have a path behind the version.
        let foreign = !package.contains(" (/");
        let license = license.trim_end_matches(" (*)").replace('/', " OR ");
        Some(Component { name: name.to_owned(), version: version.to_owned(), license, foreign })
    };
    let found: Vec<Component> = lines.into_iter().filter_map(component).collect();
    if found.iter().any(|component| component.foreign) {
        Ok(found)
    } else {
        Err("no dependency was found".to_owned())
    }
}

fn third_party(components: &[Component]) -> String {
    let mut text = "What this program is made of besides its own code, and under which licences \
                    (SPDX).\nEach crate's own licence texts are in its source.\n\n"
        .to_owned();
    for component in components.iter().filter(|component| component.foreign) {
        let _ = writeln!(text, "{} {}: {}", component.name, component.version, component.license);
    }
    text
}

/// A bill of materials, CycloneDX 1.5. It contains names, versions and SPDX expressions, which need
/// no escapes.
fn sbom(version: &str, components: &[Component]) -> String {
    let component = |component: &Component| {
        let Component { name, version, license, .. } = component;
        format!(
            "    {{\"type\": \"library\", \"name\": \"{name}\", \"version\": \"{version}\", \
             \"purl\": \"pkg:cargo/{name}@{version}\", \
             \"licenses\": [{{\"expression\": \"{license}\"}}]}}"
        )
    };
    let foreign = components.iter().filter(|component| component.foreign);
    format!(
        "{{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,\n  \
         \"metadata\": {{\"component\": {{\"type\": \"application\", \"name\": \"datapact\", \
         \"version\": \"{version}\"}}}},\n  \"components\": [\n{}\n  ]\n}}\n",
        foreign.map(component).collect::<Vec<_>>().join(",\n")
    )
}

fn checksums(folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    list(folder, Path::new(""), &mut files)?;
    files.sort();
    let text = output(Command::new("sha256sum").args(&files).current_dir(folder))?;
    write(&folder.join("SHA256SUMS"), &text)
}

fn list(folder: &Path, within: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let path = folder.join(within);
    for entry in fs::read_dir(&path).map_err(|e| said(&path, &e))? {
        let entry = entry.map_err(|e| said(&path, &e))?;
        let name = within.join(entry.file_name());
        if entry.path().is_dir() { list(folder, &name, files)? } else { files.push(name) }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|e| said(folder, &e))?;
    }
    fs::copy(from, to).map(drop).map_err(|e| said(from, &e))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| said(folder, &e))?;
    }
    fs::write(path, text).map_err(|e| said(path, &e))
}

fn said(path: &Path, error: &std::io::Error) -> String {
    format!("`{}`: {error}", path.display())
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{command:?}: its output is not text"))
}
