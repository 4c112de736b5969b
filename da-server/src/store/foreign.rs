//! Refuses databases of other applications.

/// sqlx writes down there which migrations were applied.
const OUR_RECORD: &str = "_sqlx_migrations";

/// Refuses a database that has tables, and no record that this program has made any. Another program's
/// record, if that uses sqlx as well, is refused by its checksums, before anything is changed.
///
/// # Errors
/// Names one of the tables and what to do.
pub(super) fn refuse_foreign(tables: Vec<String>) -> Result<(), sqlx::Error> {
    let is_ours = tables.is_empty() || tables.iter().any(|table| table == OUR_RECORD);
    if is_ours {
        return Ok(());
    }
    let table = &tables[0];
    let why = format!(
        "it has tables of another application, such as {table}, and was left as it is: give the \
         server a database, or a schema, of its own"
    );
    Err(sqlx::Error::Configuration(why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_database_or_our_own_is_used() {
        let refused = |tables: &[&str]| {
            refuse_foreign(tables.iter().map(|table| (*table).to_owned()).collect()).is_err()
        };
        assert!(!refused(&[]));
        assert!(!refused(&["_sqlx_migrations", "sessions", "turns"]));
        assert!(refused(&["sessions"]));
        assert!(refused(&["customers", "orders"]));
    }
}
