//! What the user said once and for all, in a file: defaults of the command line, who should be able
//! to reach the load balancers, and which risks are accepted. It is looked for where `--config`
//! says; else as `ecs-doctor.toml` in the working directory, for a repository to carry its
//! expectations, and under it in the user's configuration. The command line takes precedence. Whose
//! word counted is told, for the directory may be somebody else's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use checks::catalog;
use checks::patient::{Expected, Intent};
use checks::snapshot::Service;
use jiff::civil::Date;
use serde::Deserialize;

use crate::cli::{DetailLevel, Format};
use crate::exit::UsageError;
use crate::report::plain;

const IN_DIRECTORY: &str = "ecs-doctor.toml";

/// The files, that with the last word first.
#[derive(Debug, Default, PartialEq)]
pub struct Config(Vec<Layer>);

#[derive(Debug, PartialEq)]
struct Layer {
    file: PathBuf,
    said: Said,
}

/// Options that need not be typed each time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Defaults {
    pub cluster: Option<String>,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub output: Option<Format>,
    pub detail: Option<DetailLevel>,
}

/// A risk that somebody has decided to live with, for a while.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Accept {
    #[serde(deserialize_with = "a_check")]
    pub check: String,
    /// By name or `cluster/service`; without it, of every service.
    service: Option<String>,
    pub reason: String,
    /// The last day of it.
    #[serde(default, deserialize_with = "a_day")]
    pub until: Option<Date>,
}

fn a_day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let day = String::deserialize(deserializer)?;
    let wrong = |_| serde::de::Error::custom(format!("{day:?} is not a day such as 2027-01-31"));
    day.parse().map(Some).map_err(wrong)
}

fn a_check<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    match catalog::find(&id) {
        Some(_) => Ok(id),
        None => Err(serde::de::Error::custom(format!("there is no check {id:?}"))),
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Said {
    #[serde(flatten)]
    defaults: Defaults,
    expect_ingress: Option<Vec<Who>>,
    #[serde(default)]
    accept: Vec<Accept>,
    /// By the service's name, or `cluster/service`, which is nearer.
    #[serde(default)]
    service: BTreeMap<String, Expectations>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Expectations {
    expect_ingress: Option<Vec<Who>>,
}

/// A block or a prefix list, with the message of our own where it is neither.
#[derive(Clone, Debug, PartialEq)]
struct Who(Expected);

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Who).map_err(serde::de::Error::custom)
    }
}

impl Config {
    /// The file that was named, or those that lie where such files lie. Having none is fine.
    pub fn load(named: Option<&Path>) -> Result<Config> {
        let files = named.map_or_else(found, |named| vec![named.to_owned()]);
        Ok(Config(files.into_iter().map(Layer::read).collect::<Result<_>>()?))
    }

    /// What the nearest file says of each option; what the environment says of region and profile
    /// stands above files, as for every AWS tool.
    pub fn defaults(&self) -> Defaults {
        let environment =
            |names: &[&str]| names.iter().any(|name| std::env::var_os(name).is_some());
        let mut nearest = Defaults::default();
        for Layer { said: Said { defaults, .. }, .. } in &self.0 {
            let Defaults { cluster, region, profile, output, detail } = defaults.clone();
            nearest.cluster = nearest.cluster.or(cluster);
            nearest.region = nearest.region.or(region);
            nearest.profile = nearest.profile.or(profile);
            nearest.output = nearest.output.or(output);
            nearest.detail = nearest.detail.or(detail);
        }
        if environment(&["AWS_REGION", "AWS_DEFAULT_REGION"]) {
            nearest.region = None;
        }
        if environment(&["AWS_PROFILE", "AWS_ACCESS_KEY_ID"]) {
            nearest.profile = None;
        }
        nearest
    }

    /// The risks of a service that are accepted, each with the file that says so.
    pub fn accepted(&self, service: &Service) -> Vec<(&Accept, &Path)> {
        let names = names(service);
        let is_of = |accept: &&Accept| accept.service.as_ref().is_none_or(|it| names.contains(it));
        let mut accepted = Vec::new();
        for Layer { file, said } in &self.0 {
            let all = said.accept.iter().filter(is_of);
            accepted.extend(all.map(|accept| (accept, file.as_path())));
        }
        accepted
    }

    /// Each file that is in force, the nearest first, with what it says.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|layer| layer.file.as_path())
    }

    /// What is expected of a service: by the command line, else by the nearest entry of the files;
    /// and by which file.
    pub fn intent(&self, service: &Service, typed: &[Expected]) -> (Intent, Option<&Path>) {
        if !typed.is_empty() {
            return (typed.iter().cloned().collect(), None);
        }
        let names = names(service);
        let of_name = |name: &String| {
            self.0.iter().find_map(|layer| {
                Some((layer, layer.said.service.get(name)?.expect_ingress.as_ref()?))
            })
        };
        let of_all =
            || self.0.iter().find_map(|layer| Some((layer, layer.said.expect_ingress.as_ref()?)));
        match names.iter().find_map(of_name).or_else(of_all) {
            Some((layer, who)) => {
                (who.iter().map(|who| who.0.clone()).collect(), Some(&layer.file))
            }
            None => (Intent::default(), None),
        }
    }
}

impl Layer {
    fn read(file: PathBuf) -> Result<Layer> {
        let wrong = |what: String| UsageError(format!("{}: {what}", file.display()));
        let text = std::fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
        tracing::info!(file = plain(&file.display().to_string()), "configured by");
        let said: Said = toml::from_str(&text).map_err(|error| wrong(in_short(&text, &error)))?;
        // A repository that somebody cloned does not choose whose credentials are used.
        if said.defaults.profile.is_some() && file.ends_with(IN_DIRECTORY) {
            let own = "profile can only stand in your own configuration, or after --profile";
            return Err(wrong(own.to_owned()).into());
        }
        known(&text).map_err(wrong)?;
        Ok(Layer { file, said })
    }
}

/// Every name that a file has at its top: serde cannot refuse unknown ones beside those of
/// [`Defaults`].
fn known(text: &str) -> Result<(), String> {
    const NAMES: [&str; 8] =
        ["cluster", "region", "profile", "output", "detail", "expect-ingress", "accept", "service"];
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    match table.keys().find(|name| !NAMES.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let line = text.lines().position(|line| {
                line.trim_start().trim_start_matches('[').starts_with(name.as_str())
            });
            let line = line.map_or_else(String::new, |line| format!("line {}: ", line + 1));
            Err(format!("{line}unknown field `{name}`, expected one of {}", NAMES.join(", ")))
        }
    }
}

/// The names by which a file may mean a service, the nearest first.
fn names(service: &Service) -> [String; 2] {
    let cluster = service.cluster_arn.rsplit('/').next().unwrap_or_default();
    [format!("{cluster}/{}", service.service_name), service.service_name.clone()]
}

fn found() -> Vec<PathBuf> {
    let of_user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute());
    let of_user = of_user
        .or_else(|| Some(std::env::home_dir()?.join(".config")))
        .map(|folder| folder.join("ecs-doctor").join("config.toml"));
    let places = [Some(Path::new(".").join(IN_DIRECTORY)), of_user];
    places.into_iter().flatten().filter(|path| path.is_file()).collect()
}

/// One line, where the crate would draw the place.
fn in_short(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let message = error.message().lines().collect::<Vec<_>>().join(" ");
    line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service {
            service_name: "api".into(),
            cluster_arn: "arn:aws:ecs:eu-west-2:123456789012:cluster/prod".into(),
            ..Service::default()
        }
    }

    fn layers(texts: &[&str]) -> Config {
        let layer = |(number, text): (usize, &&str)| Layer {
            file: PathBuf::from(number.to_string()),
            said: toml::from_str(text).unwrap(),
        };
        Config(texts.iter().enumerate().map(layer).collect())
    }

    fn expected(text: &str, typed: &[&str]) -> Vec<String> {
        let typed: Vec<Expected> = typed.iter().map(|who| who.parse().unwrap()).collect();
        let config = layers(&[text]);
        let (intent, _) = config.intent(&service(), &typed);
        intent.expected().map(|who| who.to_string()).collect()
    }

    #[test]
    fn the_users_own_file_counts_where_the_directorys_says_nothing() {
        let said = |texts: &[&str]| {
            let config = layers(texts);
            let (intent, file) = config.intent(&service(), &[]);
            let who: Vec<String> = intent.expected().map(|who| who.to_string()).collect();
            (who.join(" "), file.map(|file| file.display().to_string()))
        };
        let (narrow, wide) = ("expect-ingress = ['10.0.0.0/8']", "expect-ingress = ['0.0.0.0/0']");
        let of_api = "[service.api]\nexpect-ingress = ['192.0.2.7']";
        assert_eq!(said(&[wide, narrow]), ("0.0.0.0/0".into(), Some("0".into())));
        assert_eq!(said(&["", narrow]), ("10.0.0.0/8".into(), Some("1".into())));
        assert_eq!(said(&[wide, of_api]), ("192.0.2.7/32".into(), Some("1".into())), "is nearer");
        assert_eq!(said(&[""]), (String::new(), None));
    }

    #[test]
    fn each_default_comes_from_the_nearest_file_that_has_it() {
        let near = "cluster = 'prod'\noutput = 'json'";
        let config = layers(&[near, "cluster = 'test'\ndetail = 'full'"]);
        let Defaults { cluster, output, detail, .. } = config.defaults();
        assert_eq!(cluster.as_deref(), Some("prod"));
        assert_eq!((output, detail), (Some(Format::Json), Some(DetailLevel::Full)));
    }

    #[test]
    fn a_risk_is_accepted_of_one_service_or_of_all() {
        let of = |text: &str| {
            let config = layers(&[text]);
            let accepted = config.accepted(&service());
            accepted.iter().map(|(accept, _)| accept.reason.clone()).collect::<Vec<_>>()
        };
        let accept = |service: &str| {
            format!(
                "[[accept]]\ncheck = 'single_task'\nreason = 'a demo'\nuntil = '2027-01-31'\n{service}"
            )
        };
        assert_eq!(of(&accept("")), ["a demo"]);
        assert_eq!(of(&accept("service = 'prod/api'")), ["a demo"]);
        assert_eq!(of(&accept("service = 'web'")), [""; 0]);
        let unknown = accept("").replace("single_task", "one_task");
        let error = toml::from_str::<Said>(&unknown).unwrap_err();
        assert!(error.message().contains("there is no check"), "{error}");
    }

    #[test]
    fn the_nearest_word_counts() {
        let text = "expect-ingress = ['0.0.0.0/0']\n[service.api]\nexpect-ingress = ['10.0.0.0/8']\n[service.'prod/api']\nexpect-ingress = ['192.0.2.7']";
        assert_eq!(expected(text, &[]), ["192.0.2.7/32"]);
        assert_eq!(expected(text, &["203.0.113.0/24"]), ["203.0.113.0/24"]);
        assert_eq!(
            expected(
                "expect-ingress = ['0.0.0.0/0']\n[service.'test/api']\nexpect-ingress = []",
                &[]
            ),
            ["0.0.0.0/0"]
        );
        assert_eq!(expected("", &[]), [""; 0]);
        assert_eq!(
            expected("expect-ingress = ['pl-3b927c52', '203.0.113.0/24']", &[]),
            ["203.0.113.0/24", "pl-3b927c52"]
        );
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line_with_its_place() {
        let said = |text: &str| in_short(text, &toml::from_str::<Said>(text).unwrap_err());
        assert_eq!(
            said("# who\nexpect-ingress = ['10.0.0.0/33']"),
            "line 2: \"10.0.0.0/33\" is neither an address, nor a CIDR block such as 203.0.113.0/24, nor a prefix list such as pl-3b927c52"
        );
        let unknown = known("\n\nexpect_ingress = []").unwrap_err();
        assert!(unknown.starts_with("line 3: unknown field `expect_ingress`"), "{unknown}");
        assert!(
            said("[service.api]\nexpect = []").contains("unknown field"),
            "{}",
            said("[service.api]\nexpect = []")
        );
    }
}
