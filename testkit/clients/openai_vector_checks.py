"""`client.embeddings` and `client.models`."""

import openai

from checks import fails, same


def run(checks, place, client):
    for provider in place.providers:
        if provider in ("openai", "azure", "compatible", "gemini"):
            checks.run(vectors, client, provider)
    checks.run(no_vectors, client)
    checks.run(models, place, client)


def vectors(client, provider):
    model = f"{provider}-ok"
    both = ["one", "two"]
    plain = client.embeddings.create(model=model, input=both, encoding_format="float")
    same([entry.index for entry in plain.data], [0, 1])
    assert plain.data[0].embedding and plain.usage.prompt_tokens == plain.usage.total_tokens, plain
    # Without an encoding, the client asks for base64 and takes it apart itself.
    packed = client.embeddings.create(model=model, input=both)
    for one, other in zip(plain.data, packed.data):
        close = all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding))
        assert close and len(one.embedding) == len(other.embedding), (one, other)
    single = client.embeddings.create(model=model, input="one", dimensions=2)
    same((len(single.data), len(single.data[0].embedding)), (1, 2))


def no_vectors(client):
    error = fails(
        openai.BadRequestError, lambda: client.embeddings.create(model="anthropic-ok", input="one")
    )
    same(error.status_code, 400)


def models(place, client):
    names = [model.id for model in client.models.list()]
    for provider in place.providers:
        assert f"{provider}-ok" in names, names
    same(client.models.retrieve("openai-ok").id, "openai-ok")
    fails(openai.NotFoundError, lambda: client.models.retrieve("nothing"))
    narrow = client.with_options(api_key=place.narrow_key)
    same([model.id for model in narrow.models.list()], ["openai-ok"])
