"""Has an official SDK ask its provider, as the SDK's own documentation does.

    ask.py SDK

Where the provider is and whom to trust is left to the machine (/etc/hosts, SSL_CERT_FILE), the key to
the SDK's own variable. Prints how many answers came.
"""

import pathlib
import sys

MODEL = "test-model"
QUESTION = "What do your gauges show?"
STREAMS = 3


def openai():
    from openai import OpenAI

    client = OpenAI()
    messages = [{"role": "user", "content": QUESTION}]
    for _ in range(STREAMS):
        answer = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        yield "".join(piece.choices[0].delta.content or "" for piece in answer)
    yield client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content


def anthropic():
    from anthropic import Anthropic

    client = Anthropic()
    asked = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": QUESTION}]}
    for _ in range(STREAMS):
        with client.messages.stream(**asked) as answer:
            yield "".join(answer.text_stream)
    yield client.messages.create(**asked).content[0].text


def elevenlabs():
    from elevenlabs.client import ElevenLabs

    speech = ElevenLabs().text_to_speech
    for _ in range(STREAMS):
        yield b"".join(speech.stream("test-voice", text=QUESTION))
    yield b"".join(speech.convert("test-voice", text=QUESTION))


def google():
    from google import genai

    # It closes its connections as soon as nothing refers to it.
    client = genai.Client()
    models = client.models
    for _ in range(STREAMS):
        pieces = models.generate_content_stream(model=MODEL, contents=QUESTION)
        yield "".join(piece.text or "" for piece in pieces)
    yield models.generate_content(model=MODEL, contents=QUESTION).text


sdk = sys.argv[1]
# By this name the collector tells it from whatever else Python does on this host.
pathlib.Path("/proc/self/comm").write_text(f"py-{sdk}")
ask = {"openai": openai, "anthropic": anthropic, "elevenlabs": elevenlabs, "google": google}[sdk]
print(sum(len(answer) > 0 for answer in ask()))
