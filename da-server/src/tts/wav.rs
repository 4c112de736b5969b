//! The beginning of a WAV file (RIFF, WAVE): chunks of a name, a length and so many bytes, of which
//! `fmt ` says what the samples are that follow in `data`. Who streams does not know the lengths of the
//! file and of `data`, and writes 0 or more than ever comes. Where the latter is told, chunks behind it
//! are no samples.

/// What may stand before the first sample.
const MAX_HEADER_BYTES: usize = 4096;
/// From this length on `data` is as long as it happens to be: 0x7fffffff without headers of any size.
const UNKNOWN: usize = 0x7fff_0000;
/// `WAVE_FORMAT_PCM` and `WAVE_FORMAT_EXTENSIBLE`, of which the latter names the former again.
const PCM: [u16; 2] = [1, 0xfffe];
const FLOAT: u16 = 3;

/// Whether this is how such a file begins, as far as it goes.
pub(super) fn begins(head: &[u8]) -> bool {
    let agrees = |part: &[u8], name: &[u8]| part.iter().zip(name).all(|(one, other)| one == other);
    let kind = head.get(8..).unwrap_or_default();
    !head.is_empty() && agrees(head, b"RIFF") && agrees(kind, b"WAVE")
}

/// What a header says of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Samples {
    pub rate_hz: u32,
    /// Where they begin.
    pub at: usize,
    /// How many bytes of them there are; `None` if nobody knows yet.
    pub bytes: Option<usize>,
}

/// What the header says. `None` if there must be more of it.
///
/// # Errors
/// What it is, if not samples of 16 bits in one channel.
pub(super) fn header(head: &[u8]) -> Result<Option<Samples>, &'static str> {
    let mut rate_hz = None;
    let mut at = 12;
    while let Some(chunk) = head.get(at..at + 8) {
        let length = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]) as usize;
        at += 8;
        match &chunk[..4] {
            b"fmt " => {
                let Some(described) = head.get(at..at + 16) else { return unfinished(head) };
                rate_hz = Some(rate(described)?);
            }
            b"data" => {
                let rate_hz = rate_hz.ok_or("a WAV file that does not say what is in it")?;
                let bytes = (1..UNKNOWN).contains(&length).then_some(length);
                return Ok(Some(Samples { rate_hz, at, bytes }));
            }
            _ => {}
        }
        // Chunks begin at even bytes.
        at = at.saturating_add(length.saturating_add(length % 2));
        if at > MAX_HEADER_BYTES {
            return Err("a WAV file with a header without end");
        }
    }
    unfinished(head)
}

fn unfinished(head: &[u8]) -> Result<Option<Samples>, &'static str> {
    match head.len() {
        ..=MAX_HEADER_BYTES => Ok(None),
        _ => Err("a WAV file with a header without end"),
    }
}

fn rate(described: &[u8]) -> Result<u32, &'static str> {
    let word = |at: usize| u16::from_le_bytes([described[at], described[at + 1]]);
    let rate_hz = u32::from_le_bytes([described[4], described[5], described[6], described[7]]);
    match (word(0), word(2), word(14)) {
        (FLOAT, _, _) => Err("a WAV file of floating-point samples"),
        (kind, 1, 16) if PCM.contains(&kind) && rate_hz > 0 => Ok(rate_hz),
        (_, 1, _) => Err("a WAV file of other samples than those of 16 bits"),
        _ => Err("a WAV file of several channels"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header as it is streamed: nothing is known of the lengths.
    pub fn header(kind: u16, channels: u16, rate_hz: u32, bits: u16) -> Vec<u8> {
        let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
        header.extend(kind.to_le_bytes());
        header.extend(channels.to_le_bytes());
        header.extend(rate_hz.to_le_bytes());
        header.extend((rate_hz * u32::from(channels * bits / 8)).to_le_bytes());
        header.extend((channels * bits / 8).to_le_bytes());
        header.extend(bits.to_le_bytes());
        header.extend(b"data\xff\xff\xff\xff");
        header
    }

    #[test]
    fn says_the_rate_and_where_the_samples_begin() {
        let mut file = header(1, 1, 24_000, 16);
        let says = |at, bytes| Ok(Some(Samples { rate_hz: 24_000, at, bytes }));
        assert_eq!(super::header(&file), says(44, None));
        for (length, told) in [(0_u32, None), (600, Some(600)), (0x7fff_ffdb, None)] {
            let told_file = [&file[..40], &length.to_le_bytes()].concat();
            assert_eq!(super::header(&told_file), says(44, told));
        }
        for length in 0..file.len() {
            assert_eq!(super::header(&file[..length]), Ok(None), "{length}");
            assert_eq!(begins(&file[..length]), length > 0, "{length}");
        }
        let list = b"LIST\x05\0\0\0INFO!\0";
        file.splice(36..36, list.iter().copied());
        assert_eq!(super::header(&file), says(44 + list.len(), None));
    }

    #[test]
    fn says_what_it_is_if_nobody_can_play_it() {
        for (file, what) in [
            (header(3, 1, 24_000, 32), "floating-point"),
            (header(1, 2, 24_000, 16), "channels"),
            (header(1, 1, 24_000, 8), "16 bits"),
            (header(1, 1, 0, 16), "16 bits"),
        ] {
            let refusal = super::header(&file).expect_err("not playable");
            assert!(refusal.contains(what), "{refusal}");
        }
        let mut file = header(1, 1, 24_000, 16);
        file.drain(12..36);
        assert!(super::header(&file).expect_err("no format").contains("does not say"));
    }

    #[test]
    fn a_header_has_an_end() {
        let endless = [b"RIFF....WAVE".to_vec(), b"LIST\0\0\0\0".repeat(1000)].concat();
        assert!(super::header(&endless).expect_err("no end").contains("without end"));
        let far = [&b"RIFF....WAVELIST"[..], &[0xff; 4]].concat();
        assert!(super::header(&far).expect_err("no end").contains("without end"));
    }

    #[test]
    fn other_beginnings_are_none() {
        for other in [&b""[..], b"ID3", b"RIFX", b"RIFF....AVI LIST", b"\0\0"] {
            assert!(!begins(other), "{other:?}");
        }
    }
}
