//! What ecs-doctor knows. A [`snapshot::Snapshot`] holds everything AWS told us and everything it
//! would not; a [`patient::Patient`] is one service of it; a [`check::Check`] looks at a patient
//! and reports [`finding::Finding`]s, each with evidence; a [`diagnosis::Diagnosis`] puts whatever
//! explains before whatever is explained. All of it is pure: no SDK, no async, no clock, no I/O.
//! `aws` is the grammar of AWS's texts; `facts` work out once what several checks need to know;
//! `views` are what only the report asks; the catalog has one file a check.

pub mod applies;
pub mod aws;
pub mod baseline;
pub mod call;
pub mod catalog;
pub mod check;
pub mod command;
pub mod diagnosis;
pub mod exam;
pub mod facts;
pub mod finding;
pub mod hcl;
pub mod intent;
pub mod patient;
pub mod ruled_out;
pub mod seen;
pub mod snapshot;
pub mod symptom;
#[cfg(test)]
mod testing;
pub mod text;
pub mod views;
