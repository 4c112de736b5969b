//! Connections on which this side has not sent anything yet.
//!
//! Nobody can know yet whose they are, so the records that they take are bounded apart: otherwise as many
//! idle sockets, of whatever process, would keep all others from being followed. One for which there is no
//! room is followed from its first send on.

/// Index into the `SILENT` map: connections that became silent ones, less those that the programs saw send
/// something or end. Written by the programs alone.
pub const FOLLOWED: u32 = 0;
/// Those whose record da-server has removed. Written by da-server alone.
pub const REMOVED: u32 = 1;
/// Not 0 once a connection was not followed from its connect on, or let go of: only then is there one to
/// be looked for at its first send.
pub const ADOPTS: u32 = 2;
/// Entries of the map.
pub const WORDS: u32 = 3;

/// Of so many records, those that silent connections may take.
pub fn most(max_connections: u32) -> u32 {
    max_connections.div_ceil(2)
}

/// How many are followed, by two of the words. Two programs that see one connection end at the same time can
/// make it one less than there are.
pub fn followed(followed: u64, removed: u64) -> u64 {
    let followed = followed.wrapping_sub(removed);
    if followed.cast_signed() < 0 { 0 } else { followed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_records_may_be_silent_and_there_are_never_less_than_none() {
        assert_eq!([1, 2, 16_384, 16_385].map(most), [1, 1, 8_192, 8_193]);
        assert_eq!(followed(7, 3), 4);
        assert_eq!(followed(3, 4), 0, "one end was counted twice");
        assert_eq!(followed(1_u64.wrapping_sub(2), 0), 0);
    }
}
