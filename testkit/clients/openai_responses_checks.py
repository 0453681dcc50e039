"""`client.responses` in all its ways."""

import json

from checks import ADD, PICTURE, PICTURE_BASE64, SAY, SEALS, WEATHER, Point, same

TOOLS = [
    {"type": "function", "name": "add", "parameters": ADD, "strict": True},
    {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True},
]
ASK = SAY


def run(checks, place, client, provider):
    for check in (plain, conversation, streamed, helper, tools, streamed_tools, parsed, parsed_stream):
        checks.run(check, client, provider, "responses")
    if provider != "script":
        for check in (echoed, picture, cached):
            checks.run(check, client, provider, "responses")
        checks.run(cut_short, client, provider, "responses")
        for check in (thoughts, streamed_thoughts):
            checks.run(check, place, client, provider, "responses")


def plain(client, provider, _route):
    answer = client.responses.create(model=f"{provider}-ok", input=ASK)
    same((answer.object, answer.status, answer.output_text), ("response", "completed", "ok"))
    assert answer.id and answer.created_at and answer.model, answer
    same([item.type for item in answer.output], ["message"])
    usage = answer.usage
    same((usage.input_tokens, usage.output_tokens, usage.total_tokens), (11, 7, 18))


def echoed(client, provider, _route):
    same(client.responses.create(model=f"{provider}-echo", input=ASK).output_text, ASK)


def conversation(client, provider, _route):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Two"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Three"}]},
    ]
    more = {"temperature": 0.5, "top_p": 0.9, "max_output_tokens": 100, "store": False}
    answer = client.responses.create(
        model=f"{provider}-ok", instructions="Be true.", input=messages, **more
    )
    same(answer.output_text, "ok")


def streamed(client, provider, _route):
    model = f"{provider}-{'ok' if provider == 'script' else 'echo'}"
    whole = client.responses.create(model=model, input=ASK)
    kinds, text, numbers, last = [], "", [], None
    for event in client.responses.create(model=model, input=ASK, stream=True):
        kinds.append(event.type)
        numbers.append(event.sequence_number)
        text += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    same(text, whole.output_text)
    same((kinds[0], kinds[-1]), ("response.created", "response.completed"))
    same(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
    same((last.response.output_text, last.response.usage.total_tokens), (text, 18))


def helper(client, provider, _route):
    text = ""
    with client.responses.stream(model=f"{provider}-ok", input=ASK) as stream:
        for event in stream:
            text += event.delta if event.type == "response.output_text.delta" else ""
        final = stream.get_final_response()
    same((text, final.output_text, final.status), ("ok", "ok", "completed"))


def called(answer):
    """The calls of an answer, which have to be the two that are expected."""
    calls = [item for item in answer.output if item.type == "function_call"]
    same([call.name for call in calls], ["add", "weather"])
    same(json.loads(calls[0].arguments), {"a": 1, "b": 1})
    same(json.loads(calls[1].arguments), {"city": "x"})
    assert len({call.call_id for call in calls}) == 2 and all(call.call_id for call in calls), calls
    return calls


def results(calls):
    return [
        {"type": "function_call_output", "call_id": call.call_id, "output": text}
        for call, text in zip(calls, ("2", "sunny"))
    ]


def tools(client, provider, _route):
    ask = {"model": f"{provider}-tools", "tools": TOOLS, "parallel_tool_calls": True}
    question = {"role": "user", "content": ASK}
    first = client.responses.create(input=[question], **ask)
    again = [question, *first.output, *results(called(first))]
    second = client.responses.create(input=again, **ask)
    same(second.output_text, "results: 2; sunny")


def streamed_tools(client, provider, _route):
    ask = {"model": f"{provider}-tools", "tools": TOOLS}
    question = {"role": "user", "content": ASK}
    pieces, done = {}, []
    with client.responses.stream(input=[question], **ask) as stream:
        for event in stream:
            if event.type == "response.function_call_arguments.delta":
                pieces[event.output_index] = pieces.get(event.output_index, "") + event.delta
            if event.type == "response.function_call_arguments.done":
                done.append(json.loads(event.arguments))
        final = stream.get_final_response()
    same(done, [{"a": 1, "b": 1}, {"city": "x"}])
    same([json.loads(text) for text in pieces.values()], done)
    again = [question, *final.output, *results(called(final))]
    with client.responses.stream(input=again, **ask) as stream:
        same(stream.get_final_response().output_text, "results: 2; sunny")


def parsed(client, provider, _route):
    answer = client.responses.parse(model=f"{provider}-json", input=ASK, text_format=Point)
    same(answer.output_parsed, Point(name="x", x=1, y=1))


def parsed_stream(client, provider, _route):
    with client.responses.stream(model=f"{provider}-json", input=ASK, text_format=Point) as stream:
        same(stream.get_final_response().output_parsed, Point(name="x", x=1, y=1))


def picture(client, provider, _route):
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE_BASE64}", "detail": "low"},
    ]
    question = [{"role": "user", "content": content}]
    answer = client.responses.create(model=f"{provider}-image", input=question)
    same(answer.output_text, f"image/png of {len(PICTURE)} bytes")


def cut_short(client, provider, _route):
    for scenario, reason in (("length", "max_output_tokens"), ("filter-finish", "content_filter")):
        answer = client.responses.create(model=f"{provider}-{scenario}", input=ASK)
        same((answer.status, answer.incomplete_details.reason), ("incomplete", reason))
        same(answer.output_text, "so far")
        with client.responses.stream(model=f"{provider}-{scenario}", input=ASK) as stream:
            kinds = [event.type for event in stream]
        same(kinds[-1], "response.incomplete")


def cached(client, provider, _route):
    usage = client.responses.create(model=f"{provider}-cached", input=ASK).usage
    same(usage.input_tokens_details.cached_tokens, 5)
    same(usage.total_tokens, usage.input_tokens + usage.output_tokens)
    assert usage.input_tokens >= 16, usage


THINK = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}


def thoughts(place, client, provider, _route):
    ask = {"model": f"{provider}-think", "store": False, **THINK}
    question = {"role": "user", "content": ASK}
    first = client.responses.create(input=[question], **ask)
    same(first.output_text, "ok")
    if provider != "anthropic":
        same(first.usage.output_tokens_details.reasoning_tokens, 4)
    go_on(place, client, provider, ask, question, first)


def streamed_thoughts(place, client, provider, _route):
    ask = {"model": f"{provider}-think", "store": False, **THINK}
    question = {"role": "user", "content": ASK}
    with client.responses.stream(input=[question], **ask) as stream:
        first = stream.get_final_response()
    same(first.output_text, "ok")
    go_on(place, client, provider, ask, question, first)


def go_on(place, client, provider, ask, question, first):
    """A second turn, with the thoughts of the first."""
    sealed = provider in ("openai", "anthropic", "gemini")
    if sealed:
        items = [item for item in first.output if item.type == "reasoning"]
        same(items[0].summary[0].text, "let me see")
        assert any(item.encrypted_content for item in items), items
    again = [question, *first.output, {"role": "user", "content": "And then?"}]
    second = client.responses.create(input=again, **ask)
    same(second.output_text, "ok")
    assert not sealed or SEALS[provider] in place.last(provider, "think"), "the seal was lost"
