// Plays each turn's audio, one after the other, as it comes where the browser can do that.

export class Voice {
  // blocked() is called when the browser wants a gesture before it plays.
  constructor(audio, blocked) {
    this.audio = audio;
    this.blocked = blocked;
    this.clips = []; // the first one is playing
    this.bytes = 0;
    audio.addEventListener("ended", () => this.next());
    audio.addEventListener("error", () => this.clips.length && this.next());
  }

  // Call it from a gesture: some browsers play later only what was played once by then.
  unlock() {
    if (this.clips.length) return;
    const silence = URL.createObjectURL(wav(new Uint8Array(800), 8000));
    this.audio.src = silence;
    this.audio.play().catch(() => {}).finally(() => URL.revokeObjectURL(silence));
  }

  begin(turn, mime) {
    this.clips.push(new Clip(turn, mime));
    if (this.clips.length === 1) this.play();
  }

  append(bytes) {
    this.bytes += bytes.byteLength;
    this.audio.dataset.bytes = this.bytes;
    this.clips.at(-1)?.append(bytes);
  }

  end() {
    const clip = this.clips.at(-1);
    clip?.end();
    if (clip && clip === this.clips[0] && !clip.streams) this.play();
  }

  // Forgets a turn's audio: it was interrupted.
  cut(turn) {
    const playing = this.clips[0];
    for (const clip of this.clips) if (clip.turn === turn) clip.release();
    this.clips = this.clips.filter((clip) => clip.turn !== turn);
    if (playing && playing !== this.clips[0]) {
      this.audio.pause();
      if (this.clips.length) this.play();
    }
  }

  stop() {
    for (const clip of this.clips) clip.release();
    this.clips = [];
    this.audio.pause();
  }

  next() {
    this.clips.shift()?.release();
    if (this.clips.length) this.play();
  }

  play() {
    const clip = this.clips[0];
    const address = clip.address();
    if (!address) return; // it has to be complete first
    this.audio.src = address;
    this.audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.blocked();
    });
  }
}

// One turn's audio.
class Clip {
  constructor(turn, mime) {
    this.turn = turn;
    this.mime = mime;
    this.pieces = [];
    this.complete = false;
    this.url = null;
    this.streams = "MediaSource" in window && MediaSource.isTypeSupported(mime);
  }

  append(bytes) {
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
      this.source = new MediaSource();
      this.source.addEventListener("sourceopen", () => {
        this.buffer = this.source.addSourceBuffer(this.mime);
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
    const piece = this.pieces.shift();
    if (piece) this.buffer.appendBuffer(piece);
    else if (this.complete) this.source.endOfStream();
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
function wav(samples, rate) {
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
