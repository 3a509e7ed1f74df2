//! The guards by name, and setting them aside.

use std::str::FromStr;

use segport_manifest::Code;

/// A guard by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// More removals than allowed.
    MaxRemovals,
    /// A segment that grew more than allowed.
    MaxGrowth,
    /// A segment that shrank more than allowed.
    MaxShrink,
    /// More refused rows than allowed.
    MaxRefused,
    /// A segment without any row.
    AllowEmpty,
    /// Another account than that of earlier runs.
    AllowOtherAccount,
}

impl Guard {
    pub(crate) const ALL: [Self; 6] = [
        Self::MaxRemovals,
        Self::MaxGrowth,
        Self::MaxShrink,
        Self::MaxRefused,
        Self::AllowEmpty,
        Self::AllowOtherAccount,
    ];

    /// The name in the manifest and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxRemovals => "max_removals",
            Self::MaxGrowth => "max_growth",
            Self::MaxShrink => "max_shrink",
            Self::MaxRefused => "max_refused",
            Self::AllowEmpty => "allow_empty",
            Self::AllowOtherAccount => "allow_other_account",
        }
    }

    /// The code under which a run that it stopped reports so.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::MaxRemovals => Code::GuardMaxRemovals,
            Self::MaxGrowth => Code::GuardMaxGrowth,
            Self::MaxShrink => Code::GuardMaxShrink,
            Self::MaxRefused => Code::GuardMaxRefused,
            Self::AllowEmpty => Code::GuardAllowEmpty,
            Self::AllowOtherAccount => Code::GuardOtherAccount,
        }
    }
}

impl FromStr for Guard {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|guard| guard.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("there is no guard `{name}`; the guards are {names}")
        })
    }
}

/// What a user set aside for one run; the run keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// Guards that may not stop it.
    pub guards: Vec<Guard>,
    /// Who said so.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_manifest() {
        assert_eq!("max_refused".parse(), Ok(Guard::MaxRefused));
        assert_eq!("max_growth".parse(), Ok(Guard::MaxGrowth));
        assert!("max_refusals".parse::<Guard>().unwrap_err().contains("max_removals"));
    }
}
