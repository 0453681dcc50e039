"""OpenAI's Python client, as it is, against every route it knows and every provider behind the gateway."""

import sys

import openai

import openai_chat_checks
import openai_error_checks
import openai_responses_checks
import openai_vector_checks
from checks import Checks, Place


def main():
    place = Place()
    checks = Checks()
    client = openai.OpenAI(base_url=f"{place.url}/v1", api_key=place.key, max_retries=0)
    for provider in place.providers:
        openai_chat_checks.run(checks, place, client, provider)
        openai_responses_checks.run(checks, place, client, provider)
        openai_error_checks.run(checks, place, client, provider)
    openai_vector_checks.run(checks, place, client)
    openai_error_checks.run_once(checks, place, client)
    checks.end()


if __name__ == "__main__":
    sys.exit(main())
