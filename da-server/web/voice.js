// Plays each turn's audio, one after the other.

import { Clip, wav } from "./clip.js";

export class Voice {
  // blocked() is called when the browser wants a gesture before it plays, changed() when there is
  // something to hear, or nothing any more.
  constructor(audio, { blocked, changed }) {
    this.audio = audio;
    this.blocked = blocked;
    this.changed = changed;
    this.clips = []; // the first one is playing
    this.bytes = 0;
    this.silentUpTo = 0; // the last turn that is not to be heard, though its audio may be on its way
    audio.disableRemotePlayback = true; // without this iPhones stream nothing
    audio.addEventListener("ended", () => this.clips.length && this.next());
    audio.addEventListener("error", () => this.clips.length && this.next());
  }

  // Whether there is something to hear, now or next.
  get speaks() {
    return this.clips.length > 0;
  }

  // Call it from a gesture: some browsers play later only what was played once by then.
  unlock() {
    if (this.clips.length) return;
    const silence = URL.createObjectURL(wav(new Uint8Array(800), 8000));
    this.audio.src = silence;
    this.audio.play().catch(() => {}).finally(() => URL.revokeObjectURL(silence));
  }

  begin(turn, mime) {
    if (turn <= this.silentUpTo) return;
    this.clips.push(new Clip(turn, mime));
    if (this.clips.length === 1) this.play();
    this.changed();
  }

  append(bytes) {
    this.bytes += bytes.byteLength;
    this.audio.dataset.bytes = this.bytes;
    this.clips.at(-1)?.append(bytes);
  }

  end() {
    const clip = this.clips.at(-1);
    if (!clip || clip.complete) return;
    clip.end();
    if (!clip.bytes) this.drop((each) => each === clip); // there is nothing that could play to its end
    else if (clip === this.clips[0] && !clip.streams) this.play();
  }

  // Nothing more comes over this connection, and the next one counts its turns anew. What has come
  // plays to its end.
  disconnected() {
    this.end();
    this.silentUpTo = 0;
    for (const clip of this.clips) clip.turn = null;
  }

  // Forgets a turn's audio: it was interrupted.
  cut(turn) {
    this.drop((clip) => clip.turn === turn);
  }

  // Nothing of this turn or an earlier one is heard any more, what is still on its way included.
  stop(turn) {
    this.silentUpTo = turn;
    this.drop(() => true);
  }

  drop(which) {
    const playing = this.clips[0];
    for (const clip of this.clips) if (which(clip)) clip.release();
    this.clips = this.clips.filter((clip) => !which(clip));
    if (playing && playing !== this.clips[0]) {
      this.audio.pause();
      if (this.clips.length) this.play();
    }
    this.changed();
  }

  next() {
    this.clips.shift()?.release();
    if (this.clips.length) this.play();
    this.changed();
  }

  play() {
    const address = this.clips[0].address();
    if (!address) return; // it has to be complete first
    this.audio.src = address;
    this.audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.blocked();
    });
  }
}
