//! Where the causes of a diagnosis stand on a way: a hop that a critical cause is about is bad,
//! whatever the hop by itself looks like. Which cause that is, the check has told.

use super::answer::{Answer, By};
use super::{Hop, HopKind, Mark, Path};
use crate::check::{Role, Severity};
use crate::diagnosis::{Diagnosis, Node, Standing};

impl Path {
    /// Marks the hops that critical causes are about. What they keep out before a target is chosen
    /// does not reach the app.
    pub fn mark(&mut self, diagnosis: &Diagnosis) {
        let causes = diagnosis.roots.iter().filter(|root| root.standing == Standing::Cause);
        for node in causes.flat_map(with_effects).filter(|node| is_critical_cause(node)) {
            if let Some(hop) = self.hop_of(node)
                && hop.mark == Mark::Good
            {
                hop.mark = Mark::Bad;
                hop.says.push_str(&format!(". {}", node.check.title));
                let stops =
                    !matches!(hop.kind, HopKind::TargetGroup | HopKind::Targets | HopKind::Tasks);
                if stops && matches!(self.answer.by, By::App | By::Both) {
                    let says = "only requests that get past what is marked reach the app";
                    self.answer = Answer::new(By::Unknown, None, says);
                }
            }
        }
    }

    /// The hop that a finding is about: its subject, or else the first thing of its scope.
    fn hop_of(&mut self, node: &Node) -> Option<&mut Hop> {
        let finding = &node.finding;
        let about = [finding.about.id.as_str()];
        let id = about
            .into_iter()
            .chain(finding.scope.ids())
            .find(|id| self.all_hops().any(|hop| hop.is_of(id)))?;
        let branches = self.branches.iter_mut().flat_map(|branch| &mut branch.hops);
        // A target group stands for its targets, which are the next hop.
        self.hops.iter_mut().chain(branches).filter(|hop| hop.is_of(id)).last()
    }
}

impl Hop {
    /// Whether it is where this thing is met. Security groups are met together.
    fn is_of(&self, id: &str) -> bool {
        self.id.as_deref().is_some_and(|own| own.split(", ").any(|own| own == id))
    }
}

fn is_critical_cause(node: &Node) -> bool {
    node.check.role == Role::Cause && node.check.severity == Severity::Critical
}

/// A finding and all that follows from it.
fn with_effects(node: &Node) -> Vec<&Node> {
    std::iter::once(node).chain(node.explains.iter().flat_map(with_effects)).collect()
}
