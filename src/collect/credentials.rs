//! Whose account is asked. Credentials come before everything else: a login, a code from a phone or
//! a slow helper may take longer than AWS's answers, and what is wrong with them is not AWS's
//! fault. A profile that the user names wins over whatever is in the environment, as in AWS's own
//! tools.

use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};

use super::{ask, progress};

/// As long as somebody may need to find the phone.
const PATIENCE: Duration = Duration::from_secs(120);

/// Those of a profile, and of no other place.
pub fn of_profile(profile: &str, region: Option<&str>) -> ProfileFileCredentialsProvider {
    let config = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_region(region.map(|region| Region::new(region.to_owned())));
    ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build()
}

/// The configuration with credentials that are there, or why there are none.
pub async fn resolved(config: SdkConfig, profile: Option<&str>) -> Result<SdkConfig, String> {
    let Some(provider) = config.credentials_provider() else {
        return Err("there is no place to look for credentials".into());
    };
    let of = profile.map_or_else(String::new, |profile| format!(" of profile {profile}"));
    let waiting = || format!("waiting for the credentials{of}");
    let asked = tokio::time::timeout(PATIENCE, provider.provide_credentials());
    let credentials = progress::beside(asked, waiting)
        .await
        .map_err(|_| format!("none came{of} within {} s", PATIENCE.as_secs()))?
        .map_err(|error| explain(&error, profile))?;
    let provider = SharedCredentialsProvider::new(credentials);
    Ok(config.into_builder().credentials_provider(provider).build())
}

fn explain(error: &CredentialsError, profile: Option<&str>) -> String {
    let said = ask::root_of(error);
    match profile {
        Some(profile) if said.contains("was not defined") => {
            format!("there is no profile {profile} in the AWS configuration")
        }
        Some(profile) if matches!(error, CredentialsError::CredentialsNotLoaded(_)) => {
            format!("profile {profile} has none: {said}")
        }
        Some(profile) => format!("profile {profile}: {said}"),
        None => ask::in_short(error),
    }
}
