"""What the suites of the Python clients share: how checks are run, and what they ask about."""

import base64
import json
import struct
import sys
import time
import traceback
import urllib.request
import zlib

from pydantic import BaseModel

# What each provider seals its thoughts with; it has to come back, and to nobody else.
SEALS = {
    "openai": "c2VhbCBvZiBvcGVuYWk=",
    "azure": "c2VhbCBvZiBvcGVuYWk=",
    "anthropic": "c2VhbCBvZiBhbnRocm9waWM=",
    "gemini": "c2VhbCBvZiBnZW1pbmk=",
}

PROVIDERS = ("openai", "azure", "compatible", "anthropic", "gemini", "script")

# What is said back as it came, in more than ASCII.
SAY = "Say it: naïve 東京"


class Point(BaseModel):
    """The form that structured answers have to take."""

    name: str
    x: int
    y: int


class Place:
    """Where the gateway is, and what stands behind it; given as one JSON object on the command line."""

    def __init__(self):
        given = json.loads(sys.argv[1])
        self.url = given["url"]
        self.key = given["key"]
        # May use no model but `openai-ok`.
        self.narrow_key = given["narrow_key"]
        # Where the upstream tells what it was asked.
        self.upstream = given["upstream"]
        self.providers = given.get("providers", PROVIDERS)

    def hits(self, provider, scenario):
        """How often the upstream was asked for a model."""
        return self._told("/hits").get(f"{provider}/{scenario}", 0)

    def left(self, provider, scenario):
        """How many requests for a model the gateway left before they were answered."""
        return self._told("/open")["left"].get(f"{provider}/{scenario}", 0)

    def last(self, provider, scenario):
        """The last request for a model as the upstream saw it, as text."""
        return json.dumps(self._told(f"/requests?model={provider}/{scenario}")[-1])

    def _told(self, path):
        with urllib.request.urlopen(f"{self.upstream}{path}", timeout=10) as answer:
            return json.load(answer)


class Checks:
    """Runs checks one after the other, a line each."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def run(self, check, *about):
        name = " ".join([check.__name__, *(text for text in about if isinstance(text, str))])
        try:
            check(*about)
        except Exception:
            self.failed += 1
            told = traceback.format_exc(limit=-4, chain=False)
            print(f"FAIL {name}\n{told}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {name}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def fails(kind, call):
    """The failure of a call, which has to be of this kind."""
    try:
        answer = call()
    except kind as error:
        return error
    except Exception as error:
        told = f"{type(error).__name__} instead of {kind.__name__}: {error}"
        raise AssertionError(told) from None
    raise AssertionError(f"{kind.__name__} expected, and there is {answer!r}")


def wait_until(is_so):
    """Waits for a condition, up to ten seconds."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def png():
    """A picture of one pixel."""

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


PICTURE = png()
PICTURE_BASE64 = base64.b64encode(PICTURE).decode()

ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
