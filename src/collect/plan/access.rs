//! What IAM says of roles that were refused something. Whoever has learned of failures calls here:
//! what was asked about once is not asked again.

use checks::facts::access::refusal;
use checks::patient::{Intent, Patient};
use futures::future::{join, join_all};

use super::Plan;

impl Plan<'_> {
    /// Asks about every refusal that the draft tells of by now.
    pub(super) async fn refusals(&self) {
        let mut questions = refusal::Questions::default();
        self.note(|snapshot| {
            let intent = Intent::default();
            questions = refusal::questions(&Patient::new(snapshot, self.service, &intent));
        });
        let roles = self.fresh("role", questions.roles);
        let keys = self.fresh("refusal", questions.refused);
        let roles = join_all(roles.iter().map(|name| async move {
            let role = self.aws.role(name).await;
            self.note(|snapshot| snapshot.roles.insert(name, role));
        }));
        let simulations = join_all(
            keys.iter().filter_map(|key| Some((key, refusal::Question::parse(key)?))).map(
                |(key, question)| async move {
                    let simulation = self.aws.simulation(&question).await;
                    self.note(|snapshot| snapshot.simulations.insert(key, simulation));
                },
            ),
        );
        join(roles, simulations).await;
    }
}
