"""Has each official SDK ask the server at the URL in argv[1]: those of language models for a streamed
answer, OpenAI's and ElevenLabs' for speech.

Only what our own client asks for is asked for, so that the rest of what is sent is the SDK's own.
"""

import sys

import anthropic
import openai
from elevenlabs.client import ElevenLabs
from google import genai
from google.genai import types

SYSTEM = "You are the engineer of a submarine."
LINE = {"role": "user", "content": "Report!"}
url = sys.argv[1]

client = anthropic.Anthropic(api_key="test-key", base_url=url, max_retries=0)
with client.messages.create(
    model="test-model", max_tokens=800, system=SYSTEM, messages=[LINE], stream=True
) as answer:
    list(answer)

client = openai.OpenAI(api_key="test-key", base_url=f"{url}/v1", max_retries=0)
with client.chat.completions.create(
    model="test-model",
    max_completion_tokens=800,
    messages=[{"role": "system", "content": SYSTEM}, LINE],
    stream=True,
    stream_options={"include_usage": True},
) as answer:
    list(answer)

gemini = genai.Client(api_key="test-key", http_options=types.HttpOptions(base_url=url))
answer = gemini.models.generate_content_stream(
    model="test-model",
    contents=LINE["content"],
    config=types.GenerateContentConfig(system_instruction=SYSTEM, max_output_tokens=800),
)
list(answer)

with client.audio.speech.with_streaming_response.create(
    model="test-model", voice="nova", input="Grüße, Kapitän!", response_format="mp3"
) as answer:
    answer.read()

client = ElevenLabs(api_key="test-key", base_url=url)
audio = client.text_to_speech.stream(
    "JBFqnCBsd6RMkjVDRZzb",
    text="Grüße, Kapitän!",
    model_id="test-model",
    output_format="mp3_44100_128",
)
list(audio)
