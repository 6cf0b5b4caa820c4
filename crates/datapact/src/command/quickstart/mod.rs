//! `datapact quickstart`: both procedures of the Recommendation (7.3.1, 7.3.2) between real
//! processes, in one command.

mod chain;
mod servers;
mod site;

use std::io::{Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datapact_api::management::{Invitation, NewInvitation, Role};
use datapact_client::ca::Kind as CertificateKind;
use datapact_client::consumer::Consumer;
use datapact_client::join;
use datapact_client::open::{OpenOptions, Opened, Output as Plaintext, Target};
use datapact_client::provider::CreateShare;
use datapact_client::{Home, Profile, Provider, Session, no_progress};
use datapact_core::contract::{Attributes, Refusal};
use datapact_core::id::ShareId;
use datapact_core::permission::{AccessPermission, AccessTimes};
use datapact_core::terms::Terms;
use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;
use chain::{Chain, LedgerKind};
use servers::Servers;
use site::{ADMINISTRATOR, Site};

/// The dataset shared when no file is given: no person stands in it.
const SAMPLE: &[u8] = include_bytes!("observations.csv");
const CERTIFICATE_VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const SHARE_SECONDS: u64 = 30 * 24 * 60 * 60;
/// How long a subscriber waits for the publication.
const PUBLICATION_TIMEOUT: Duration = Duration::from_secs(20);

/// See both procedures of X.1410 happen on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  datapact quickstart
  datapact quickstart my-data.csv
  datapact quickstart --exit --json --data /tmp/try
  datapact quickstart --ledger quorum      (needs a build with `--features evm`)
  datapact quickstart --ledger fabric      (needs a build with it, and Fabric's programs; see docs/ledgers/fabric.md)")]
pub(crate) struct Quickstart {
    /// The file to share instead of the sample dataset
    file: Option<PathBuf>,
    /// End when all is shown, instead of leaving the servers running until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Make CAs, certificates and configuration files only, to change them before the servers first
    /// start
    #[arg(long, conflicts_with_all = ["file", "exit"])]
    prepare: bool,
    /// Where everything is kept; a later run goes on with what is there
    #[arg(long, value_name = "DIR", default_value = "datapact-quickstart")]
    data: PathBuf,
    /// Which ledger decides and records
    #[arg(long, value_enum, default_value_t = LedgerKind::Embedded)]
    ledger: LedgerKind,
}

impl Quickstart {
    /// What is shared.
    fn dataset(&self) -> Result<Box<dyn Read + Send>> {
        Ok(match &self.file {
            None => Box::new(Cursor::new(SAMPLE)),
            Some(path) => {
                Box::new(std::fs::File::open(path).map_err(|e| Failure::file("read", path, &e))?)
            }
        })
    }
}

/// Who takes part.
struct Person {
    profile: &'static str,
    realm: &'static str,
    subject: &'static str,
    role: Role,
    /// Organisation, industry and country, as the administrator sets them.
    attributes: Option<[&'static str; 3]>,
}

const ADMIN: Person = Person {
    profile: "admin",
    realm: "clinic",
    subject: "CN=admin,O=Clinic",
    role: Role::Administrator,
    attributes: None,
};
const CLINIC: Person = Person {
    profile: "clinic",
    realm: "clinic",
    subject: "CN=Ada,O=Clinic",
    role: Role::Provider,
    attributes: Some(["clinic", "isic4:86", "SE"]),
};
const LAB: Person = Person {
    profile: "lab",
    realm: "lab",
    subject: "CN=Ben,O=Lab",
    role: Role::Consumer,
    attributes: Some(["lab", "isic4:72", "DE"]),
};
const LAB_OVERSEAS: Person = Person {
    profile: "lab-overseas",
    realm: "lab",
    subject: "CN=Cleo,O=Lab",
    role: Role::Consumer,
    attributes: Some(["lab", "isic4:72", "US"]),
};

/// Prints the steps as they are done.
struct Steps {
    output: Output,
    number: u32,
    since: Instant,
}

/// One step, as `--json` prints it.
#[derive(Serialize)]
struct Step<'a> {
    step: u32,
    /// The clauses of X.1410 that it shows.
    clause: &'a str,
    title: &'a str,
    milliseconds: u128,
    detail: Value,
}

impl Steps {
    fn done(&mut self, clause: &str, title: &str, lines: &[String], detail: Value) -> Result<()> {
        self.number += 1;
        let milliseconds = self.since.elapsed().as_millis();
        let mut text = format!("{:>2}. {title}  [{clause}]", self.number);
        for line in lines {
            text.push_str("\n      ");
            text.push_str(line);
        }
        let step = Step { step: self.number, clause, title, milliseconds, detail };
        self.output.result(&step, text)?;
        self.since = Instant::now();
        Ok(())
    }
}

/// Where the plaintext goes: it is compared with what was shared, and kept nowhere.
#[derive(Clone)]
struct Comparison(Arc<Mutex<Compared>>);

struct Compared {
    shared: Box<dyn Read + Send>,
    same: bool,
}

impl Comparison {
    fn with(shared: Box<dyn Read + Send>) -> Self {
        Self(Arc::new(Mutex::new(Compared { shared, same: true })))
    }

    /// Whether all that was shared came out, and nothing else.
    fn same(&self) -> bool {
        let mut compared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        compared.same && matches!(compared.shared.read(&mut [0]), Ok(0))
    }
}

impl Write for Comparison {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut compared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shared = vec![0; bytes.len()];
        compared.same &= compared.shared.read_exact(&mut shared).is_ok() && shared == bytes;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Quickstart {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        interrupt::leave_to_command();
        context.block_on(run(&self, context.output))
    }
}

async fn run(args: &Quickstart, output: Output) -> Result<()> {
    let (site, existed) = Site::open(&args.data, args.ledger)?;
    if args.prepare {
        let configs: Vec<_> =
            ["management", "key", "storage"].iter().map(|role| site.config(role)).collect();
        let lines: Vec<_> = configs.iter().map(|path| path.display().to_string()).collect();
        return output.result(&json!({ "existed": existed, "configs": configs }), lines.join("\n"));
    }
    let mut steps = Steps { output, number: 0, since: Instant::now() };
    let mut chain = Chain::open(args.ledger, &site.network(), site::LEDGER_ID)?;
    let mut servers = Servers::default();
    let shown = interrupt::unless_asked_to_end(async {
        chain.up().await?;
        show_chain(args.ledger, &chain, &mut steps)?;
        servers.start(&site).await?;
        show(args, &site, existed, &servers, &mut steps).await
    });
    let result = match shown.await {
        Ok(share) if !args.exit => {
            output.note(next_commands(&site, share));
            tokio::select! {
                () = interrupt::asked_to_end() => Ok(()),
                role = servers.ended() => {
                    let hint = format!("its log is `{}`", site.log(role).display());
                    Err(Failure::local(format!("the {role} server ended by itself"), hint))
                }
            }
        }
        Ok(_) => Ok(()),
        Err(failure) => Err(failure),
    };
    servers.stop().await;
    let down = chain.down().await;
    result.and(down)
}

fn show_chain(kind: LedgerKind, chain: &Chain, steps: &mut Steps) -> Result<()> {
    let nodes = chain.nodes();
    if nodes.is_empty() {
        return Ok(());
    }
    let title = match kind {
        LedgerKind::Quorum => {
            "Four GoQuorum validators agree by QBFT; the contract is on their chain"
        }
        LedgerKind::Fabric | LedgerKind::FabricBft => {
            "Two organisations of a Fabric network, management's and the key server's, have the contract as chaincode"
        }
        _ => "An Ethereum development node runs; the contract is on its chain",
    };
    let line = |node: &chain::Node| match &node.node {
        Some(name) => format!("{name}: {} (process {})", node.url, node.process),
        None => format!("{} (process {})", node.url, node.process),
    };
    let lines: Vec<_> = nodes.iter().map(line).collect();
    steps.done("6.1, 7.1", title, &lines, json!({ "nodes": nodes }))
}

async fn show(
    args: &Quickstart,
    site: &Site,
    existed: bool,
    servers: &Servers,
    steps: &mut Steps,
) -> Result<ShareId> {
    let made = if existed { "found" } else { "made" };
    steps.done(
        "Annex A preconditions, 6.2.1",
        "Certification authorities of a clinic, a lab and the servers",
        &[format!("{made} in {}", site.folder().join("ca").display())],
        json!({ "folder": site.folder(), "existed": existed }),
    )?;
    let ids = servers.ids();
    steps.done(
        "6.2.2 to 6.2.4, 7.2.5",
        "Management, key server and storage server run, each a process with its own certificate",
        &[ids.iter().map(|(role, id)| format!("{role} (process {id})")).collect::<Vec<_>>().join(", ")],
        json!({ "processes": ids.iter().map(|(role, id)| json!({ "role": role, "id": id })).collect::<Vec<_>>() }),
    )?;

    let home = site.home()?;
    let (clinic, lab, overseas) = accounts(site, &home, steps).await?;
    let provider = Provider::new(clinic);
    let (lab, overseas) = (Consumer::new(lab), Consumer::new(overseas));

    // The subscriber listens before anything is published.
    let last = lab.search(&Default::default()).await?.first().map_or(0, |entry| entry.event);
    let mut publications = lab.watch(Some(last))?;

    let share = publish(args, &provider, steps).await?;
    let heard = async {
        while let Some(entry) = publications.next().await {
            let entry = entry?;
            if entry.share == share {
                return Ok(entry);
            }
        }
        Err(Failure::local("the subscription ended", "see the servers' logs"))
    };
    let entry = tokio::time::timeout(PUBLICATION_TIMEOUT, heard)
        .await
        .map_err(|_| Failure::local("the subscriber heard nothing", "see the servers' logs"))??;
    steps.done(
        "7.3.1 steps 9 to 12, 6.2.2 publication and subscription",
        "The lab, a subscriber, is told what was published",
        &[format!("event {}: \"{}\" by {}", entry.event, entry.information.title, entry.provider)],
        json!({ "event": entry.event, "share": entry.share }),
    )?;

    let (opened, same) = open(args, &lab, &share).await?;
    if !same {
        return Err(Failure::untrusted(
            "what was opened is not what was shared",
            "this is a defect; please report it",
        ));
    }
    steps.done(
        "7.3.2 steps 1 to 18",
        "The lab asks the contract, gets token and permission, fetches key and package, and reads the data",
        &[
            format!(
                "access {} of {}, recorded at ledger position {}",
                opened.permission.access,
                times(opened.permission.access_times),
                opened.proof.position
            ),
            format!(
                "record proven: the log of {} entries is signed, and cosigned by the witnesses",
                opened.proof.size
            ),
            format!(
                "{} bytes, the same that were shared; on this machine only ciphertext remains",
                opened.size
            ),
        ],
        serde_json::to_value(&opened).unwrap_or_default(),
    )?;

    refused(
        args,
        &overseas,
        &share,
        steps,
        "7.3.2 step 4, 6.2.2 access management",
        "A colleague overseas is refused: the country",
        |refusal| matches!(refusal, Refusal::Country),
    )
    .await?;
    refused(
        args,
        &lab,
        &share,
        steps,
        "7.2.1 access times",
        "The lab's second try is refused: the access times are used up",
        |refusal| matches!(refusal, Refusal::AccessTimes { .. }),
    )
    .await?;

    let report = provider.audit(&share).await?;
    if !report.good {
        return Err(Failure::untrusted(
            "the audit found something wrong",
            "see `datapact share audit`",
        ));
    }
    steps.done(
        "7.2.4, 6 (traceability, verifiability)",
        "The clinic audits the share: ledger replayed, proofs, signatures and releases compared",
        &[
            format!("{} entries replayed, cosigned by {}", report.log.size, report.log.cosigned_by.join(", ")),
            format!(
                "{} policy version(s), {} access(es), every one signed, recorded and released once; nothing wrong",
                report.policies.len(),
                report.accesses.len()
            ),
        ],
        serde_json::to_value(&report).unwrap_or_default(),
    )?;
    Ok(share)
}

/// Everybody's session; who has not joined yet is invited and joins.
async fn accounts(
    site: &Site,
    home: &Home,
    steps: &mut Steps,
) -> Result<(Session, Session, Session)> {
    let path = site.administrators_invitation();
    let invitation = join::read_invitation(&path)?;
    let admin = enrol(site, home, &ADMIN, invitation).await?;
    let mut sessions = Vec::new();
    let mut lines = Vec::new();
    for person in [CLINIC, LAB, LAB_OVERSEAS] {
        let session = match joined(home, &person)? {
            Some(session) => session,
            None => {
                let invitation = admin.management().invite(&person.invitation()?).await?;
                enrol(site, home, &person, invitation).await?
            }
        };
        let account = session.account().await?;
        let [_, industry, country] = person.attributes.unwrap_or_default();
        lines.push(format!("{}: {} ({industry}, {country})", person.profile, account.identity));
        sessions.push(session);
    }
    steps.done(
        "6.2.1, 6.2.2 account management",
        "Users make their keys, get certificates from their own CA, and join by invitation",
        &lines,
        json!({ "profiles": [CLINIC.profile, LAB.profile, LAB_OVERSEAS.profile], "administrator": ADMINISTRATOR }),
    )?;
    home.set_current(CLINIC.profile)?;
    let mut sessions = sessions.into_iter();
    match (sessions.next(), sessions.next(), sessions.next()) {
        (Some(clinic), Some(lab), Some(overseas)) => Ok((clinic, lab, overseas)),
        _ => Err(Failure::local("not everybody has joined", "run the quickstart again")),
    }
}

impl Person {
    fn invitation(&self) -> Result<NewInvitation> {
        let attributes = match self.attributes {
            None => Attributes::default(),
            Some([organisation, industry, country]) => Attributes {
                organisation: Some(parse(organisation)?),
                industry: Some(parse(industry)?),
                country: Some(parse(country)?),
            },
        };
        Ok(NewInvitation {
            realm: self.realm.to_owned(),
            role: self.role,
            attributes,
            seconds: 3600,
        })
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|e| Failure::usage(e, "this is a defect; please report it"))
}

fn joined(home: &Home, person: &Person) -> Result<Option<Session>> {
    if !home.profiles()?.iter().any(|name| name == person.profile) {
        return Ok(None);
    }
    match Profile::load(home, person.profile, None) {
        Ok(profile) => Ok(Some(Session::connect(profile)?)),
        // Begun and not finished: joining again goes on.
        Err(_) => Ok(None),
    }
}

/// Key and request made locally, certificate from the person's CA, account bound.
async fn enrol(
    site: &Site,
    home: &Home,
    person: &Person,
    invitation: Invitation,
) -> Result<Session> {
    if let Some(session) = joined(home, person)? {
        return Ok(session);
    }
    let prepared = join::prepare(home, person.profile, &invitation, &parse(person.subject)?, None)?;
    let ca = site.ca(person.realm)?;
    let certificate = ca
        .issue(&prepared.request_pem, &CertificateKind::User, CERTIFICATE_VALID)
        .map_err(|e| Failure::local(e, "run the quickstart in a new folder with `--data DIR`"))?;
    join::join(home, person.profile, certificate.as_bytes(), None).await?;
    Ok(Session::connect(Profile::load(home, person.profile, None)?)?)
}

async fn publish(args: &Quickstart, provider: &Provider, steps: &mut Steps) -> Result<ShareId> {
    let now = datapact_log::clock::system_clock()();
    let title = match &args.file {
        None => "Outpatient observations 2026, desensitized".to_owned(),
        Some(path) => path
            .file_name()
            .map_or_else(|| "a file".into(), |name| name.to_string_lossy().into_owned()),
    };
    let create = CreateShare {
        title,
        media_type: if args.file.is_some() { "application/octet-stream" } else { "text/csv" }
            .to_owned(),
        categories: vec![parse("health")?],
        introduction: String::new(),
        usage: String::new(),
        price: None,
        terms: Terms {
            industries: [parse("isic4:72")?].into(),
            countries: [parse("SE")?, parse("DE")?].into(),
            ..Terms::default()
        },
        permission: AccessPermission {
            access_times: AccessTimes::Times(1),
            not_before: now.saturating_sub(60),
            expires: now + SHARE_SECONDS,
            read_only: true,
        },
        key_server: None,
        storage_server: None,
        desensitization: None,
    };
    let set = provider.create_share(args.dataset()?, create, no_progress()).await?;
    steps.done(
        "7.3.1 steps 1 to 8",
        "The clinic seals the data, stores key and package apart, and signs the policy; it becomes a contract",
        &[
            "for industry isic4:72 in SE and DE, once each, read-only, for 30 days".to_owned(),
            format!("contract {}", set.contract),
        ],
        serde_json::to_value(&set).unwrap_or_default(),
    )?;
    Ok(set.share)
}

/// Opens the share, and tells whether what came out is what was shared.
async fn open(args: &Quickstart, consumer: &Consumer, share: &ShareId) -> Result<(Opened, bool)> {
    let comparison = Comparison::with(args.dataset()?);
    let output = Plaintext::Stream(Box::new(comparison.clone()));
    let options = OpenOptions::default();
    let opened =
        consumer.open(&Target::Share(*share), &options, &|_| Ok(()), output, no_progress()).await?;
    Ok((opened, comparison.same()))
}

/// Shows that opening is refused, by the rule expected.
async fn refused(
    args: &Quickstart,
    consumer: &Consumer,
    share: &ShareId,
    steps: &mut Steps,
    clause: &str,
    title: &str,
    expected: impl Fn(&Refusal) -> bool,
) -> Result<()> {
    let problem = match open(args, consumer, share).await {
        Ok(_) => {
            return Err(Failure::untrusted(
                "an access was granted that had to be refused",
                "please report it",
            ));
        }
        Err(Failure::Problem(problem)) => problem,
        Err(failure) => return Err(failure),
    };
    match &problem.refusal {
        Some(refusal) if expected(refusal) => {
            steps.done(clause, title, &[format!("refused: {refusal}")], problem.to_json())
        }
        _ => Err(problem.into()),
    }
}

fn times(times: AccessTimes) -> String {
    match times {
        AccessTimes::Times(times) => times.to_string(),
        AccessTimes::Unlimited => "unlimited".to_owned(),
    }
}

fn next_commands(site: &Site, share: ShareId) -> String {
    let program = std::env::current_exe()
        .map_or_else(|_| "datapact".into(), |path| path.display().to_string());
    format!(
        "\nThe servers keep running until Ctrl-C. In another terminal:\n\n  \
         export DATAPACT_HOME={home}\n  \
         alias datapact={program}\n  \
         datapact --profile clinic share create FILE --allow-country SE,DE --times 3 --expires 30d\n  \
         datapact --profile lab catalog search\n  \
         datapact --profile lab open SHARE\n  \
         datapact --profile clinic share audit SHARE      (for example {share})\n",
        home = site.folder().join("home").display(),
    )
}
