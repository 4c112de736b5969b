// Puts the frames of an MP3 into fragments of an MP4 as they come: Firefox streams MP3 only so.
// ISO/IEC 14496-12 has the boxes, ISO/IEC 11172-3 the frames.

// kbit/s by the header's four bits, of layer III: of MPEG 1, and of MPEG 2 and 2.5.
const KBITS_MPEG1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const KBITS_MPEG2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const HERTZ_MPEG1 = [44100, 48000, 32000];

export class Mp3InMp4 {
  constructor() {
    this.rest = new Uint8Array(0); // what is not yet a whole frame
    this.fragments = 0;
    this.played = 0; // samples in the fragments so far
    this.hertz = 0; // of the first frame, which all share
  }

  // The next bytes of the MP3 as bytes to append; null while they make no whole frame.
  wrap(bytes) {
    this.rest = joined([this.rest, new Uint8Array(bytes)]);
    const frames = this.takeFrames();
    if (!frames.length) return null;
    const parts = [];
    if (!this.hertz) {
      this.hertz = frames[0].hertz;
      parts.push(beginning(frames[0]));
    }
    this.fragments += 1;
    parts.push(fragment(this.fragments, this.played, frames));
    this.played += frames.reduce((sum, frame) => sum + frame.samples, 0);
    return joined(parts);
  }

  takeFrames() {
    const frames = [];
    let at = 0;
    while (at + 10 <= this.rest.length) {
      const tag = tagLength(this.rest, at);
      const frame = tag ? null : header(this.rest, at);
      const length = tag || frame?.length || 1; // byte by byte to the next frame
      if (at + length > this.rest.length) break;
      if (frame) frames.push({ ...frame, bytes: this.rest.slice(at, at + length) });
      at += length;
    }
    this.rest = this.rest.slice(at);
    return frames;
  }
}

// Bytes of an ID3v2 tag, as MP3 files begin with.
function tagLength(bytes, at) {
  if (bytes[at] !== 0x49 || bytes[at + 1] !== 0x44 || bytes[at + 2] !== 0x33) return 0;
  return 10 + (bytes[at + 6] << 21 | bytes[at + 7] << 14 | bytes[at + 8] << 7 | bytes[at + 9]);
}

// What a frame's header says; nothing where there is none.
function header(bytes, at) {
  const [first, second, third, fourth] = bytes.subarray(at, at + 4);
  if (first !== 0xff || (second & 0xe6) !== 0xe2) return null; // the mark, and layer III
  const version = second >> 3 & 3; // 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
  const isMpeg1 = version === 3;
  const kbits = (isMpeg1 ? KBITS_MPEG1 : KBITS_MPEG2)[third >> 4];
  const highest = HERTZ_MPEG1[third >> 2 & 3];
  if (version === 1 || !kbits || !highest) return null;
  const hertz = highest / { 3: 1, 2: 2, 0: 4 }[version];
  const samples = isMpeg1 ? 1152 : 576;
  const length = Math.floor(samples / 8 * kbits * 1000 / hertz) + (third >> 1 & 1);
  return { hertz, samples, length, channels: fourth >> 6 === 3 ? 1 : 2 };
}

// What comes before the first fragment: one track of MP3, and that its samples come later.
function beginning({ hertz, channels }) {
  const matrix = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32);
  const none = (type) => full(type, 0, 0, u32(0));
  const entry = box(".mp3", u32(0), u16(0), u16(1), u32(0), u32(0), u16(channels), u16(16), u32(0), u32(hertz * 0x10000));
  const samples = box("stbl", full("stsd", 0, 0, u32(1), entry), none("stts"), none("stsc"), full("stsz", 0, 0, u32(0), u32(0)), none("stco"));
  const data = box("dinf", full("dref", 0, 0, u32(1), full("url ", 0, 1)));
  const media = box("mdia",
    full("mdhd", 0, 0, u32(0), u32(0), u32(hertz), u32(0), u16(0x55c4), u16(0)), // no language
    full("hdlr", 0, 0, u32(0), ascii("soun"), u32(0), u32(0), u32(0), [0]),
    box("minf", full("smhd", 0, 0, u32(0)), data, samples));
  const track = full("tkhd", 0, 7, u32(0), u32(0), u32(1), u32(0), u32(0), u32(0), u32(0), u16(0), u16(0), u16(0x100), u16(0), ...matrix, u32(0), u32(0));
  const movie = full("mvhd", 0, 0, u32(0), u32(0), u32(hertz), u32(0), u32(0x10000), u16(0x100), u16(0), u32(0), u32(0), ...matrix, ...Array(6).fill(u32(0)), u32(2));
  const extends_ = box("mvex", full("trex", 0, 0, u32(1), u32(1), u32(0), u32(0), u32(0)));
  return joined([
    box("ftyp", ascii("isom"), u32(1), ascii("isom"), ascii("mp42")),
    box("moov", movie, box("trak", track, media), extends_),
  ]);
}

// Frames that begin to play after so many samples.
function fragment(number, played, frames) {
  const rows = frames.flatMap(({ samples, length }) => [u32(samples), u32(length)]);
  const around = (dataOffset) => box("moof",
    full("mfhd", 0, 0, u32(number)),
    box("traf",
      full("tfhd", 0, 0x20000, u32(1)), // offsets count from this fragment
      full("tfdt", 1, 0, u32(Math.floor(played / 2 ** 32)), u32(played)),
      full("trun", 0, 0x301, u32(frames.length), u32(dataOffset), ...rows))); // with durations and sizes
  const before = around(0).length + 8;
  return joined([around(before), box("mdat", ...frames.map((frame) => frame.bytes))]);
}

const u16 = (value) => [value >> 8 & 255, value & 255];
const u32 = (value) => [value >>> 24 & 255, value >>> 16 & 255, value >>> 8 & 255, value & 255];
const ascii = (text) => [...text].map((letter) => letter.charCodeAt(0));

function box(type, ...parts) {
  const content = joined(parts);
  return joined([u32(content.length + 8), ascii(type), content]);
}

function full(type, version, flags, ...parts) {
  return box(type, u32(version * 0x1000000 + flags), ...parts);
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
