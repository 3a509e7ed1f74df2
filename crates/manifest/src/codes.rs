//! Stable codes of everything Segport reports, and the page that explains each.

use std::fmt;

use segport_core::ErrorKind;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal;)+) => {
        /// What kind of problem a finding or an error is. Codes are never reused and never change their meaning.
        ///
        /// `SP01..` syntax and schema, `SP02..` references and mapping, `SP03..` secrets, consent and permissions,
        /// `SP04..` plugins, `SP05..` limits, guards and schedules, `SP06..` what goes wrong in a run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All codes, in ascending order.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            /// The code as it is shown, such as `SP0203`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The page that explains the code: cause, example and fix, in Markdown.
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("codes/", $number, ".md")),)+
                }
            }
        }
    };
}

codes! {
    /// A file is not valid TOML.
    Syntax = "SP0101";
    /// A file or directory cannot be read.
    Unreadable = "SP0102";
    /// The directory holds no `segport.toml`.
    NoProject = "SP0103";
    /// A key that does not exist.
    UnknownKey = "SP0104";
    /// A required key is missing.
    MissingKey = "SP0105";
    /// A value of the wrong type.
    WrongType = "SP0106";
    /// A number, text or array beyond its limits.
    OutOfRange = "SP0107";
    /// A value that is not among the possible ones.
    UnknownValue = "SP0108";
    /// A value of the right type that is not written as it must be.
    BadValue = "SP0109";
    /// A file name that cannot be an id.
    BadId = "SP0110";
    /// The same entry twice.
    DuplicateEntry = "SP0111";
    /// State cannot be kept at this address.
    StateUrl = "SP0112";
    /// A segment names a source that does not exist.
    UnknownSource = "SP0201";
    /// An export names a segment that does not exist.
    UnknownSegment = "SP0202";
    /// A segment has no such column.
    UnknownColumn = "SP0203";
    /// An export names a connection that does not exist.
    UnknownConnection = "SP0204";
    /// A field that the destination requires is not mapped.
    MissingField = "SP0205";
    /// The destination has no such field.
    UnknownField = "SP0206";
    /// The destination has no custom fields.
    NoCustomFields = "SP0207";
    /// A name that a custom field cannot have.
    CustomFieldName = "SP0208";
    /// A type that the destination's custom fields do not have.
    CustomFieldType = "SP0209";
    /// Two custom fields whose names differ only in case or spaces.
    SimilarCustomFields = "SP0210";
    /// An export names a segment twice.
    DuplicateSegment = "SP0211";
    /// The connector takes one segment per export.
    OneSegmentOnly = "SP0212";
    /// A transform that does not go with the field's type.
    TransformMismatch = "SP0213";
    /// A date format that cannot be used.
    BadDateFormat = "SP0214";
    /// No export has this id.
    UnknownExport = "SP0215";
    /// Two exports bring different segments to the same place, and one of them takes leavers away.
    SharedTarget = "SP0216";
    /// A secret is written into a file.
    SecretLiteral = "SP0301";
    /// A secret reference that is none.
    BadSecretReference = "SP0302";
    /// The environment variable of a secret is not set.
    SecretNotInEnvironment = "SP0303";
    /// The file of a secret cannot be read.
    SecretFileUnreadable = "SP0304";
    /// There is no such systemd credential.
    SecretCredentialMissing = "SP0305";
    /// A secret is empty.
    SecretEmpty = "SP0306";
    /// A connection's data-privacy text has not been accepted.
    NoConsent = "SP0307";
    /// A connection that these people may not use.
    NotPermitted = "SP0308";
    /// No installed plugin has this id.
    UnknownPlugin = "SP0401";
    /// A plugin of the other kind.
    WrongPluginKind = "SP0402";
    /// A plugin's own schema is unusable.
    BadPluginSchema = "SP0403";
    /// A plugin's file is not the one that was accepted.
    PluginChanged = "SP0404";
    /// A plugin directory that others can write to.
    PluginDirectoryUnsafe = "SP0405";
    /// A plugin cannot be loaded.
    PluginUnloadable = "SP0406";
    /// The file of accepted plugins cannot be read or written.
    LockFileUnusable = "SP0407";
    /// A cron expression that is none, or never comes.
    BadCron = "SP0501";
    /// No such time zone.
    UnknownTimeZone = "SP0502";
    /// A threshold that is neither a share nor a number of rows.
    BadThreshold = "SP0503";
    /// The guard `max_removals` stopped a run.
    GuardMaxRemovals = "SP0504";
    /// The guard `max_refused` stopped a run.
    GuardMaxRefused = "SP0505";
    /// The guard `allow_empty` stopped a run.
    GuardAllowEmpty = "SP0506";
    /// More rows than one run of the export sends.
    RowLimit = "SP0507";
    /// The guard `max_growth` stopped a run.
    GuardMaxGrowth = "SP0508";
    /// The guard `max_shrink` stopped a run.
    GuardMaxShrink = "SP0509";
    /// More segments than an export can have.
    SegmentLimit = "SP0510";
    /// The guard `allow_other_account` stopped a run.
    GuardOtherAccount = "SP0511";
    /// A segment cannot be read.
    SourceUnreadable = "SP0601";
    /// The state store cannot be used.
    LedgerUnavailable = "SP0602";
    /// Another run holds the export.
    ExportHeld = "SP0603";
    /// What a plan was made from has changed.
    PlanOutdated = "SP0604";
    /// A run's sums do not balance.
    Unbalanced = "SP0605";
    /// The destination rejected rows.
    RowsRefused = "SP0606";
    /// Nobody knows what became of rows.
    RowsUnknown = "SP0607";
    /// Rows were not tried.
    RowsDeferred = "SP0608";
    /// Something the connector says of a run.
    ConnectorNote = "SP0609";
    /// Members stay on a list that an export no longer writes to.
    SegmentMoved = "SP0610";
    /// Settings or a mapping that the plugin does not accept.
    ConfigInvalid = "SP0611";
    /// The destination does not know the credential.
    Unauthenticated = "SP0612";
    /// The credential may not do this.
    PermissionDenied = "SP0613";
    /// The thing named does not exist at the destination.
    NotFound = "SP0614";
    /// The destination asks for fewer calls.
    RateLimited = "SP0615";
    /// The destination rejected a request.
    Rejected = "SP0616";
    /// The destination cannot be reached.
    Unavailable = "SP0617";
    /// No answer came in time.
    Timeout = "SP0618";
    /// The run was interrupted.
    Cancelled = "SP0619";
    /// The plugin does not offer this.
    Unsupported = "SP0620";
    /// The plugin broke the rules of the plugin boundary.
    Contract = "SP0621";
    /// A defect in Segport or in a plugin.
    Internal = "SP0622";
    /// Rows in doubt turned out to be at the destination.
    RowsFound = "SP0623";
    /// The list of a first run has members already.
    ListHasMembers = "SP0624";
    /// Rows of several segments have one identity under different keys.
    OtherKeys = "SP0625";
    /// A leaver is the same contact as somebody who is still in the segment.
    SharedContact = "SP0626";
    /// No row of any segment can be sent as it is.
    NothingUsable = "SP0627";
    /// A list on which people were put is gone, and another one takes its place.
    ListReplaced = "SP0628";
}

impl Code {
    /// The code under which an error of that kind is reported in a run.
    pub fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ConfigInvalid => Self::ConfigInvalid,
            ErrorKind::Unauthenticated => Self::Unauthenticated,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::RateLimited => Self::RateLimited,
            ErrorKind::Rejected => Self::Rejected,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Contract => Self::Contract,
            _ => Self::Internal,
        }
    }

    /// The code that is shown as `text`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The page of a code, such as `SP0203` (in any case): cause, example and fix, in Markdown.
pub fn explain(code: &str) -> Option<&'static str> {
    Code::parse(code).map(Code::page)
}
