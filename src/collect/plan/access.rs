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
        let roles = roles.iter().map(|name| self.keep(|s| &mut s.roles, name, self.aws.role(name)));
        let simulations = join_all(
            keys.iter().filter_map(|key| Some((key, refusal::Question::parse(key)?))).map(
                |(key, question)| async move {
                    let simulation = self.aws.simulation(&question);
                    self.keep(|s| &mut s.simulations, key, simulation).await;
                },
            ),
        );
        join(join_all(roles), simulations).await;
    }
}
