// A stream of a turn's audio, for an audio element: as it comes where the browser can do that, else when it is whole.

import { Mp3InMp4 } from "./mp3.js";

// Firefox streams no bare MP3. It takes it in MP4, and as audio/mp4 only where it also has a decoder for AAC,
// which a Linux without FFmpeg lacks.
const MP3_IN_MP4 = ['audio/mp4; codecs="mp3"', 'video/mp4; codecs="mp3"'];

// How bytes of this type are streamed: as {Source, type, wrap(bytes)}; nothing where they can't be.
function streaming(mime) {
  const Source = window.MediaSource ?? window.ManagedMediaSource; // iPhones have the latter alone
  if (!Source) return null;
  if (Source.isTypeSupported(mime)) return { Source, type: mime, wrap: (bytes) => bytes };
  if (mime !== "audio/mpeg") return null;
  const type = MP3_IN_MP4.find((each) => Source.isTypeSupported(each));
  if (!type) return null;
  const mp4 = new Mp3InMp4();
  return { Source, type, wrap: (bytes) => mp4.wrap(bytes) };
}

export class Clip {
  constructor(turn, mime) {
    this.turn = turn; // null once its number may be another turn's
    this.mime = mime;
    this.pieces = [];
    this.bytes = 0;
    this.complete = false;
    this.url = null;
    this.streams = streaming(mime);
  }

  append(bytes) {
    this.bytes += bytes.byteLength;
    this.pieces.push(bytes);
    this.pump();
  }

  end() {
    this.complete = true;
    this.pump();
  }

  // Where an audio element finds it; nothing while it must be complete and is not. What is behind
  // an address stays in memory until release().
  address() {
    if (this.streams) {
      this.source = new this.streams.Source();
      this.source.addEventListener("sourceopen", () => {
        this.buffer = this.source.addSourceBuffer(this.streams.type);
        this.buffer.addEventListener("updateend", () => this.pump());
        this.pump();
      }, { once: true });
      this.url = URL.createObjectURL(this.source);
    } else if (this.complete) {
      this.url = URL.createObjectURL(playable(this.pieces, this.mime));
    }
    return this.url;
  }

  release() {
    if (this.url) URL.revokeObjectURL(this.url);
  }

  // Hands the next piece to the browser when it is ready for one.
  pump() {
    if (!this.buffer || this.buffer.updating || this.source.readyState !== "open") return;
    while (this.pieces.length) {
      const piece = this.streams.wrap(this.pieces.shift());
      if (piece) return this.buffer.appendBuffer(piece); // "updateend" goes on
    }
    if (this.complete) this.source.endOfStream();
  }
}

// Browsers play no bare samples; a WAV header makes them a file.
function playable(pieces, mime) {
  const rate = /^audio\/pcm;rate=(\d+)/.exec(mime)?.[1];
  if (!rate) return new Blob(pieces, { type: mime });
  const samples = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    samples.set(new Uint8Array(piece), at);
    at += piece.byteLength;
  }
  return wav(samples, Number(rate));
}

// 16-bit little-endian samples of one channel as a WAV file.
export function wav(samples, rate) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + samples.length, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, rate * 2, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, samples.length, true);
  return new Blob([header.buffer, samples], { type: "audio/wav" });
}
