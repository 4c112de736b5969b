//! Why turns are not in the database.

/// Why a turn is not in the database: `turns_not_kept_total{reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum NotKept {
    /// The database refused it, or could not be asked.
    Failed,
    /// The database did not confirm it in time: within the time that `persistence` gives it, or while a player
    /// who had left was still waited for.
    Late,
    /// The session has a newer connection.
    Replaced,
}

impl NotKept {
    /// Every value, for pre-creating series.
    pub(super) const ALL: [Self; 3] = [Self::Failed, Self::Late, Self::Replaced];

    /// The label value.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Replaced => "replaced",
        }
    }
}
