"""Anthropic's Python client, as it is, against every route it knows and every provider behind the gateway."""

import sys

import anthropic

import anthropic_checks
import anthropic_error_checks
from checks import Checks, Place


def main():
    place = Place()
    checks = Checks()
    client = anthropic.Anthropic(base_url=place.url, api_key=place.key, max_retries=0)
    for provider in place.providers:
        anthropic_checks.run(checks, place, client, provider)
        anthropic_error_checks.run(checks, place, client, provider)
    anthropic_checks.run_once(checks, place, client)
    anthropic_error_checks.run_once(checks, place, client)
    checks.end()


if __name__ == "__main__":
    sys.exit(main())
