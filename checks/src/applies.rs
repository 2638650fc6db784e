//! Which services a check is about: what used to be the first lines of many a `look`. A check names
//! it in `check!`, and the engine asks before the check looks; a condition of one check alone stays
//! in that check.

use crate::check::NoAnswer;
use crate::facts::deployment::rollout;
use crate::facts::inbound::traffic;
use crate::patient::Patient;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// Requests come in by a load balancer.
    BehindLoadBalancer,
    /// ECS itself replaces tasks: no CodeDeploy, no external controller.
    DeployedByEcs,
}

impl Applies {
    /// Nothing, or why the check has nothing to look at.
    pub fn ask(self, patient: &Patient) -> Result<(), NoAnswer> {
        let (holds, otherwise) = match self {
            Applies::BehindLoadBalancer => {
                (!traffic::groups(patient)?.is_empty(), "no load balancer")
            }
            Applies::DeployedByEcs => (rollout::ecs_controls(patient), rollout::OTHER_CONTROLLER),
        };
        if holds { Ok(()) } else { Err(NoAnswer::NotApplicable(otherwise)) }
    }
}
