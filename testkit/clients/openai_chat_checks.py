"""`client.chat.completions` in all its ways."""

import json

from checks import ADD, PICTURE, PICTURE_BASE64, SAY, SEALS, WEATHER, Point, same

TOOLS = [
    {"type": "function", "function": {"name": "add", "parameters": ADD, "strict": True}},
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}},
]
ASK = [{"role": "user", "content": SAY}]


def run(checks, place, client, provider):
    everywhere = (plain, conversation, streamed, helper, tools, streamed_tools, parsed, parsed_stream)
    for check in everywhere:
        checks.run(check, client, provider)
    if provider != "script":
        for check in (echoed, picture, cached, cut_short):
            checks.run(check, client, provider)
        for check in (thoughts, streamed_thoughts, bounds, proofs):
            checks.run(check, place, client, provider)


def plain(client, provider):
    model = f"{provider}-ok"
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK)
    answer = raw.parse()
    same(raw.headers["x-mainstay-model"], model)
    assert raw.headers["x-request-id"], raw.headers
    same((answer.object, len(answer.choices)), ("chat.completion", 1))
    assert answer.id and answer.created and answer.model, answer
    choice = answer.choices[0]
    same((choice.index, choice.finish_reason), (0, "stop"))
    same((choice.message.role, choice.message.content), ("assistant", "ok"))
    assert not choice.message.tool_calls, choice
    usage = answer.usage
    same((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (11, 7, 18))


def echoed(client, provider):
    answer = client.chat.completions.create(model=f"{provider}-echo", messages=ASK)
    same(answer.choices[0].message.content, ASK[0]["content"])


def conversation(client, provider):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "Three"},
        {"role": "user", "content": "Four", "name": "ann"},
    ]
    more = {"temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 100, "stop": ["END", "STOP"]}
    answer = client.chat.completions.create(model=f"{provider}-ok", messages=messages, user="u", **more)
    same(answer.choices[0].message.content, "ok")
    messages[0]["role"] = "system"
    old = client.chat.completions.create(
        model=f"{provider}-ok", messages=messages[:1] + messages[2:], max_tokens=100, stop="END"
    )
    same(old.choices[0].message.content, "ok")


def streamed(client, provider):
    model = f"{provider}-{'ok' if provider == 'script' else 'echo'}"
    whole = client.chat.completions.create(model=model, messages=ASK)
    for wants_usage in (False, True):
        options = {"stream_options": {"include_usage": True}} if wants_usage else {}
        text, reasons, usages, ids = "", [], [], set()
        for chunk in client.chat.completions.create(model=model, messages=ASK, stream=True, **options):
            same(chunk.object, "chat.completion.chunk")
            ids.add(chunk.id)
            usages += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasons += [choice.finish_reason] if choice.finish_reason else []
        same(text, whole.choices[0].message.content)
        same(reasons, ["stop"])
        same(len(ids), 1)
        same([usage.total_tokens for usage in usages], [18] if wants_usage else [])


def helper(client, provider):
    model = f"{provider}-{'ok' if provider == 'script' else 'echo'}"
    kinds, text = [], ""
    options = {"stream_options": {"include_usage": True}}
    with client.chat.completions.stream(model=model, messages=ASK, **options) as stream:
        for event in stream:
            kinds.append(event.type)
            text += event.delta if event.type == "content.delta" else ""
        final = stream.get_final_completion()
    whole = client.chat.completions.create(model=model, messages=ASK)
    same(text, whole.choices[0].message.content)
    same(final.choices[0].message.content, text)
    same(final.choices[0].finish_reason, "stop")
    same(final.usage.total_tokens, 18)
    assert kinds.count("content.done") == 1, kinds


def called(message):
    """The calls of a message, which have to be the two that are expected."""
    calls = message.tool_calls
    same([call.function.name for call in calls], ["add", "weather"])
    same(json.loads(calls[0].function.arguments), {"a": 1, "b": 1})
    same(json.loads(calls[1].function.arguments), {"city": "x"})
    assert len({call.id for call in calls}) == 2 and all(call.id for call in calls), calls
    same({call.type for call in calls}, {"function"})
    return calls


def results(calls):
    texts = ("2", [{"type": "text", "text": "sunny"}])
    return [
        {"role": "tool", "tool_call_id": call.id, "content": text} for call, text in zip(calls, texts)
    ]


def tools(client, provider):
    ask = {"model": f"{provider}-tools", "tools": TOOLS, "tool_choice": "auto"}
    first = client.chat.completions.create(messages=ASK, parallel_tool_calls=True, **ask)
    same(first.choices[0].finish_reason, "tool_calls")
    message = first.choices[0].message
    messages = [*ASK, message, *results(called(message))]
    second = client.chat.completions.create(messages=messages, **ask)
    same(second.choices[0].finish_reason, "stop")
    same(second.choices[0].message.content, "results: 2; sunny")


def streamed_tools(client, provider):
    ask = {"model": f"{provider}-tools", "tools": TOOLS}
    done = []
    with client.chat.completions.stream(messages=ASK, **ask) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.done":
                done.append((event.name, json.loads(event.arguments)))
        message = stream.get_final_completion().choices[0].message
    same(done, [("add", {"a": 1, "b": 1}), ("weather", {"city": "x"})])
    calls = called(message)
    pieces = {}
    for chunk in client.chat.completions.create(messages=ASK, stream=True, **ask):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                kept = pieces.setdefault(call.index, ["", "", ""])
                kept[0] += call.id or ""
                kept[1] += call.function.name or ""
                kept[2] += call.function.arguments or ""
    same([kept[1] for kept in pieces.values()], ["add", "weather"])
    same([json.loads(kept[2]) for kept in pieces.values()], [{"a": 1, "b": 1}, {"city": "x"}])
    answer = ""
    messages = [*ASK, message, *results(calls)]
    for chunk in client.chat.completions.create(messages=messages, stream=True, **ask):
        answer += "".join(choice.delta.content or "" for choice in chunk.choices)
    same(answer, "results: 2; sunny")


def parsed(client, provider):
    ask = {"model": f"{provider}-json", "messages": ASK}
    answer = client.chat.completions.parse(response_format=Point, **ask)
    same(answer.choices[0].message.parsed, Point(name="x", x=1, y=1))


def parsed_stream(client, provider):
    ask = {"model": f"{provider}-json", "messages": ASK}
    with client.chat.completions.stream(response_format=Point, **ask) as stream:
        final = stream.get_final_completion()
    same(final.choices[0].message.parsed, Point(name="x", x=1, y=1))


def picture(client, provider):
    url = f"data:image/png;base64,{PICTURE_BASE64}"
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    messages = [{"role": "user", "content": content}]
    answer = client.chat.completions.create(model=f"{provider}-image", messages=messages)
    same(answer.choices[0].message.content, f"image/png of {len(PICTURE)} bytes")


def cached(client, provider):
    usage = client.chat.completions.create(model=f"{provider}-cached", messages=ASK).usage
    same(usage.prompt_tokens_details.cached_tokens, 5)
    same(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
    assert usage.prompt_tokens >= 16, usage


def bounds(place, client, provider):
    """What bounds an answer gets as far as the provider."""
    ask = {"model": f"{provider}-ok", "messages": ASK, "temperature": 0.25}
    client.chat.completions.create(max_tokens=1234, stop=["END-OF-IT"], **ask)
    asked = place.last(provider, "ok")
    assert all(text in asked for text in ("1234", '["END-OF-IT"]', "0.25")), asked


def proofs(place, client, provider):
    """Gemini's proof of a call comes back even where a client brings back only what it knows."""
    ask = {"model": f"{provider}-tools", "tools": TOOLS}
    calls = client.chat.completions.create(messages=ASK, **ask).choices[0].message.tool_calls
    bare = [
        {"id": call.id, "type": "function", "function": call.function.to_dict()} for call in calls
    ]
    turn = {"role": "assistant", "content": None, "tool_calls": bare}
    second = client.chat.completions.create(messages=[*ASK, turn, *results(calls)], **ask)
    same(second.choices[0].message.content, "results: 2; sunny")
    assert (SEALS["gemini"] in place.last(provider, "tools")) == (provider == "gemini"), "a proof is astray"


def thoughts(place, client, provider):
    ask = {"model": f"{provider}-think", "reasoning_effort": "low"}
    first = client.chat.completions.create(messages=ASK, **ask)
    message = first.choices[0].message
    same(message.content, "ok")
    if provider != "anthropic":
        same(first.usage.completion_tokens_details.reasoning_tokens, 4)
    go_on(place, client, provider, message)


def streamed_thoughts(place, client, provider):
    ask = {"model": f"{provider}-think", "reasoning_effort": "low"}
    with client.chat.completions.stream(messages=ASK, **ask) as stream:
        message = stream.get_final_completion().choices[0].message
    same(message.content, "ok")
    go_on(place, client, provider, message)


def go_on(place, client, provider, message):
    """A second turn, with the thoughts of the first."""
    again = [*ASK, message, {"role": "user", "content": "And then?"}]
    second = client.chat.completions.create(model=f"{provider}-think", messages=again)
    same(second.choices[0].message.content, "ok")
    if provider in ("anthropic", "gemini"):
        same(message.reasoning_content, "let me see")
        assert SEALS[provider] in place.last(provider, "think"), "the seal was lost"


def cut_short(client, provider):
    answer = client.chat.completions.create(model=f"{provider}-length", messages=ASK)
    same((answer.choices[0].finish_reason, answer.choices[0].message.content), ("length", "so far"))
    answer = client.chat.completions.create(model=f"{provider}-filter-finish", messages=ASK)
    same(answer.choices[0].finish_reason, "content_filter")
    refused = client.chat.completions.create(model=f"{provider}-refusal", messages=ASK)
    choice = refused.choices[0]
    said = choice.message.refusal or choice.message.content
    assert choice.message.refusal or choice.finish_reason == "content_filter", choice
    # Gemini holds a prompt back without a word.
    same(said, "" if provider == "gemini" else "I cannot help")
