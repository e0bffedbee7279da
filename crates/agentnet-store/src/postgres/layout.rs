//! Layout of the message history in tables (docs/SCALING.md).

/// Whether the history is one table, or one table a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Whole,
    Monthly,
}

/// Selects whether the history is one table a month.
pub(super) const IS_MONTHLY: &str =
    "SELECT EXISTS (SELECT 1 FROM pg_class WHERE oid = to_regclass('agent_messages') AND relkind = 'p')";
