"""Serves a small voice, sentence by sentence, at a free port of 127.0.0.1: raw PCM of 24 kHz, by
OpenAI's protocol.

Prints its URL once the voice is loaded, and serves until its input ends.
"""

import http.server
import json
import sys
import threading

import numpy
from hibari import Hibari

voice = Hibari(threads=1)
# onnxruntime is one; a player hears one character at a time.
speaking = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/audio/speech" or body["response_format"] != "pcm":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("content-type", "audio/pcm")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        with speaking:
            for sentence in voice.stream(body["input"]):
                samples = numpy.clip(sentence, -1, 1) * 32767
                self.send_piece(samples.astype("<i2").tobytes())
        self.send_piece(b"")

    def send_piece(self, piece):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def log_message(self, *_arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
