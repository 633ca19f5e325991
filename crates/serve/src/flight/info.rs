//! What the server can do, as drivers ask for it: `SqlInfo` and the types there are.
//!
//! Guarantees: every number that the JDBC driver reads has an answer; 0 is "no limit that is known".
//! Left out: lists of functions, which `information_schema` is to have.

use super::FlightLimits;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions,
    SupportedSqlGrammar, XdbcDataType, XdbcDatetimeSubcode,
};

/// Both tables, made once.
pub(super) struct Info {
    server: SqlInfoData,
    types: XdbcTypeInfoData,
}

impl Info {
    pub(super) fn new(limits: &FlightLimits) -> Result<Self, FlightError> {
        let mut types = XdbcTypeInfoDataBuilder::new();
        for info in TYPES.iter().map(described) {
            types.append(info);
        }
        Ok(Self { server: server(limits)?, types: types.build()? })
    }

    pub(super) fn server(&self, asked: Vec<u32>) -> Result<RecordBatch, FlightError> {
        self.server.record_batch(asked)
    }

    pub(super) fn server_schema(&self) -> SchemaRef {
        self.server.schema()
    }

    pub(super) fn types_schema(&self) -> SchemaRef {
        self.types.schema()
    }

    pub(super) fn types(&self, data_type: Option<i32>) -> Result<RecordBatch, FlightError> {
        self.types.record_batch(data_type)
    }
}

fn server(limits: &FlightLimits) -> Result<SqlInfoData, FlightError> {
    let mut info = SqlInfoDataBuilder::new();
    let timeout_ms = i32::try_from(limits.statement_timeout.as_millis()).unwrap_or(i32::MAX);
    info.append(SqlInfo::FlightSqlServerName, "Tradewind");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.5");
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, timeout_ms);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
    for (name, yes) in FLAGS {
        info.append(*name, *yes);
    }
    for (name, text) in TEXTS {
        info.append(*name, *text);
    }
    for (name, words) in LISTS {
        info.append(*name, *words);
    }
    for (name, number) in numbers() {
        info.append(name, number);
    }
    for name in UNLIMITED {
        info.append(*name, 0_i64);
    }
    info.build()
}

const FLAGS: &[(SqlInfo, bool)] = &[
    (SqlInfo::FlightSqlServerReadOnly, false),
    (SqlInfo::FlightSqlServerSql, true),
    (SqlInfo::FlightSqlServerSubstrait, false),
    (SqlInfo::FlightSqlServerCancel, true),
    (SqlInfo::FlightSqlServerBulkIngestion, false),
    (SqlInfo::FlightSqlServerIngestTransactionsSupported, false),
    (SqlInfo::SqlDdlCatalog, false),
    (SqlInfo::SqlDdlSchema, false),
    (SqlInfo::SqlDdlTable, true),
    (SqlInfo::SqlAllTablesAreSelectable, true),
    (SqlInfo::SqlSupportsColumnAliasing, true),
    (SqlInfo::SqlNullPlusNullIsNull, true),
    (SqlInfo::SqlSupportsTableCorrelationNames, true),
    (SqlInfo::SqlSupportsDifferentTableCorrelationNames, false),
    (SqlInfo::SqlSupportsExpressionsInOrderBy, true),
    (SqlInfo::SqlSupportsOrderByUnrelated, true),
    (SqlInfo::SqlSupportsLikeEscapeClause, true),
    (SqlInfo::SqlSupportsNonNullableColumns, true),
    (SqlInfo::SqlSupportsIntegrityEnhancementFacility, false),
    (SqlInfo::SqlCatalogAtStart, true),
    (SqlInfo::SqlSelectForUpdateSupported, false),
    (SqlInfo::SqlStoredProceduresSupported, false),
    (SqlInfo::SqlCorrelatedSubqueriesSupported, true),
    (SqlInfo::SqlMaxRowSizeIncludesBlobs, true),
    (SqlInfo::SqlTransactionsSupported, false),
    (SqlInfo::SqlDataDefinitionCausesTransactionCommit, false),
    (SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false),
];

const TEXTS: &[(SqlInfo, &str)] = &[
    (SqlInfo::SqlIdentifierQuoteChar, "\""),
    (SqlInfo::SqlSearchStringEscape, "\\"),
    (SqlInfo::SqlExtraNameCharacters, ""),
    (SqlInfo::SqlSchemaTerm, "schema"),
    (SqlInfo::SqlProcedureTerm, "procedure"),
    (SqlInfo::SqlCatalogTerm, "catalog"),
];

/// Words beside the standard's, and functions by their kind as ODBC names them.
const LISTS: &[(SqlInfo, &[&str])] = &[
    (SqlInfo::SqlKeywords, &["ILIKE", "LIMIT", "MATERIALIZED", "OFFSET", "PIPELINE", "SUBSCRIBE"]),
    (
        SqlInfo::SqlNumericFunctions,
        &["ABS", "CEIL", "EXP", "FLOOR", "LN", "LOG", "POWER", "ROUND", "SIGN", "SQRT", "TRUNC"],
    ),
    (
        SqlInfo::SqlStringFunctions,
        &[
            "CONCAT", "LEFT", "LENGTH", "LOWER", "LTRIM", "REPLACE", "RIGHT", "RTRIM", "SUBSTR",
            "UPPER",
        ],
    ),
    (SqlInfo::SqlSystemFunctions, &["COALESCE", "NULLIF"]),
    (SqlInfo::SqlDatetimeFunctions, &["CURRENT_DATE", "DATE_PART", "DATE_TRUNC", "EXTRACT", "NOW"]),
];

/// Choices and sets of bits.
fn numbers() -> [(SqlInfo, i32); 15] {
    let bits = |choices: &[i32]| choices.iter().fold(0, |all, choice| all | 1 << choice);
    let lower = SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32;
    let kept = SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32;
    let groups = [SqlSupportedGroupBy::SqlGroupByUnrelated as i32];
    let unions = [SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32];
    let grammar = [SupportedSqlGrammar::SqlMinimumGrammar as i32];
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32,
    ];
    [
        (SqlInfo::SqlIdentifierCase, lower),
        (SqlInfo::SqlQuotedIdentifierCase, kept),
        (SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32),
        (SqlInfo::SqlSupportedGroupBy, bits(&groups)),
        (SqlInfo::SqlSupportedGrammar, bits(&grammar)),
        // ANSI 92 at its entry level.
        (SqlInfo::SqlAnsi92SupportedLevel, 1),
        // All of them: the first three bits.
        (SqlInfo::SqlOuterJoinsSupportLevel, 0b111),
        (SqlInfo::SqlSchemasSupportedActions, 0),
        (SqlInfo::SqlCatalogsSupportedActions, 0),
        (SqlInfo::SqlSupportedPositionedCommands, 0),
        (SqlInfo::SqlSupportedSubqueries, bits(&subqueries)),
        (SqlInfo::SqlSupportedUnions, bits(&unions)),
        (SqlInfo::SqlSupportedTransactionsIsolationLevels, 1),
        // Forward only, read only.
        (SqlInfo::SqlSupportedResultSetTypes, 0b10),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, 0b10),
    ]
}

/// Of 64 bits and 0: no limit that is known, and no isolation of transactions.
const UNLIMITED: &[SqlInfo] = &[
    SqlInfo::SqlDefaultTransactionIsolation,
    SqlInfo::SqlMaxBinaryLiteralLength,
    SqlInfo::SqlMaxCharLiteralLength,
    SqlInfo::SqlMaxColumnNameLength,
    SqlInfo::SqlMaxColumnsInGroupBy,
    SqlInfo::SqlMaxColumnsInIndex,
    SqlInfo::SqlMaxColumnsInOrderBy,
    SqlInfo::SqlMaxColumnsInSelect,
    SqlInfo::SqlMaxColumnsInTable,
    SqlInfo::SqlMaxConnections,
    SqlInfo::SqlMaxCursorNameLength,
    SqlInfo::SqlMaxIndexLength,
    SqlInfo::SqlDbSchemaNameLength,
    SqlInfo::SqlMaxProcedureNameLength,
    SqlInfo::SqlMaxCatalogNameLength,
    SqlInfo::SqlMaxRowSize,
    SqlInfo::SqlMaxStatementLength,
    SqlInfo::SqlMaxStatements,
    SqlInfo::SqlMaxTableNameLength,
    SqlInfo::SqlMaxTablesInSelect,
    SqlInfo::SqlMaxUsernameLength,
];

/// A type: its name, ODBC's number, its size, its literals' ends, and the radix of its digits.
type Described = (&'static str, XdbcDataType, i32, Option<&'static str>, Option<i32>);

const TYPES: &[Described] = &[
    ("boolean", XdbcDataType::XdbcBit, 1, None, None),
    ("smallint", XdbcDataType::XdbcSmallint, 5, None, Some(10)),
    ("integer", XdbcDataType::XdbcInteger, 10, None, Some(10)),
    ("bigint", XdbcDataType::XdbcBigint, 19, None, Some(10)),
    ("real", XdbcDataType::XdbcReal, 24, None, Some(2)),
    ("double precision", XdbcDataType::XdbcDouble, 53, None, Some(2)),
    ("numeric", XdbcDataType::XdbcDecimal, 38, None, Some(10)),
    ("text", XdbcDataType::XdbcVarchar, 0, Some("'"), None),
    ("bytea", XdbcDataType::XdbcVarbinary, 0, Some("'"), None),
    ("date", XdbcDataType::XdbcDate, 10, Some("'"), None),
    ("timestamp", XdbcDataType::XdbcTimestamp, 26, Some("'"), None),
];

fn described((name, data_type, size, quote, radix): &Described) -> XdbcTypeInfo {
    // Flight SQL gives a date and a year the same number.
    let time = match data_type {
        XdbcDataType::XdbcDate => Some(XdbcDatetimeSubcode::XdbcSubcodeYear),
        XdbcDataType::XdbcTimestamp => Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        _ => None,
    };
    let exact = *data_type == XdbcDataType::XdbcDecimal;
    XdbcTypeInfo {
        type_name: name.to_string(),
        data_type: *data_type,
        column_size: (*size > 0).then_some(*size),
        literal_prefix: quote.map(str::to_string),
        literal_suffix: quote.map(str::to_string),
        create_params: exact.then(|| vec!["precision".into(), "scale".into()]),
        nullable: Nullable::NullabilityNullable,
        case_sensitive: *data_type == XdbcDataType::XdbcVarchar,
        searchable: Searchable::Full,
        unsigned_attribute: radix.map(|_| false),
        fixed_prec_scale: false,
        auto_increment: radix.map(|_| false),
        local_type_name: Some(name.to_string()),
        minimum_scale: exact.then_some(0),
        maximum_scale: exact.then_some(38),
        sql_data_type: *data_type,
        datetime_subcode: time,
        num_prec_radix: *radix,
        interval_precision: None,
    }
}
