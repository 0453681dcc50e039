"""What usages cost by other people's figures, for the test `prices` of crates/inference.

Reads a JSON list of {"provider", "model", "tokens"} from stdin, with LiteLLM's price file as the first
argument, and writes a list of {"litellm", "genai_prices"}: nano-dollars, rounded up, null where the source
does not know the model or cannot price the usage. LiteLLM's code is never run: its file is read
as its documentation describes the fields. genai-prices is asked as its users ask it.
"""

import json
import sys
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from math import ceil

from genai_prices import Usage, calc_price

# A working day on which the table was made, at an hour of full price.
WHEN = datetime(2026, 10, 21, 2, tzinfo=timezone.utc)

LITELLM = {"azure_openai": "azure"}
GENAI = {"azure_openai": "azure", "gemini": "google", "xai": "x-ai"}

# Our part, and LiteLLM's names of its price, the first that is there.
INPUT = "input_cost_per_token"
OUTPUT = "output_cost_per_token"
READ = "cache_read_input_token_cost"
WRITE = "cache_creation_input_token_cost"
PARTS = {
    "input": {
        "cache_read": [READ, INPUT],
        "cache_write": [WRITE, INPUT],
        "cache_write_hour": [WRITE + "_above_1hr", WRITE, INPUT],
        "input_audio": ["input_cost_per_audio_token", INPUT],
    },
    "output": {
        "reasoning": ["output_cost_per_reasoning_token", OUTPUT],
        "output_audio": ["output_cost_per_audio_token", OUTPUT],
    },
}


def litellm_entry(models, provider, model):
    provider = LITELLM.get(provider, provider)
    candidates = [models.get(f"{provider}/{model}"), models.get(model)]
    of_provider = [c for c in candidates if c and c["litellm_provider"] == provider]
    return of_provider[0] if of_provider else None


def litellm(models, provider, model, tokens):
    entry = litellm_entry(models, provider, model)
    if entry is None:
        return None
    suffixes = [""]
    for name in entry:
        threshold = name.removeprefix(INPUT + "_above_").removesuffix("k_tokens")
        if threshold.isdigit() and tokens["input"] > int(threshold) * 1000:
            suffixes.append(f"_above_{threshold}k_tokens")

    def price(names):
        for name in names:
            for suffix in reversed(suffixes):
                if entry.get(name + suffix) is not None:
                    return Fraction(Decimal(repr(entry[name + suffix])))
        return Fraction(0)

    total = Fraction(0)
    for whole, parts in PARTS.items():
        rest = tokens[whole]
        for part, names in parts.items():
            rest -= tokens[part]
            total += tokens[part] * price(names)
        total += rest * price([INPUT if whole == "input" else OUTPUT])
    return total


def genai(provider, model, tokens):
    usage = {
        "input_tokens": tokens["input"],
        "cache_read_tokens": tokens["cache_read"],
        "cache_write_tokens": tokens["cache_write"] + tokens["cache_write_hour"],
        "cache_write_5m_tokens": tokens["cache_write"],
        "cache_write_1h_tokens": tokens["cache_write_hour"],
        "input_audio_tokens": tokens["input_audio"],
        "output_tokens": tokens["output"],
        "output_audio_tokens": tokens["output_audio"],
    }
    # Sound that was cached is its own part there; ours never overlap.
    usage["cache_audio_read_tokens"] = 0
    try:
        found = calc_price(
            Usage(**usage),
            model,
            provider_id=GENAI.get(provider, provider),
            genai_request_timestamp=WHEN,
        )
    except (LookupError, ValueError):
        return None
    return Fraction(found.total_price)


def nanos(amount):
    return None if amount is None else ceil(amount * 10**9)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        models = json.load(file)
    answers = []
    for asked in json.load(sys.stdin):
        usage = (asked["provider"], asked["model"], asked["tokens"])
        answer = {"litellm": litellm(models, *usage), "genai_prices": genai(*usage)}
        answers.append({source: nanos(amount) for source, amount in answer.items()})
    json.dump(answers, sys.stdout)


main()
