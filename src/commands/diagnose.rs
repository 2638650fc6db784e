//! `ecs-doctor <SERVICE>`: asks AWS or opens a snapshot, diagnoses every service in it, prints, and
//! tells the code.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, anyhow};
use checks::aws::arn::last;
use checks::aws::url::Url;
use checks::check::Severity;
use checks::diagnosis::diagnose;
use checks::facts::inbound::request;
use checks::patient::{Intent, Patient};
use checks::snapshot::{Service, Snapshot};
use jiff::tz::TimeZone;

use crate::anonymise::anonymise;
use crate::cli::{Access, Diagnose, FailOn, Format, ReportOptions};
use crate::config::Config;
use crate::exit::{self, Exit, UsageError};
use crate::report::json::Json;
use crate::report::text::{self, Text};
use crate::report::{Detail, ExpectedReport, Print, Report, ServiceReport};
use crate::{printed, replay};

pub fn run(options: &Diagnose) -> Result<Exit> {
    // What the user said wrongly is told before AWS is asked.
    let config = Config::load(options.config.as_deref())?;
    let options = &options.clone().with(&config.defaults());
    if options.service.is_none() && options.url.is_none() && options.from.is_none() {
        return services(options);
    }
    let url = options.url.clone().or_else(|| typed_url(options.service.as_deref()?));
    let question = Question {
        read_logs: !options.no_logs,
        trail: options.trail,
        url: url.as_ref(),
        probe: options.probe,
        ..Question::about(options.service.as_deref(), &options.access)
    };
    let snapshot = snapshot(&question, options.from.as_deref())?;
    let wishes = Wishes {
        config: &config,
        profile: options.access.profile.as_deref(),
        report: &options.report,
        fail_on: FailOn::High,
        beside: options.save.as_deref().is_some_and(replay::is_standard),
    };
    // The diagnosis comes first, and a file that cannot be written changes nothing of it.
    let exit = conclude(&snapshot, &wishes)?;
    if let Some(file) = &options.save
        && let Err(error) = save(&snapshot, file, options.anonymise)
    {
        exit::complain(&error);
    }
    Ok(exit)
}

#[cfg(not(feature = "aws"))]
fn services(_: &Diagnose) -> Result<Exit> {
    Err(UsageError("this build cannot ask AWS; it reads snapshots with --from".into()).into())
}

/// No service was named: which ones there are, and how each stands.
#[cfg(feature = "aws")]
fn services(options: &Diagnose) -> Result<Exit> {
    let services = asking(live::services(&options.access))?;
    printed::page(|out| match options.report.output() {
        Format::Text => services.print(out),
        Format::Json => crate::report::json::write(&services, out),
    })?;
    Ok(Exit::Fine)
}

fn save(snapshot: &Snapshot, file: &Path, anonymous: bool) -> Result<()> {
    match anonymous {
        true => replay::save(&anonymise(snapshot)?, file),
        false => replay::save(snapshot, file),
    }
}

/// What the user wants of a diagnosis.
pub struct Wishes<'a> {
    pub config: &'a Config,
    /// The profile for the commands.
    pub profile: Option<&'a str>,
    pub report: &'a ReportOptions,
    /// Where no level was named.
    pub fail_on: FailOn,
    /// Standard output is taken: the report goes to standard error.
    pub beside: bool,
}

/// What AWS is asked about, and how.
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "without the SDK nobody is asked"))]
pub struct Question<'a> {
    pub service: Option<&'a str>,
    pub access: &'a Access,
    pub read_logs: bool,
    /// Whether CloudTrail is asked, too.
    pub trail: bool,
    /// Versions that have to be there, whatever the service runs.
    pub versions: &'a [&'a str],
    /// The URL whose way is to be told.
    pub url: Option<&'a Url>,
    pub probe: bool,
}

impl<'a> Question<'a> {
    /// Nothing but the service itself.
    pub fn about(service: Option<&'a str>, access: &'a Access) -> Question<'a> {
        Question {
            service,
            access,
            read_logs: false,
            trail: false,
            versions: &[],
            url: None,
            probe: false,
        }
    }
}

/// The URL, where one was typed in place of a service; a bare host names no way.
fn typed_url(typed: &str) -> Option<Url> {
    typed.contains("://").then(|| typed.parse().ok()).flatten()
}

/// What the file has of the service; without a file, what AWS tells.
pub fn snapshot(question: &Question, file: Option<&Path>) -> Result<Snapshot> {
    match file {
        Some(file) => {
            let by_name = question.service.filter(|typed| typed_url(typed).is_none());
            let mut snapshot = chosen(replay::load(file)?, by_name)?;
            if let Some(url) = question.url {
                request::ask_for(&mut snapshot, url);
            }
            Ok(snapshot)
        }
        None => ask(question),
    }
}

/// The one service of a snapshot, for a command that tells of one.
pub fn only(snapshot: &Snapshot) -> Result<&Service> {
    match snapshot.services.as_slice() {
        [service] => Ok(service),
        several => {
            let names: Vec<&str> =
                several.iter().map(|service| service.service_arn.as_str()).collect();
            Err(UsageError(format!(
                "the snapshot has several such services; name one by its ARN: {}",
                names.join(", ")
            ))
            .into())
        }
    }
}

/// The diagnosis of a snapshot, printed, with the exit code that follows from it.
pub fn conclude(snapshot: &Snapshot, wishes: &Wishes) -> Result<Exit> {
    let options = wishes.report;
    let intent = |service: &Service| wishes.config.intent(service, &options.expect_ingress);
    let report = examine(snapshot, wishes, intent);
    let detail = options.detail();
    let text = || Text {
        width: options.width.map_or_else(text::width, usize::from),
        detail,
        show: options.show.severity(),
        risks: options.risks,
    };
    let print = |out: &mut dyn Write| match options.output() {
        Format::Text => text().print(&report, out),
        Format::Json => Json { detail }.print(&report, out),
    };
    let long = options.output() == Format::Text && detail == Detail::Full;
    match wishes.beside {
        true => printed::page_beside(print),
        false if long => printed::long_page(print),
        false => printed::page(print),
    }?;
    Ok(code(&report, options.fail_on.unwrap_or(wishes.fail_on).severity(), options.strict))
}

fn examine<'a>(
    snapshot: &Snapshot,
    wishes: &Wishes,
    intent: impl Fn(&Service) -> (Intent, Option<&'a Path>),
) -> Report {
    let services = snapshot.services.iter().map(|service| {
        let (intent, file) = intent(service);
        let patient = Patient::new(snapshot, service, &intent);
        let diagnosis = diagnose(&patient);
        let mut report = ServiceReport::new(&patient, &diagnosis, wishes.profile);
        report.expected = file.map(|file| {
            let without = diagnose(&Patient::new(snapshot, service, &Intent::default()));
            ExpectedReport::new(file, &intent, &diagnosis, &without)
        });
        let today = snapshot.taken_at.to_zoned(TimeZone::UTC).date();
        report.accept(&wishes.config.accepted(service), today);
        report
    });
    Report::new(snapshot, services.collect())
}

fn code(report: &Report, fail_on: Option<Severity>, strict: bool) -> Exit {
    let found = fail_on.is_some_and(|level| report.worst().is_some_and(|worst| worst <= level));
    if found {
        Exit::Findings
    } else if strict && report.services.iter().any(ServiceReport::is_unknown) {
        Exit::Unknown
    } else {
        Exit::Fine
    }
}

/// The services of a snapshot that the user asked for, by name, cluster/service or ARN; without a
/// name, all of them.
fn chosen(mut snapshot: Snapshot, service: Option<&str>) -> Result<Snapshot> {
    if let Some(typed) = service {
        let is_asked = |service: &Service| match typed.split_once('/') {
            _ if typed.starts_with("arn:") => service.service_arn == typed,
            None => service.service_name == typed,
            Some((cluster, name)) => {
                service.service_name == name && last(&service.cluster_arn) == cluster
            }
        };
        let there: Vec<String> = snapshot
            .services
            .iter()
            .map(|service| format!("{}/{}", last(&service.cluster_arn), service.service_name))
            .collect();
        snapshot.services.retain(is_asked);
        if snapshot.services.is_empty() {
            return Err(anyhow!("no service {typed} in the snapshot; it has {}", there.join(", ")));
        }
    }
    Ok(snapshot)
}

#[cfg(not(feature = "aws"))]
fn ask(_: &Question) -> Result<Snapshot> {
    Err(UsageError("this build cannot ask AWS; it reads snapshots with --from".into()).into())
}

#[cfg(feature = "aws")]
fn ask(question: &Question) -> Result<Snapshot> {
    use crate::collect::find::Target;

    let Some(typed) = question.service else {
        return Err(UsageError(
            "name a service, or a snapshot with --from; --help tells more".into(),
        )
        .into());
    };
    let target = Target::parse(typed, question.access.cluster.as_deref()).map_err(UsageError)?;
    asking(live::ask(question, &target))
}

#[cfg(feature = "aws")]
fn asking<T>(asks: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let answer = runtime.block_on(asks);
    // Whatever still hangs is left behind.
    runtime.shutdown_background();
    answer
}

#[cfg(feature = "aws")]
mod live {
    use std::time::{Duration, Instant};

    use anyhow::{Context, Result, anyhow};
    use checks::aws::arn::Arn;
    use checks::snapshot::Snapshot;
    use jiff::Timestamp;

    use super::Question;
    use crate::cli::Access;
    use crate::collect::find::{self, NotFound, Target};
    use crate::collect::{self, Aws, Connection, NoWay};
    use crate::exit::UsageError;
    use crate::mask;
    use crate::report::services::{Services, UnseenRow};

    pub async fn ask(question: &Question<'_>, target: &Target) -> Result<Snapshot> {
        let Question { service, access, read_logs, .. } = question;
        if let (Some(of_arn), Some(region)) = (region_of(*service), &access.region)
            && of_arn != *region
        {
            let wrong = format!("the ARN is of region {of_arn}, and --region names {region}");
            return Err(UsageError(wrong).into());
        }
        let aws = connect(access, region_of(*service), *read_logs).await?;
        let look = look(&aws, question, target);
        collect::progress::beside(look, || aws.asker.waiting()).await
    }

    async fn look(aws: &Aws, question: &Question<'_>, target: &Target) -> Result<Snapshot> {
        let Question { service: typed, trail, versions, url, probe, .. } = question;
        let began = Instant::now();
        let service = match find::find(aws, target).await {
            Ok(service) => service,
            Err(not_found) => {
                return Err(explain(not_found, aws.asker.ledger().credentials.as_deref()));
            }
        };
        is_of_account(*typed, &service.service_arn)?;
        let mut snapshot = collect::collect(aws, service, now()?).await;
        for version in *versions {
            collect::version(aws, &mut snapshot, version).await;
        }
        if let Some(url) = url {
            collect::url(aws, &mut snapshot, url).await;
        }
        if *probe {
            collect::probe::run(aws, &mut snapshot, *url).await;
        }
        if *trail {
            collect::trail::trail(aws, &mut snapshot, pace()?).await;
        }
        collect::close(&mut snapshot, &aws.asker, began.elapsed());
        Ok(mask::everything(snapshot)?)
    }

    /// Every service that can be listed.
    pub async fn services(access: &Access) -> Result<Services> {
        let aws = connect(access, None, false).await?;
        let (services, unlisted) = aws.all_services(access.cluster.as_deref()).await;
        if let Some(said) = aws.asker.ledger().credentials.as_deref() {
            return Err(NoWay::Credentials(said.to_owned()).into());
        }
        let unseen = unlisted.into_iter().map(|some| UnseenRow {
            cluster: some.cluster,
            call: some.call,
            why: some.why.blindness(),
        });
        Ok(Services::new(aws.region(), &services, unseen.collect()))
    }

    async fn connect(access: &Access, named: Option<String>, read_logs: bool) -> Result<Aws> {
        let connection = Connection {
            region: access.region.clone().or(named),
            profile: access.profile.clone(),
            timeout: Duration::from_secs(access.timeout),
            read_logs,
        };
        Ok(Aws::connect(&connection).await?)
    }

    fn explain(not_found: NotFound, credentials: Option<&str>) -> anyhow::Error {
        match (&not_found, credentials) {
            (NotFound::Ambiguous { .. }, _) => UsageError(not_found.to_string()).into(),
            (NotFound::Blind { .. }, Some(said)) => NoWay::Credentials(said.to_owned()).into(),
            _ => not_found.into(),
        }
    }

    /// Whoever names the service of one account does not mean the namesake of another.
    fn is_of_account(typed: Option<&str>, found: &str) -> Result<()> {
        let asked = typed.and_then(Arn::read).map(|arn| arn.account);
        let found = Arn::read(found).map(|arn| arn.account);
        match asked.zip(found) {
            Some((asked, found)) if asked != found => Err(anyhow!(
                "the ARN is of account {asked}, and the credentials are of account {found}; name another --profile"
            )),
            _ => Ok(()),
        }
    }

    /// An ARN names its region.
    fn region_of(typed: Option<&str>) -> Option<String> {
        let region = typed?.strip_prefix("arn:")?.split(':').nth(2)?;
        (!region.is_empty()).then(|| region.to_owned())
    }

    /// The pause between two questions to CloudTrail; tests have none.
    fn pace() -> Result<Duration> {
        match std::env::var("ECS_DOCTOR_PACE_MS") {
            Ok(set) => Ok(Duration::from_millis(
                set.parse().with_context(|| format!("ECS_DOCTOR_PACE_MS={set} is no number"))?,
            )),
            Err(_) => Ok(collect::trail::PACE),
        }
    }

    /// The clock of the snapshot; tests set it, so that a recorded account does not age.
    fn now() -> Result<Timestamp> {
        match std::env::var("ECS_DOCTOR_NOW") {
            Ok(set) => set.parse().with_context(|| {
                format!("ECS_DOCTOR_NOW={set} is no time such as 2026-11-22T03:00:00Z")
            }),
            Err(_) => Ok(Timestamp::from_second(Timestamp::now().as_second())?),
        }
    }
}
