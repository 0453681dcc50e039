"""Failures as the client tells them: by class, after its own retries, within streams."""

import time

import openai

from checks import fails, same, wait_until

ASK = [{"role": "user", "content": "Hello"}]


def run(checks, place, client, provider):
    if provider == "script":
        return
    for check in (of_the_request, of_the_provider, within_streams):
        for route in ("chat", "responses"):
            checks.run(check, client, provider, route)
    checks.run(waits, place, client, provider)
    checks.run(leaves, place, client, provider)
    checks.run(times_out, place, client, provider)


def run_once(checks, place, client):
    for route in ("chat", "responses"):
        checks.run(unknown_model, client, route)
        checks.run(wrong_key, place, client, route)
        checks.run(forbidden_model, place, client, route)
        checks.run(spent, place, client, route)
        checks.run(malformed, client, route)


def asking(client, route, model, **more):
    if route == "chat":
        return lambda: client.chat.completions.create(model=model, messages=ASK, **more)
    return lambda: client.responses.create(model=model, input="Hello", **more)


def of_the_request(client, provider, route):
    error = fails(openai.BadRequestError, asking(client, route, f"{provider}-ctx"))
    same(error.code, "context_length_exceeded")
    error = fails(openai.BadRequestError, asking(client, route, f"{provider}-filter"))
    same(error.code, "content_filter")


def of_the_provider(client, provider, route):
    for scenario in ("500", "503", "529", "html502", "badjson", "empty", "reset"):
        error = fails(openai.InternalServerError, asking(client, route, f"{provider}-{scenario}"))
        assert error.status_code >= 500 and error.response.headers["x-mainstay-code"], scenario
    # It is the operator's key that is refused, which trying again does not mend.
    for scenario in ("401", "403"):
        failing = asking(client.with_options(max_retries=2), route, f"{provider}-{scenario}")
        error = fails(openai.UnprocessableEntityError, failing)
        same(error.response.headers["x-should-retry"], "false")
        assert "upstream-key" not in str(error), error
    # Gemini counts by the day, which is a limit and no account that is used up.
    if provider != "gemini":
        error = fails(openai.APIStatusError, asking(client, route, f"{provider}-quota"))
        same((error.status_code, error.response.headers["x-should-retry"]), (402, "false"))


def within_streams(client, provider, route):
    for scenario in ("cut", "overloaded-mid"):
        stream = asking(client, route, f"{provider}-{scenario}", stream=True)()
        seen = []

        def read():
            seen.extend(stream)

        fails(openai.APIError, read)
        assert seen, f"{scenario}: nothing came before the failure"
        seen.clear()


def waits(place, client, provider):
    """The client keeps the wait that the provider asks for, and asks again by itself."""
    started = time.monotonic()
    answer = asking(client.with_options(max_retries=1), "chat", f"{provider}-limited-1-1")()
    same(answer.choices[0].message.content, "ok")
    assert time.monotonic() - started >= 1, "the wait was not kept"
    same(place.hits(provider, "limited-1-1"), 2)
    error = fails(openai.RateLimitError, asking(client, "chat", f"{provider}-429-2"))
    same(error.response.headers["retry-after"], "2")


def times_out(place, client, provider):
    hasty = client.with_options(timeout=0.5)
    for route in ("chat", "responses"):
        before = place.left(provider, "stall")
        fails(openai.APITimeoutError, asking(hasty, route, f"{provider}-stall"))
        wait_until(lambda: place.left(provider, "stall") > before)


def leaves(place, client, provider):
    """Who leaves in the middle of an answer ends the provider's work on it."""
    for route in ("chat", "responses"):
        before = place.left(provider, "stall-mid")
        stream = asking(client, route, f"{provider}-stall-mid", stream=True)()
        next(iter(stream))
        stream.close()
        wait_until(lambda: place.left(provider, "stall-mid") > before)


def unknown_model(client, route):
    error = fails(openai.NotFoundError, asking(client, route, "nothing"))
    same((error.code, error.param), ("model_not_found", "model"))


def wrong_key(place, client, route):
    stranger = client.with_options(api_key="wrong")
    error = fails(openai.AuthenticationError, asking(stranger, route, "openai-ok"))
    same(error.code, "invalid_api_key")


def forbidden_model(place, client, route):
    narrow = client.with_options(api_key=place.narrow_key)
    fails(openai.PermissionDeniedError, asking(narrow, route, "openai-echo"))
    asking(narrow, route, "openai-ok")()


def spent(place, client, route):
    """A spent budget stays spent: the client must not ask again."""
    asked = []
    counting = openai.DefaultHttpxClient(event_hooks={"request": [asked.append]})
    poor = openai.OpenAI(
        base_url=client.base_url, api_key=place.key, http_client=counting, max_retries=3
    )
    bound = {"chat": "max_completion_tokens", "responses": "max_output_tokens"}[route]
    error = fails(openai.APIStatusError, asking(poor, route, "poor", **{bound: 100}))
    same((error.status_code, error.code, len(asked)), (402, "insufficient_quota", 1))


def malformed(client, route):
    more = {"extra_body": {"temperature": "hot"}}
    error = fails(openai.BadRequestError, asking(client, route, "openai-ok", **more))
    same(error.param, "temperature")
