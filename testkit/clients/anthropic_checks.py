"""`client.messages`, `client.beta.messages` and `client.models` in all their ways."""

import json

import anthropic

from checks import ADD, PICTURE, PICTURE_BASE64, SAY, SEALS, WEATHER, Point, fails, same

TOOLS = [
    {"name": "add", "description": "Adds", "input_schema": ADD},
    {"name": "weather", "description": "Looks", "input_schema": WEATHER},
]
ASK = [{"role": "user", "content": SAY}]


def run(checks, place, client, provider):
    for check in (plain, conversation, streamed, helper, tools, streamed_tools, runner, parsed, counted):
        checks.run(check, client, provider)
    if provider != "script":
        for check in (echoed, picture, cached, refused):
            checks.run(check, client, provider)
        for check in (thoughts, streamed_thoughts, bounds):
            checks.run(check, place, client, provider)


def run_once(checks, place, client):
    checks.run(models, place, client)


def asking(provider, scenario, **more):
    return {"model": f"{provider}-{scenario}", "max_tokens": 4096, "messages": ASK, **more}


def plain(client, provider):
    raw = client.messages.with_raw_response.create(**asking(provider, "ok"))
    answer = raw.parse()
    same(raw.headers["x-mainstay-model"], f"{provider}-ok")
    assert raw.headers["request-id"], raw.headers
    same((answer.type, answer.role, answer.stop_reason), ("message", "assistant", "end_turn"))
    same([(block.type, block.text) for block in answer.content], [("text", "ok")])
    assert answer.id and answer.model and answer.stop_sequence is None, answer
    same((answer.usage.input_tokens, answer.usage.output_tokens), (11, 7))


def echoed(client, provider):
    answer = client.messages.create(**asking(provider, "echo"))
    same(answer.content[0].text, ASK[0]["content"])


def conversation(client, provider):
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "Three"},
        {"role": "user", "content": [{"type": "text", "text": "Four", "cache_control": {"type": "ephemeral"}}]},
    ]
    system = [
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
    ]
    more = {"stop_sequences": ["END"], "metadata": {"user_id": "u"}}
    ask = asking(provider, "ok", system=system, extra_body={"temperature": 0.5}, **more)
    answer = client.messages.create(**{**ask, "messages": messages})
    same(answer.content[0].text, "ok")
    again = client.messages.create(**asking(provider, "ok", system="Be brief."))
    same(again.content[0].text, "ok")


def streamed(client, provider):
    ask = asking(provider, "ok" if provider == "script" else "echo")
    whole = client.messages.create(**ask)
    kinds, text, reason, output = [], "", None, None
    for event in client.messages.create(stream=True, **ask):
        kinds.append(event.type)
        if event.type == "content_block_delta":
            text += event.delta.text
        if event.type == "message_delta":
            reason, output = event.delta.stop_reason, event.usage.output_tokens
    same(text, whole.content[0].text)
    same((kinds[0], kinds[-1]), ("message_start", "message_stop"))
    same((reason, output), ("end_turn", 7))
    same(kinds.count("content_block_start"), kinds.count("content_block_stop"))


def helper(client, provider):
    ask = asking(provider, "ok" if provider == "script" else "echo")
    with client.messages.stream(**ask) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    same(final.content[0].text, text)
    same(text, client.messages.create(**ask).content[0].text)
    same((final.stop_reason, final.usage.output_tokens), ("end_turn", 7))
    same(final.usage.input_tokens, 11)


def called(answer):
    """The calls of an answer, which have to be the two that are expected."""
    calls = [block for block in answer.content if block.type == "tool_use"]
    same([(call.name, call.input) for call in calls], [("add", {"a": 1, "b": 1}), ("weather", {"city": "x"})])
    assert len({call.id for call in calls}) == 2 and all(call.id for call in calls), calls
    same(answer.stop_reason, "tool_use")
    return calls


def results(calls):
    contents = ("2", [{"type": "text", "text": "sunny"}])
    return [
        {"type": "tool_result", "tool_use_id": call.id, "content": content}
        for call, content in zip(calls, contents)
    ]


def going_on(first):
    turn = [{"role": "assistant", "content": first.content}]
    return [*ASK, *turn, {"role": "user", "content": results(called(first))}]


def tools(client, provider):
    ask = asking(provider, "tools", tools=TOOLS, tool_choice={"type": "auto"})
    first = client.messages.create(**ask)
    second = client.messages.create(**{**ask, "messages": going_on(first)})
    same((second.stop_reason, second.content[0].text), ("end_turn", "results: 2; sunny"))


def streamed_tools(client, provider):
    ask = asking(provider, "tools", tools=TOOLS)
    pieces = {}
    with client.messages.stream(**ask) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                pieces[event.index] = pieces.get(event.index, "") + event.delta.partial_json
        first = stream.get_final_message()
    same([json.loads(text) for text in pieces.values()], [{"a": 1, "b": 1}, {"city": "x"}])
    with client.messages.stream(**{**ask, "messages": going_on(first)}) as stream:
        same(stream.get_final_text(), "results: 2; sunny")


def runner(client, provider):
    """The client calls the tools by itself, and goes on until the model is done."""
    asked = []

    @anthropic.beta_tool
    def add(a: int, b: int) -> str:
        """Adds two numbers."""
        asked.append(("add", a, b))
        return str(a + b)

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """Tells the weather."""
        asked.append(("weather", city))
        return "sunny"

    # Nobody but Anthropic keeps threads, which the client finds out by itself.
    thread = {"thread": False} if provider == "anthropic" else {}
    for more in (thread, {"stream": True, **thread}):
        asked.clear()
        running = client.beta.messages.tool_runner(**asking(provider, "tools"), tools=[add, weather], **more)
        final = running.until_done()
        same(sorted(asked), [("add", 1, 1), ("weather", "x")])
        same(final.content[0].text, "results: 2; sunny")


def parsed(client, provider):
    ask = asking(provider, "json")
    answer = client.messages.parse(output_format=Point, **ask)
    same(answer.parsed_output, Point(name="x", x=1, y=1))
    with client.messages.stream(output_format=Point, **ask) as stream:
        same(stream.get_final_message().parsed_output, Point(name="x", x=1, y=1))


def counted(client, provider):
    ask = {"model": f"{provider}-ok", "messages": ASK}
    short = client.messages.count_tokens(**ask).input_tokens
    long = client.messages.count_tokens(system="Be brief. " * 100, tools=TOOLS, **ask).input_tokens
    assert 0 < short < long, (short, long)


def picture(client, provider):
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE_BASE64}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    ask = asking(provider, "image")
    answer = client.messages.create(**{**ask, "messages": [{"role": "user", "content": content}]})
    same(answer.content[0].text, f"image/png of {len(PICTURE)} bytes")


def bounds(place, client, provider):
    """What bounds an answer gets as far as the provider."""
    bounds = {"stop_sequences": ["END-OF-IT"], "extra_body": {"temperature": 0.25}}
    client.messages.create(**{**asking(provider, "ok", **bounds), "max_tokens": 1234})
    asked = place.last(provider, "ok")
    assert all(text in asked for text in ("1234", '["END-OF-IT"]', "0.25")), asked


def cached(client, provider):
    usage = client.messages.create(**asking(provider, "cached")).usage
    same((usage.cache_read_input_tokens, usage.output_tokens), (5, 7))
    assert usage.input_tokens >= 11, usage


THINK = {"thinking": {"type": "enabled", "budget_tokens": 2048}}


def thoughts(place, client, provider):
    first = client.messages.create(**asking(provider, "think", **THINK))
    go_on(place, client, provider, first)


def streamed_thoughts(place, client, provider):
    with client.messages.stream(**asking(provider, "think", **THINK)) as stream:
        first = stream.get_final_message()
    go_on(place, client, provider, first)


def go_on(place, client, provider, first):
    """A second turn, with the thoughts of the first."""
    said = [block.text for block in first.content if block.type == "text"]
    same(said, ["ok"])
    if provider in ("anthropic", "gemini"):
        thought = first.content[0]
        same((thought.type, thought.thinking), ("thinking", "let me see"))
    again = [*ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": "And?"}]
    ask = asking(provider, "think", **THINK)
    second = client.messages.create(**{**ask, "messages": again})
    assert any(block.type == "text" and block.text == "ok" for block in second.content), second
    if provider in ("anthropic", "gemini"):
        assert SEALS[provider] in place.last(provider, "think"), "the seal was lost"


def refused(client, provider):
    answer = client.messages.create(**asking(provider, "length"))
    same((answer.stop_reason, answer.content[0].text), ("max_tokens", "so far"))
    answer = client.messages.create(**asking(provider, "filter-finish"))
    same((answer.stop_reason, answer.content[0].text), ("refusal", "so far"))


def models(place, client):
    listed = client.models.list()
    names = [model.id for model in listed]
    for provider in place.providers:
        assert f"{provider}-ok" in names, names
    model = client.models.retrieve("openai-ok")
    same((model.id, model.type), ("openai-ok", "model"))
    fails(anthropic.NotFoundError, lambda: client.models.retrieve("nothing"))
    fails(anthropic.NotFoundError, lambda: client.messages.count_tokens(model="nothing", messages=ASK))
