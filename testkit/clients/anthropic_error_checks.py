"""Failures as the client tells them: by class, after its own retries, within streams."""

import time

import anthropic

from checks import fails, same, wait_until

ASK = [{"role": "user", "content": "Hello"}]


def run(checks, place, client, provider):
    if provider != "script":
        for check in (of_the_request, of_the_provider, within_streams):
            checks.run(check, client, provider)
        for check in (waits, leaves, times_out):
            checks.run(check, place, client, provider)


def run_once(checks, place, client):
    for check in (unknown_model, malformed):
        checks.run(check, client)
    for check in (wrong_key, forbidden_model, spent):
        checks.run(check, place, client)


def asking(client, model, **more):
    return lambda: client.messages.create(model=model, max_tokens=100, messages=ASK, **more)


def of_the_request(client, provider):
    for scenario in ("ctx", "filter"):
        error = fails(anthropic.BadRequestError, asking(client, f"{provider}-{scenario}"))
        same(error.body["error"]["type"], "invalid_request_error")


def of_the_provider(client, provider):
    for scenario in ("500", "html502", "badjson", "empty", "reset"):
        error = fails(anthropic.InternalServerError, asking(client, f"{provider}-{scenario}"))
        assert error.status_code >= 500 and error.response.headers["x-mainstay-code"], scenario
        assert "upstream-key" not in str(error), error
        same(error.body["error"]["type"], "api_error")
    # It is the operator's key that is refused, which trying again does not mend.
    for scenario in ("401", "403"):
        failing = asking(client.with_options(max_retries=2), f"{provider}-{scenario}")
        error = fails(anthropic.UnprocessableEntityError, failing)
        same(error.response.headers["x-should-retry"], "false")
    for scenario in ("503", "529"):
        error = fails(anthropic.InternalServerError, asking(client, f"{provider}-{scenario}"))
        assert error.status_code in (502, 503, 529), error
    # Gemini counts by the day, which is a limit and no account that is used up.
    if provider != "gemini":
        error = fails(anthropic.APIStatusError, asking(client, f"{provider}-quota"))
        same((error.status_code, error.response.headers["x-should-retry"]), (402, "false"))


def within_streams(client, provider):
    for scenario in ("cut", "overloaded-mid"):
        stream = asking(client, f"{provider}-{scenario}", stream=True)()
        seen = []

        def read():
            seen.extend(stream)

        try:
            read()
        except anthropic.APIStatusError as error:
            same(error.body["type"], "error")
        else:
            raise AssertionError(f"{scenario} ended as if it were whole")
        assert any(event.type == "content_block_delta" for event in seen), seen


def waits(place, client, provider):
    """The client keeps the wait that the provider asks for, and asks again by itself."""
    started = time.monotonic()
    answer = asking(client.with_options(max_retries=1), f"{provider}-limited-1-1")()
    same(answer.content[0].text, "ok")
    assert time.monotonic() - started >= 1, "the wait was not kept"
    same(place.hits(provider, "limited-1-1"), 2)
    error = fails(anthropic.RateLimitError, asking(client, f"{provider}-429-2"))
    same(error.response.headers["retry-after"], "2")


def times_out(place, client, provider):
    hasty = client.with_options(timeout=0.5)
    before = place.left(provider, "stall")
    fails(anthropic.APITimeoutError, asking(hasty, f"{provider}-stall"))
    wait_until(lambda: place.left(provider, "stall") > before)


def leaves(place, client, provider):
    """Who leaves in the middle of an answer ends the provider's work on it."""
    before = place.left(provider, "stall-mid")
    with asking(client, f"{provider}-stall-mid", stream=True)() as stream:
        next(iter(stream))
    wait_until(lambda: place.left(provider, "stall-mid") > before)


def unknown_model(client):
    error = fails(anthropic.NotFoundError, asking(client, "nothing"))
    same(error.body["error"]["type"], "not_found_error")


def malformed(client):
    fails(anthropic.BadRequestError, asking(client, "openai-ok", extra_body={"temperature": "hot"}))
    fails(anthropic.BadRequestError, asking(client, "openai-ok", extra_body={"max_tokens": None}))


def wrong_key(place, client):
    error = fails(anthropic.AuthenticationError, asking(client.with_options(api_key="wrong"), "openai-ok"))
    same(error.body["error"]["type"], "authentication_error")


def forbidden_model(place, client):
    narrow = client.with_options(api_key=place.narrow_key)
    error = fails(anthropic.PermissionDeniedError, asking(narrow, "openai-echo"))
    same(error.body["error"]["type"], "permission_error")
    asking(narrow, "openai-ok")()


def spent(place, client):
    """A spent budget stays spent: the client must not ask again."""
    asked = []
    counting = anthropic.DefaultHttpxClient(event_hooks={"request": [asked.append]})
    poor = anthropic.Anthropic(
        base_url=place.url, api_key=place.key, http_client=counting, max_retries=3
    )
    error = fails(anthropic.PaymentRequiredError, asking(poor, "poor"))
    same((error.status_code, len(asked)), (402, 1))
