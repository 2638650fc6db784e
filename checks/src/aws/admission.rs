//! Whether something is let through: by a security group, a network ACL, a policy. Nobody may be
//! able to tell, and that is never a no.

/// Whether some rule lets traffic through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admission {
    No,
    /// Perhaps: by a prefix list whose entries are not known, or by addresses that may be the
    /// peer's.
    Unknown,
    Yes,
}
