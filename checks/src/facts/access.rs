//! Who may do what: roles, and what IAM refused them.

pub mod refusal;
