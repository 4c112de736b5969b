//! Audio in frames that begin with eleven or twelve bits of ones: MP3 and AAC (ADTS). Bare samples may
//! begin like a frame, but hardly have another one where the first says that it ends.

/// What frames audio begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    None,
    /// More of it tells.
    TooShort,
    Mp3,
    Aac,
}

/// As much of a frame's header as is looked at.
pub(super) const HEADER_BYTES: usize = 6;

type Header = [u8; HEADER_BYTES];

/// How long the frame of a header is, if it is one of this kind.
type FrameBytes = fn(&Header) -> Option<usize>;

/// What the beginning of some audio says, by the headers of its first two frames.
pub(super) fn begin(head: &[u8]) -> Frames {
    match head {
        [] | [0xff] => return Frames::TooShort,
        [0xff, second, ..] if second & 0xe0 == 0xe0 => {}
        _ => return Frames::None,
    }
    let Some(first) = head.first_chunk() else { return Frames::TooShort };
    let kinds: [(FrameBytes, Frames); 2] = [(mp3_bytes, Frames::Mp3), (aac_bytes, Frames::Aac)];
    for (frame_bytes, frames) in kinds {
        let Some(next_at) = frame_bytes(first) else { continue };
        let next = head.get(next_at..).and_then(<[u8]>::first_chunk);
        let Some(next): Option<&Header> = next else { return Frames::TooShort };
        // The same version, layer and rate.
        let agrees = next[1] == first[1] && (next[2] ^ first[2]) & 0x0c == 0;
        return if agrees && frame_bytes(next).is_some() { frames } else { Frames::None };
    }
    Frames::None
}

/// Whether these two bytes may begin a frame of layer 3, which is MP3.
pub(super) fn may_be_mp3(head: &[u8]) -> bool {
    matches!(head, [0xff, second, ..] if second & 0xe6 == 0xe2)
}

/// How long the MP3 frame of this header is.
pub(super) fn mp3_bytes(header: &[u8; HEADER_BYTES]) -> Option<usize> {
    /// Of MPEG 1, and of MPEG 2 and 2.5.
    const KBPS: [[usize; 14]; 2] = [
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    const RATES_HZ: [usize; 3] = [44_100, 48_000, 32_000];
    if !may_be_mp3(header) {
        return None;
    }
    let (kbps, divisor) = match (header[1] >> 3) & 3 {
        3 => (KBPS[0], 1),
        2 => (KBPS[1], 2),
        0 => (KBPS[1], 4),
        _ => return None,
    };
    let index = usize::from(header[2] >> 4).checked_sub(1)?;
    let rate_hz = RATES_HZ.get(usize::from(header[2] >> 2) & 3)? / divisor;
    let samples = if divisor == 1 { 1152 } else { 576 };
    let padding = usize::from(header[2] >> 1) & 1;
    Some(samples / 8 * kbps.get(index)? * 1000 / rate_hz + padding)
}

/// How long the AAC frame of this header is.
fn aac_bytes(header: &Header) -> Option<usize> {
    const RATES: u8 = 13;
    let is_aac = header[1] & 0xf6 == 0xf0 && (header[2] >> 2) & 0x0f < RATES;
    let length = usize::from(header[3] & 3) << 11
        | usize::from(header[4]) << 3
        | usize::from(header[5]) >> 5;
    (is_aac && length > HEADER_BYTES).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two frames of this header, which is so long.
    fn twice(header: Header, frame_bytes: usize) -> Vec<u8> {
        let mut frame = header.to_vec();
        frame.resize(frame_bytes, 0);
        frame.repeat(2)
    }

    #[test]
    fn two_frames_tell_and_one_does_not() {
        for (header, frame_bytes, frames) in [
            ([0xff, 0xf3, 0x84, 0xc4, 0, 0], 192, Frames::Mp3),
            ([0xff, 0xfb, 0x90, 0x64, 0, 0], 417, Frames::Mp3),
            ([0xff, 0xfb, 0x92, 0x64, 0, 0], 418, Frames::Mp3),
            ([0xff, 0xe3, 0x18, 0xc4, 0, 0], 72, Frames::Mp3),
            ([0xff, 0xf1, 0x50, 0x80, 0x0c, 0x9f], 100, Frames::Aac),
        ] {
            let audio = twice(header, frame_bytes);
            assert_eq!(begin(&audio), frames, "{header:?}");
            for length in 0..frame_bytes + HEADER_BYTES {
                assert_eq!(begin(&audio[..length]), Frames::TooShort, "{header:?} {length}");
            }
            let mut other = audio;
            other[frame_bytes + 1] = 0;
            assert_eq!(begin(&other), Frames::None, "{header:?}");
        }
    }

    #[test]
    fn what_can_be_no_header_is_none() {
        for head in [
            &[0, 0][..],
            &[0xff, 0x7f],
            &[0xff, 0xfb, 0xf0, 0, 0, 0],
            &[0xff, 0xfb, 0x0c, 0, 0, 0],
            &[0xff, 0xeb, 0x90, 0, 0, 0],
            &[0xff, 0xf1, 0x7c, 0, 0, 0],
        ] {
            assert_eq!(begin(head), Frames::None, "{head:?}");
        }
    }
}
