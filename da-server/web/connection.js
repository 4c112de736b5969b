// One session with the server, over as many WebSockets as it takes.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;

// Why the server closed, where trying again at once would be wrong or needs the player's word.
const ENDED = {
  replaced: "The scene goes on in another window.",
  idle: "You were away for a while.",
  invalid_messages: "The server and this page do not understand each other. Reload the page.",
};
const WAITING = {
  busy: "Every seat is taken. Trying again…",
  too_many_sessions: "Too many play from your network already. Trying again…",
  too_many_starts: "Too many scenes were started from your network. Trying again…",
  store_unavailable: "Your conversation can't be opened right now. Trying again…",
  server_shutdown: "The theatre closes for a moment. Trying again…",
  slow_player: "Your connection is too slow. Trying again…",
};

export class Connection {
  // handlers: {start, token, message(object), audio(ArrayBuffer), state({state, sentence, retry})}
  constructor(handlers) {
    Object.assign(this, handlers);
    this.failures = 0;
    this.leastWaitMs = 0; // what the server asked for
    this.timer = 0;
    this.closed = false;
    this.open();
  }

  open() {
    this.state({ state: "trying", sentence: this.failures ? this.sentence : null });
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ ...this.start, token: this.token }));
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return;
      if (data instanceof ArrayBuffer) return this.audio(data);
      const message = JSON.parse(data);
      if (message.retry_after_seconds) {
        // It closes the connection next, and the reason says the same.
        this.leastWaitMs = message.retry_after_seconds * 1000;
        return;
      }
      if (message.type === "session") {
        this.failures = 0;
        this.state({ state: "on" });
      }
      this.message(message);
    };
    socket.onclose = ({ reason }) => {
      if (socket === this.socket && !this.closed) this.lost(reason);
    };
  }

  lost(reason) {
    this.socket = null;
    if (ENDED[reason]) {
      this.state({ state: "lost", sentence: ENDED[reason], retry: reason !== "invalid_messages" });
      return;
    }
    this.sentence = WAITING[reason] ?? "The connection was lost. Trying again…";
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this.failures, LONGEST_WAIT_MS);
    this.failures += 1;
    this.state({ state: "trying", sentence: this.sentence });
    // Half of it by chance, so that a thousand pages don't come back in the same moment.
    const backOff = wait * (0.5 + Math.random() / 2);
    this.timer = setTimeout(() => this.open(), this.leastWaitMs + backOff);
    this.leastWaitMs = 0;
  }

  retryNow() {
    clearTimeout(this.timer);
    this.open();
  }

  // Whether it went out.
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close(1000);
  }
}
