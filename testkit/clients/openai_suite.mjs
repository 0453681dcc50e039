// OpenAI's client for JavaScript, as it is, against every route it knows and every provider behind the gateway.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const place = JSON.parse(process.argv[2]);
// The client lies where it was installed, and not beside this file.
const require = createRequire(`${place.modules}/package.json`);
const load = async (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: OpenAI } = await load("openai");
const { zodResponseFormat, zodTextFormat } = await load("openai/helpers/zod");
const { z } = await load("zod");

const client = new OpenAI({ baseURL: `${place.url}/v1`, apiKey: place.key, maxRetries: 0 });
const ask = [{ role: "user", content: "Say it: naïve 東京" }];
const Point = z.object({ name: z.string(), x: z.number().int(), y: z.number().int() });
const point = { name: "x", x: 1, y: 1 };
const add = {
  type: "object",
  properties: { a: { type: "integer" }, b: { type: "integer" } },
  required: ["a", "b"],
  additionalProperties: false,
};
const weather = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

const everywhere = {
  async plain(provider) {
    const answer = await client.chat.completions.create({ model: `${provider}-ok`, messages: ask });
    assert.equal(answer.choices[0].message.content, "ok");
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.total_tokens, 18);
    const other = await client.responses.create({ model: `${provider}-ok`, input: "Say it" });
    assert.equal(other.output_text, "ok");
    assert.equal(other.usage.total_tokens, 18);
  },

  async streamed(provider) {
    const model = `${provider}-${provider === "script" ? "ok" : "echo"}`;
    const expected = provider === "script" ? "ok" : ask[0].content;
    let text = "";
    const options = { stream: true, stream_options: { include_usage: true } };
    let usage;
    for await (const chunk of await client.chat.completions.create({ model, messages: ask, ...options })) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, expected);
    assert.equal(usage.total_tokens, 18);
    text = "";
    for await (const event of await client.responses.create({ model, input: ask, stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(text, expected);
  },

  async helpers(provider) {
    const stream = client.chat.completions.stream({ model: `${provider}-ok`, messages: ask });
    let said = "";
    stream.on("content", (delta) => (said += delta));
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, "ok");
    assert.equal(said, "ok");
    const other = client.responses.stream({ model: `${provider}-ok`, input: "Say it" });
    assert.equal((await other.finalResponse()).output_text, "ok");
  },

  // The client calls the tools by itself, and goes on until the model is done.
  async runTools(provider) {
    for (const stream of [false, true]) {
      const asked = [];
      const run = (name, parameters, answer) => ({
        type: "function",
        function: {
          name,
          parameters,
          parse: JSON.parse,
          description: name,
          function: (given) => {
            asked.push([name, given]);
            return answer;
          },
        },
      });
      const tools = [run("add", add, "2"), run("weather", weather, "sunny")];
      const runner = client.chat.completions.runTools({
        model: `${provider}-tools`,
        messages: ask,
        tools,
        stream,
      });
      assert.equal(await runner.finalContent(), "results: 2; sunny");
      assert.deepEqual(asked, [["add", { a: 1, b: 1 }], ["weather", { city: "x" }]]);
    }
  },

  async responsesTools(provider) {
    const tools = [
      { type: "function", name: "add", parameters: add, strict: true },
      { type: "function", name: "weather", parameters: weather, strict: true },
    ];
    const request = { model: `${provider}-tools`, tools };
    const first = await client.responses.create({ ...request, input: ask });
    const calls = first.output.filter((item) => item.type === "function_call");
    assert.deepEqual(calls.map((call) => call.name), ["add", "weather"]);
    const results = calls.map((call, index) => ({
      type: "function_call_output",
      call_id: call.call_id,
      output: ["2", "sunny"][index],
    }));
    const again = client.responses.stream({ ...request, input: [...ask, ...first.output, ...results] });
    assert.equal((await again.finalResponse()).output_text, "results: 2; sunny");
  },

  async parsed(provider) {
    const model = `${provider}-json`;
    const chat = await client.chat.completions.parse({
      model,
      messages: ask,
      response_format: zodResponseFormat(Point, "point"),
    });
    assert.deepEqual(chat.choices[0].message.parsed, point);
    const other = await client.responses.parse({
      model,
      input: ask,
      text: { format: zodTextFormat(Point, "point") },
    });
    assert.deepEqual(other.output_parsed, point);
  },
};

const overHttp = {
  async failures(provider) {
    const kinds = {
      ctx: OpenAI.BadRequestError,
      filter: OpenAI.BadRequestError,
      500: OpenAI.InternalServerError,
      "429-2": OpenAI.RateLimitError,
      401: OpenAI.UnprocessableEntityError,
    };
    for (const [scenario, kind] of Object.entries(kinds)) {
      const request = { model: `${provider}-${scenario}` };
      await assert.rejects(client.chat.completions.create({ ...request, messages: ask }), kind);
      await assert.rejects(client.responses.create({ ...request, input: "Hello" }), kind);
    }
  },

  async withinStreams(provider) {
    for (const scenario of ["cut", "overloaded-mid"]) {
      const model = `${provider}-${scenario}`;
      const read = async (stream) => {
        for await (const _ of stream);
      };
      const chat = await client.chat.completions.create({ model, messages: ask, stream: true });
      await assert.rejects(read(chat), OpenAI.APIError);
      const other = client.responses.stream({ model, input: "Hello" });
      await assert.rejects(other.finalResponse());
    }
  },

  async waits(provider) {
    const patient = client.withOptions({ maxRetries: 1 });
    const started = performance.now();
    await patient.chat.completions.create({ model: `${provider}-limited-1-1`, messages: ask });
    assert.ok(performance.now() - started >= 1000, "the wait was not kept");
  },

  async timesOut(provider) {
    const hasty = client.withOptions({ timeout: 300 });
    const request = { model: `${provider}-stall`, messages: ask };
    await assert.rejects(hasty.chat.completions.create(request), OpenAI.APIConnectionTimeoutError);
  },
};

const vectors = {
  async vectors(provider) {
    const request = { model: `${provider}-ok`, input: ["one", "two"] };
    const plain = await client.embeddings.create({ ...request, encoding_format: "float" });
    const packed = await client.embeddings.create(request);
    assert.equal(plain.data.length, 2);
    plain.data.forEach(({ embedding }, index) => {
      const other = packed.data[index].embedding;
      assert.equal(embedding.length, other.length);
      embedding.forEach((value, at) => assert.ok(Math.abs(value - other[at]) < 1e-6));
    });
  },
};

const once = {
  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.ok(names.includes("openai-ok"));
    assert.equal((await client.models.retrieve("openai-ok")).id, "openai-ok");
    await assert.rejects(client.models.retrieve("nothing"), OpenAI.NotFoundError);
  },

  async keys() {
    const stranger = client.withOptions({ apiKey: "wrong" });
    const request = { model: "openai-echo", messages: ask };
    await assert.rejects(stranger.chat.completions.create(request), OpenAI.AuthenticationError);
    const narrow = client.withOptions({ apiKey: place.narrow_key });
    await assert.rejects(narrow.chat.completions.create(request), OpenAI.PermissionDeniedError);
  },

  async spent() {
    let asked = 0;
    const counting = (url, options) => {
      asked += 1;
      return fetch(url, options);
    };
    const poor = client.withOptions({ fetch: counting, maxRetries: 3 });
    const request = { model: "poor", messages: ask, max_completion_tokens: 100 };
    await assert.rejects(poor.chat.completions.create(request), { status: 402 });
    assert.equal(asked, 1);
  },
};

let [passed, failed] = [0, 0];

async function run(checks, provider) {
  for (const [name, check] of Object.entries(checks)) {
    const title = [name, provider].filter(Boolean).join(" ");
    try {
      await check(provider);
      passed += 1;
      console.log(`ok   ${title}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${title}\n${error.stack}`);
    }
  }
}

for (const provider of place.providers) {
  await run(everywhere, provider);
  if (provider !== "script") await run(overHttp, provider);
  if (["openai", "azure", "compatible", "gemini"].includes(provider)) await run(vectors, provider);
}
await run(once);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
