//! What kind of mistake an error is, as PostgreSQL's clients tell them apart.
//!
//! Guarantees: every error has a class, and every class one SQLSTATE.
//! Left out: whose fault it is, which is [`crate::Fault`]'s.

/// The kind of an error, after PostgreSQL's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorClass {
    /// None of the others: what is asked for cannot be done.
    #[default]
    Refused,
    /// The text is no SQL.
    Syntax,
    /// No such table or view.
    UndefinedTable,
    /// No such column.
    UndefinedColumn,
    /// No such function, or not for these arguments.
    UndefinedFunction,
    /// No such schema.
    UndefinedSchema,
    /// No such parameter.
    UndefinedParameter,
    /// No such prepared statement.
    UndefinedStatement,
    /// No such cursor.
    UndefinedCursor,
    /// No such savepoint.
    UndefinedSavepoint,
    /// No such setting, pipeline or other thing.
    UndefinedObject,
    /// More than one thing of that name.
    Ambiguous,
    /// There is a table of that name.
    DuplicateTable,
    /// There is a schema of that name.
    DuplicateSchema,
    /// Two columns of one name.
    DuplicateColumn,
    /// There is a cursor of that name.
    DuplicateCursor,
    /// There is a prepared statement of that name.
    DuplicateStatement,
    /// There is another thing of that name.
    DuplicateObject,
    /// Other things stand on it.
    DependentObjects,
    /// It is a table or view of the wrong kind.
    WrongObject,
    /// Types do not fit each other.
    TypeMismatch,
    /// A column that is neither grouped by nor aggregated.
    Grouping,
    /// Division by zero.
    DivisionByZero,
    /// A number does not fit its type.
    OutOfRange,
    /// A text is no value of its type.
    InvalidText,
    /// A text is no date or time.
    InvalidDatetime,
    /// Bytes that are no value of their type.
    InvalidBinary,
    /// No value where there must be one.
    NullNotAllowed,
    /// A value that a setting or function does not take.
    InvalidParameter,
    /// A setting that nobody changes.
    CannotChange,
    /// What `COPY` reads is not in its format.
    BadCopy,
    /// PostgreSQL's, and not here.
    NotSupported,
    /// The transaction has failed.
    FailedTransaction,
    /// There is no transaction.
    NoTransaction,
    /// Not within a transaction.
    InTransaction,
    /// The transaction only reads.
    ReadOnly,
    /// Somebody asked for it to end, or its time is up.
    Cancelled,
    /// More than a limit of this server allows.
    TooMany,
    /// More memory than there is.
    OutOfMemory,
    /// The client broke the protocol.
    Protocol,
    /// The server is stopping.
    Stopping,
    /// Something around us that does not work.
    System,
    /// Our own mistake.
    Internal,
}

impl ErrorClass {
    /// PostgreSQL's five characters for it.
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::Refused => "42000",
            Self::Syntax => "42601",
            Self::UndefinedTable => "42P01",
            Self::UndefinedColumn => "42703",
            Self::UndefinedFunction => "42883",
            Self::UndefinedSchema => "3F000",
            Self::UndefinedParameter => "42P02",
            Self::UndefinedStatement => "26000",
            Self::UndefinedCursor => "34000",
            Self::UndefinedSavepoint => "3B001",
            Self::UndefinedObject => "42704",
            Self::Ambiguous => "42702",
            Self::DuplicateTable => "42P07",
            Self::DuplicateSchema => "42P06",
            Self::DuplicateColumn => "42701",
            Self::DuplicateCursor => "42P03",
            Self::DuplicateStatement => "42P05",
            Self::DuplicateObject => "42710",
            Self::DependentObjects => "2BP01",
            Self::WrongObject => "42809",
            Self::TypeMismatch => "42804",
            Self::Grouping => "42803",
            Self::DivisionByZero => "22012",
            Self::OutOfRange => "22003",
            Self::InvalidText => "22P02",
            Self::InvalidDatetime => "22007",
            Self::InvalidBinary => "22P03",
            Self::NullNotAllowed => "23502",
            Self::InvalidParameter => "22023",
            Self::CannotChange => "55P02",
            Self::BadCopy => "22P04",
            Self::NotSupported => "0A000",
            Self::FailedTransaction => "25P02",
            Self::NoTransaction => "25P01",
            Self::InTransaction => "25001",
            Self::ReadOnly => "25006",
            Self::Cancelled => "57014",
            Self::TooMany => "53300",
            Self::OutOfMemory => "53200",
            Self::Protocol => "08P01",
            Self::Stopping => "57P01",
            Self::System => "58000",
            Self::Internal => "XX000",
        }
    }

    /// The kind that a message of the engine's, or of ours without a kind, tells of.
    pub(crate) fn of_message(message: &str) -> Self {
        let has = |part: &str| message.contains(part);
        let starts = |part: &str| message.starts_with(part);
        match () {
            () if has("division by zero") || has("divide by zero") => Self::DivisionByZero,
            () if starts("table \"") && has("does not exist") => Self::UndefinedTable,
            () if starts("table \"") && has("already exists") => Self::DuplicateTable,
            () if starts("schema \"") && has("does not exist") => Self::UndefinedSchema,
            () if starts("column \"") && has("does not exist") => Self::UndefinedColumn,
            () if has("is ambiguous") => Self::Ambiguous,
            () if starts("function ") && has("does not exist") => Self::UndefinedFunction,
            () if has("does not exist") => Self::UndefinedObject,
            () if has("already exists") => Self::DuplicateObject,
            () if starts("not supported") => Self::NotSupported,
            () if has("ut of range") || has("overflow") => Self::OutOfRange,
            () if has("timestamp from") || has("to date32") || has("Date32") => {
                Self::InvalidDatetime
            }
            () if has("annot cast string") || has("invalid input syntax") => Self::InvalidText,
            () if has("GROUP BY") || has("group by") => Self::Grouping,
            () if has("No function matches") || has("no function matches") => {
                Self::UndefinedFunction
            }
            () if has("annot coerce") || has("annot cast") || has("annot infer common") => {
                Self::TypeMismatch
            }
            () => Self::Refused,
        }
    }
}
