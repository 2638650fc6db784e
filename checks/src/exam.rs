//! How one check went for one patient. The engine here is the only place that calls a check: it
//! keeps what was found before a check went blind, and a check that crashes takes nothing else with
//! it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use schemars::JsonSchema;
use serde::Serialize;

use crate::call::Call;
use crate::check::{Check, Findings, NoAnswer};
use crate::finding::Finding;
use crate::patient::Patient;
use crate::seen::Blind;

/// How a check ended, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It found its trouble, though perhaps not everywhere it wanted to look.
    Sick,
    /// It panicked: our bug.
    Crashed,
    CouldNotLook,
    /// And why, in a few words.
    NotApplicable(&'static str),
    Healthy,
}

/// How a check ended, the most telling first; without why it did not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It found its trouble, though perhaps not everywhere it wanted to look.
    Sick,
    /// It panicked: a bug of the program.
    Crashed,
    /// A call that it needs was not answered, and what it did see is fine.
    CouldNotLook,
    /// The service has nothing for it to look at.
    NotApplicable,
    /// It looked everywhere, and found nothing.
    Healthy,
}

impl Outcome {
    pub fn ended(self) -> Ended {
        match self {
            Outcome::Sick => Ended::Sick,
            Outcome::Crashed => Ended::Crashed,
            Outcome::CouldNotLook => Ended::CouldNotLook,
            Outcome::NotApplicable(_) => Ended::NotApplicable,
            Outcome::Healthy => Ended::Healthy,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Exam {
    pub check: &'static Check,
    pub outcome: Outcome,
    pub findings: Vec<Finding>,
    /// What it could not see, each call once.
    pub missed: Vec<Blind>,
    /// Every call whose answer it read.
    pub read: Vec<Call>,
    /// Whether what was seen rules out the trouble that it could not look for.
    pub ruled_out: bool,
}

pub fn examine(check: &'static Check, patient: &Patient) -> Exam {
    patient.forget_reads();
    let mut findings = Findings::default();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        check.applies.iter().try_for_each(|condition| condition.ask(patient))?;
        (check.look)(patient, &mut findings)
    }));
    let Findings { found, hidden: mut missed } = findings;
    let clean = match ended {
        Ok(Ok(())) => Outcome::Healthy,
        Ok(Err(NoAnswer::NotApplicable(why))) => Outcome::NotApplicable(why),
        Ok(Err(NoAnswer::CouldNotLook(blind))) => {
            missed.push(blind);
            Outcome::CouldNotLook
        }
        Err(_) => Outcome::Crashed,
    };
    missed.sort();
    missed.dedup_by(|a, b| a.call == b.call);
    let outcome = match clean {
        _ if !found.is_empty() => Outcome::Sick,
        Outcome::Crashed => Outcome::Crashed,
        _ if !missed.is_empty() => Outcome::CouldNotLook,
        other => other,
    };
    let read = patient.reads();
    let ruled_out = outcome == Outcome::CouldNotLook
        && check.ruled_out_by.is_some_and(|fact| fact.holds(patient));
    Exam { check, outcome, findings: found, missed, read, ruled_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Look;
    use crate::seen::Why;
    use crate::snapshot::{Service, Snapshot};
    use crate::testing::{self, made, trouble};

    const NO_BALANCER: NoAnswer = NoAnswer::NotApplicable("no load balancer");

    fn denied(call: Call) -> Blind {
        Blind { call, why: Why::Denied("no".into()) }
    }

    fn exam(look: Look) -> Exam {
        let service = Service { service_arn: "arn".into(), ..Service::default() };
        let snapshot = Snapshot { services: vec![service], ..Snapshot::default() };
        testing::exam(Check { look, ..made("a_check") }, &snapshot)
    }

    fn calls(blind: &[Blind]) -> Vec<Call> {
        blind.iter().map(|blind| blind.call).collect()
    }

    #[test]
    fn a_check_that_finds_nothing_is_told_by_its_end() {
        for (look, outcome) in [
            ((|_, _| Ok(())) as Look, Outcome::Healthy),
            (|_, _| Err(NO_BALANCER), Outcome::NotApplicable("no load balancer")),
            (|_, _| Err(denied(Call::DescribeTasks).into()), Outcome::CouldNotLook),
            (|_, _| panic!("a bug"), Outcome::Crashed),
        ] {
            let exam = exam(look);
            assert_eq!(exam.outcome, outcome);
            assert!(exam.findings.is_empty());
            let missed: &[Call] = match outcome {
                Outcome::CouldNotLook => &[Call::DescribeTasks],
                _ => &[],
            };
            assert_eq!(calls(&exam.missed), missed, "{outcome:?}");
        }
    }

    #[test]
    fn what_was_found_before_the_end_is_kept() {
        for look in [
            (|_, findings| {
                findings.add(trouble("first"));
                Ok(())
            }) as Look,
            |_, findings| {
                findings.add(trouble("first"));
                Err(NO_BALANCER)
            },
            |_, findings| {
                findings.add(trouble("first"));
                Err(denied(Call::DescribeTasks).into())
            },
            |_, findings| {
                findings.add(trouble("first"));
                panic!("a bug")
            },
        ] {
            let exam = exam(look);
            assert_eq!(exam.outcome, Outcome::Sick);
            assert_eq!(exam.findings, [trouble("first")]);
        }
    }

    #[test]
    fn what_a_sick_check_could_not_see_is_told_too() {
        let exam = exam(|_, findings| {
            findings.add(trouble("first"));
            assert_eq!(findings.see::<()>(Err(denied(Call::DescribeSubnets))), None);
            Err(denied(Call::DescribeTasks).into())
        });
        assert_eq!(exam.outcome, Outcome::Sick);
        assert_eq!(calls(&exam.missed), [Call::DescribeTasks, Call::DescribeSubnets]);
    }

    #[test]
    fn a_check_from_which_something_was_hidden_could_not_look() {
        let hidden: [Look; 2] = [
            |_, findings| {
                findings.see::<()>(Err(denied(Call::DescribeSubnets)));
                Ok(())
            },
            |_, findings| {
                findings.see::<()>(Err(denied(Call::DescribeSubnets)));
                Err(NO_BALANCER)
            },
        ];
        for look in hidden {
            let exam = exam(look);
            assert_eq!(exam.outcome, Outcome::CouldNotLook);
            assert_eq!(calls(&exam.missed), [Call::DescribeSubnets]);
        }
        let crashed = exam(|_, findings| {
            findings.see::<()>(Err(denied(Call::DescribeSubnets)));
            panic!("a bug")
        });
        assert_eq!(crashed.outcome, Outcome::Crashed, "our bug is the graver news");
    }

    #[test]
    fn what_is_seen_is_handed_on_and_nothing_is_noted() {
        let exam = exam(|_, findings| {
            assert_eq!(findings.see(Ok(7)), Some(7));
            Ok(())
        });
        assert_eq!((exam.outcome, exam.missed), (Outcome::Healthy, vec![]));
    }

    #[test]
    fn each_call_is_missed_once() {
        let exam = exam(|_, findings| {
            for call in [Call::DescribeSubnets, Call::DescribeTasks, Call::DescribeSubnets] {
                findings.see::<()>(Err(denied(call)));
            }
            Err(Blind { call: Call::DescribeTasks, why: Why::Declined }.into())
        });
        assert_eq!(calls(&exam.missed), [Call::DescribeTasks, Call::DescribeSubnets]);
    }

    #[test]
    fn an_exam_tells_what_this_check_read_and_no_other_one() {
        let snapshot = Snapshot { services: vec![Service::default()], ..Snapshot::default() };
        let intent = crate::patient::Intent::default();
        let patient = Patient::new(&snapshot, &snapshot.services[0], &intent);
        let check = |look| Box::leak(Box::new(Check { look, ..made("a_check") }));
        let reader = check(|patient, _| {
            patient.subnet("subnet-1")?;
            Ok(())
        });
        assert_eq!(examine(reader, &patient).read, [Call::DescribeSubnets]);
        assert_eq!(examine(check(|_, _| Ok(())), &patient).read, []);
    }

    #[test]
    fn each_outcome_has_its_word() {
        let outcomes = [
            Outcome::Sick,
            Outcome::Crashed,
            Outcome::CouldNotLook,
            Outcome::NotApplicable("no load balancer"),
            Outcome::Healthy,
        ];
        assert_eq!(
            outcomes.each_ref().map(|outcome| serde_json::to_value(outcome.ended()).unwrap()),
            ["sick", "crashed", "could_not_look", "not_applicable", "healthy"]
        );
    }
}
