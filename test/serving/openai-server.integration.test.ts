import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import type { ChatMessage } from "../../src/inputs/chat-template.ts";
import { type OpenAiServer, serveModels } from "../../src/serving/openai-server.ts";
import { fineTune } from "../support/fine-tune.ts";
import { runtime } from "../support/runtime.ts";
import {
  ANSWERS,
  chats,
  FOLLOWED_UP,
  trainedToAnswer,
  writeJsonl,
  writeTinyLanguageModel,
} from "../support/tiny-language-model.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

/** A tool, and a call of it, as OpenAI's client has them. */
const TOOLS = [
  { type: "function", function: { name: "weather", parameters: { properties: { city: { type: "string" } } } } },
];
const callOf = (written: string) => ({ id: "1", type: "function", function: { name: "weather", arguments: written } });

const LIMITS = { port: 0, maxNewTokens: 40, maxWaiting: 3, maxBodyBytes: 250_000 };

let home: string;
let models: Map<string, FineTunedModel>;
let server: OpenAiServer;
let client: OpenAI;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-serving-"));
  const output = join(home, "labels");
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  const model = await writeTinyModel(join(home, "encoder"));
  await fineTune({ model, train, text: "message", label: "team", method: "lora", epochs: 2, threads: 1, output });
  models = new Map([
    ["answers", await loadFineTunedModel(await trainedToAnswer(home), runtime)],
    ["labels", await loadFineTunedModel(output, runtime)],
    ["tools", await loadFineTunedModel(await withTools(), runtime)],
  ]);
  server = await serveModels(models, LIMITS);
  client = new OpenAI({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
});
afterAll(async () => {
  await server.close();
  for (const model of models.values()) await model.release();
  await rm(home, { recursive: true });
});

/** A model whose chat template knows of tools. @returns its run folder */
async function withTools(): Promise<string> {
  const model = await writeTinyLanguageModel(join(home, "tools-model"), {
    template: "qwen2.5",
    max_position_embeddings: 2048,
  });
  const train = await writeJsonl(join(home, "chats.jsonl"), chats(8));
  const output = join(home, "tools");
  await fineTune({ model, train, validation: train, method: "lora", epochs: 1, threads: 1, output });
  return output;
}

const formatOf = (schema: object) => ({ type: "json_schema", json_schema: { name: "x", schema } }) as const;
const nested = (depth: number): object => (depth === 0 ? {} : { not: nested(depth - 1) });

/** Is refused once a good part of it is compiled. */
const large = { anyOf: Array.from({ length: 3000 }, (_, minimum) => ({ type: "number", minimum })) };
/** Each `a` that is written may belong to any turn of four counts. */
const growing = { type: "string", pattern: "^(((a+a{0,99}){1,99}){1,99}){35,99}$" };

const [[question, expected]] = ANSWERS as [[string, string]];
const ask = (content: string) => [{ role: "user", content }] as const;

describe("OpenAI's own client", () => {
  test("lists the models", async () => {
    const names: string[] = [];
    for await (const { id } of client.models.list()) names.push(id);
    expect(names).toEqual(["answers", "labels", "tools"]);
    expect(await client.models.retrieve("labels")).toMatchObject({ id: "labels", object: "model" });
    await expect(client.models.retrieve("label")).rejects.toMatchObject({ status: 404 });
  });

  test("sends tools, calls and their results, which the template passes to the model", async () => {
    const { tokenizer } = models.get("tools")!.base;
    const countOf = (messages: ChatMessage[], tools?: object[]) =>
      tokenizer.idsOf(tokenizer.chatTemplate!.render(messages, { tools, addGenerationPrompt: true })).length;
    const result = { role: "tool", tool_call_id: "1", content: "rain" };
    const asked = [...ask(question), { role: "assistant", tool_calls: [callOf('{"city":"Oslo"}')] }, result];
    const create = (more: object) =>
      client.chat.completions.create({ model: "tools", messages: asked, max_tokens: 1, ...more } as never) as Promise<{
        usage: { prompt_tokens: number };
      }>;
    // Templates read arguments as what they say, which OpenAI writes as text.
    const call = { ...callOf(""), function: { name: "weather", arguments: { city: "Oslo" } } };
    const messages = [...ask(question), { role: "assistant", tool_calls: [call] }, result];
    expect((await create({ tools: TOOLS })).usage.prompt_tokens).toBe(countOf(messages, TOOLS));
    expect((await create({ tools: TOOLS, tool_choice: "none" })).usage.prompt_tokens).toBe(countOf(messages));
    expect(countOf(messages, TOOLS)).toBeGreaterThan(countOf(messages) + 20);
  });

  test("gets complete and streamed answers", async () => {
    const whole = await client.chat.completions.create({ model: "answers", messages: [...ask(question)] });
    expect(whole.choices).toMatchObject([
      { index: 0, message: { role: "assistant", content: expected }, finish_reason: "stop" },
    ]);
    const { prompt_tokens, completion_tokens, total_tokens } = whole.usage!;
    expect(prompt_tokens).toBeGreaterThan(5);
    expect(total_tokens).toBe(prompt_tokens + completion_tokens);

    const stream = await client.chat.completions.create({
      model: "answers",
      messages: [...ask(question)],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const pieces = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? ""));
    expect(pieces.join("")).toBe(expected);
    expect(pieces.filter((piece) => piece !== "").length).toBeGreaterThan(2);
    expect(chunks[0]!.choices[0]!.delta.role).toBe("assistant");
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe("stop");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
  });

  test("a stream's connection closes after it on request", async () => {
    const body = JSON.stringify({ model: "answers", messages: ask("What is it?"), stream: true, max_tokens: 2 });
    const headers = { "Content-Type": "application/json", Connection: "close" };
    const said = await new Promise<string>((resolve, reject) => {
      const asked = request(`${server.url}/chat/completions`, { method: "POST", headers, agent: false }, (answer) => {
        expect(answer.headers.connection).toBe("close");
        let text = "";
        answer.on("data", (chunk) => {
          text += chunk;
        });
        answer.on("close", () => resolve(text));
      });
      asked.on("error", reject);
      asked.end(body);
    });
    expect(said).toMatch(/\[DONE\]\s*$/);
  });

  test("has its conversation, options and limits respected", async () => {
    const { choices } = await client.chat.completions.create({
      model: "answers",
      messages: FOLLOWED_UP.slice(0, -1) as never,
    });
    expect(choices[0]!.message.content).toBe(FOLLOWED_UP.at(-1)!.content);
    const short = await client.chat.completions.create({
      model: "answers",
      messages: [...ask(question)],
      max_tokens: 2,
    });
    expect(short).toMatchObject({ choices: [{ finish_reason: "length" }], usage: { completion_tokens: 2 } });
    const stopped = await client.chat.completions.create({
      model: "answers",
      messages: [...ask(question)],
      stop: " mat",
    });
    expect(stopped.choices[0]!.message.content).toBe(expected.slice(0, expected.indexOf(" mat")));
    const drawn = (seed: number) =>
      client.chat.completions.create({ model: "answers", messages: [...ask("What?")], temperature: 2, seed });
    const [one, same, other] = [await drawn(1), await drawn(1), await drawn(2)];
    expect(one.choices).toEqual(same.choices);
    expect(one.choices).not.toEqual(other.choices);
  });

  test("gets complete and streamed answers that follow a schema", async () => {
    const schema = {
      type: "object",
      properties: { label: { enum: ["a", "b"] }, count: { type: "integer", minimum: 1, maximum: 20 } },
      required: ["label", "count"],
    };
    const asked = { model: "answers", messages: [...ask(question)], temperature: 2, seed: 3 };
    const whole = await client.chat.completions.create({ ...asked, n: 3, response_format: formatOf(schema) as never });
    expect(whole.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    const found = whole.choices.map(({ message }) => JSON.parse(message.content!) as { label: string; count: number });
    for (const { label, count, ...others } of found) {
      expect(["a", "b"]).toContain(label);
      expect(Number.isInteger(count) && count >= 1 && count <= 20).toBe(true);
      expect(others).toEqual({});
    }
    const stream = await client.chat.completions.create({
      ...asked,
      stream: true,
      response_format: { type: "json_object" },
    });
    let text = "";
    for await (const { choices } of stream) text += choices[0]!.delta.content ?? "";
    expect(JSON.parse(text)).toBeTypeOf("object");
  });

  test("gets a tool call if it forces one", async () => {
    const tool = {
      type: "function",
      function: {
        name: "rain",
        parameters: {
          type: "object",
          properties: { at: { $ref: "#/$defs/place" } },
          required: ["at"],
          $defs: { place: { enum: ["Oslo", "Rome"] } },
        },
      },
    } as const;
    const create = { model: "tools", messages: [...ask("Rain?")], tools: [tool], tool_choice: "required" } as const;
    const { choices } = await client.chat.completions.create(create as never);
    const [{ message, finish_reason }] = choices as [(typeof choices)[0]];
    expect(finish_reason).toBe("tool_calls");
    const [call] = message.tool_calls as unknown as [{ function: { name: string; arguments: string } }];
    expect(call.function.name).toBe("rain");
    expect(["Oslo", "Rome"]).toContain(JSON.parse(call.function.arguments).at);
    const stream = await client.chat.completions.create({ ...create, stream: true } as never);
    const deltas: { tool_calls?: object[] }[] = [];
    for await (const chunk of stream as unknown as AsyncIterable<OpenAI.ChatCompletionChunk>)
      deltas.push(chunk.choices[0]!.delta);
    expect(deltas.at(-1)!.tool_calls).toMatchObject([{ index: 0, function: call.function }]);
  });

  test("gets responses, complete and as events, to complete conversations", async () => {
    const whole = await client.responses.create({
      model: "answers",
      input: question,
      include: ["message.output_text.logprobs"],
      metadata: { of: "test" },
    });
    expect(whole).toMatchObject({ object: "response", status: "completed", output_text: expected, error: null });
    expect(whole).toMatchObject({ metadata: { of: "test" }, tool_choice: "auto", text: { format: { type: "text" } } });
    const [{ content }] = whole.output as unknown as [{ content: { logprobs: { token: string }[] }[] }];
    expect(content[0]!.logprobs.map(({ token }) => token).join("")).toBe(expected);
    const chat = await client.chat.completions.create({ model: "answers", messages: [...ask(question)] });
    expect(whole.usage).toMatchObject({
      input_tokens: chat.usage!.prompt_tokens,
      output_tokens: chat.usage!.completion_tokens,
      total_tokens: chat.usage!.total_tokens,
    });

    // The client puts the answer together from the events, and refuses any in the wrong place.
    const stream = client.responses.stream({ model: "answers", input: question });
    const deltas: string[] = [];
    stream.on("response.output_text.delta", ({ delta }) => void deltas.push(delta));
    const { output_text, status } = await stream.finalResponse();
    expect([output_text, status]).toEqual([expected, "completed"]);
    expect(deltas.join("")).toBe(expected);
    expect(deltas.length).toBeGreaterThan(2);

    const cut = await client.responses.create({ model: "answers", input: question, max_output_tokens: 1 });
    expect(cut).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });

    const [first, said, second, followed] = FOLLOWED_UP.map((turn) => turn.content as string);
    const input = [
      { role: "user", content: [{ type: "input_text", text: first! }] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: said! }] },
      { role: "user", content: second! },
    ];
    expect((await client.responses.create({ model: "answers", input } as never)).output_text).toBe(followed);
  });

  test("gets a response that is a call, and continues after its output", async () => {
    const parameters = { type: "object", properties: { at: { enum: ["Oslo"] } }, required: ["at"] };
    const tools: OpenAI.Responses.FunctionTool[] = [{ type: "function", name: "rain", parameters, strict: true }];
    const asked = { model: "tools", input: "Rain?", tools, tool_choice: "required" as const };
    const { output } = await client.responses.create(asked);
    expect(output).toMatchObject([{ type: "function_call", name: "rain", arguments: '{"at":"Oslo"}' }]);
    const streamed = await client.responses.stream(asked).finalResponse();
    expect(streamed.output).toMatchObject([{ type: "function_call", name: "rain", arguments: '{"at":"Oslo"}' }]);
    const [{ call_id }] = output as unknown as [{ call_id: string }];
    const result = { type: "function_call_output", call_id, output: "rain" } as const;
    const input = [{ role: "user", content: "Rain?" } as const, output[0]!, result];
    const after = { model: "tools", input, tools, max_output_tokens: 1, instructions: "Be short" };
    const { usage } = await client.responses.create(after as never);
    const { tokenizer } = models.get("tools")!.base;
    const call = { id: call_id, type: "function", function: { name: "rain", arguments: { at: "Oslo" } } };
    const messages = [
      { role: "system", content: "Be short" },
      ...ask("Rain?"),
      { role: "assistant", tool_calls: [call] },
      { role: "tool", tool_call_id: call_id, content: "rain" },
    ];
    const shown = tools.map(({ type, ...named }) => ({ type, function: named }));
    const text = tokenizer.chatTemplate!.render(messages, { tools: shown, addGenerationPrompt: true });
    expect(usage!.input_tokens).toBe(tokenizer.idsOf(text).length);

    const city = { name: "city", schema: { enum: ["Oslo"] } };
    const held = { model: "answers", input: question, text: { format: { type: "json_schema", ...city } } } as const;
    expect((await client.responses.create(held)).output_text).toBe('"Oslo"');
  });

  test.each([
    ["a stored one", { previous_response_id: "resp_1" }, /previous_response_id: responses are not stored/],
    ["a picture", { input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] }, /input/],
    ["a tool of OpenAI's", { tools: [{ type: "web_search" }] }, /only functions are supported/],
    ["a model that labels", { model: "labels" }, /model "labels" labels texts \(classification\); ask \/v1\/classify/],
  ])("is told in a sentence that a response cannot have %s", async (_, more, message) => {
    const asked = client.responses.create({ model: "answers", input: question, ...more } as never);
    await expect(asked).rejects.toMatchObject({ status: 400, message: expect.stringMatching(message) });
  });

  test("gets the likelihood of each token, and the log has the answer's time", async () => {
    const lines: string[] = [];
    const logged = await serveModels(models, { ...LIMITS, log: (line) => lines.push(line) });
    try {
      const told = new OpenAI({ baseURL: logged.url, apiKey: "none", maxRetries: 0 });
      const asked = { model: "answers", messages: [...ask(question)] };
      const { choices } = await told.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 });
      const content = choices[0]!.logprobs!.content!;
      expect(content.map(({ token }) => token).join("")).toBe(expected);
      for (const { token, logprob, bytes, top_logprobs } of content) {
        // Greedy: each is the likeliest in its place.
        expect(top_logprobs[0]).toEqual({ token, logprob, bytes });
        expect(top_logprobs).toHaveLength(2);
        expect(logprob).toBeLessThanOrEqual(0);
      }
      const prompt = "The cat";
      const { choices: texts } = await told.completions.create({
        model: "answers",
        prompt,
        logprobs: 1,
        max_tokens: 3,
      });
      expect(texts[0]!.logprobs!.tokens!.join("")).toBe(texts[0]!.text);
      expect(texts[0]!.logprobs!.text_offset![0]).toBe(0);
      expect(lines[0]).toMatch(
        /^answers: \d+ tokens read; \d+ written, the first after [\d.]+ s, then [\d.]+ a second$/,
      );
      expect(lines).toHaveLength(2);
      const streamed: string[] = [];
      for await (const { choices } of await told.chat.completions.create({ ...asked, stream: true, logprobs: true })) {
        streamed.push(...(choices[0]!.logprobs?.content ?? []).map(({ token }) => token));
      }
      expect(streamed.join("")).toBe(expected);
    } finally {
      await logged.close();
    }
  });

  test("gets several answers streamed concurrently, equal to the complete ones", async () => {
    const drawn = { model: "answers", messages: [...ask(question)], n: 3, temperature: 1.5, seed: 7, max_tokens: 12 };
    const whole = await client.chat.completions.create({ ...drawn, logprobs: true });
    const options = { stream: true, logprobs: true, stream_options: { include_usage: true } } as const;
    const stream = await client.chat.completions.create({ ...drawn, ...options });
    const found = whole.choices.map(() => ({ roles: 0, text: "", tokens: [] as string[], reason: "" }));
    const order: number[] = [];
    let used: object | null | undefined;
    for await (const { choices, usage } of stream) {
      used = usage;
      for (const { index, delta, logprobs, finish_reason } of choices) {
        const answer = found[index]!;
        if (delta.role) answer.roles++;
        answer.text += delta.content ?? "";
        answer.tokens.push(...(logprobs?.content ?? []).map(({ token }) => token));
        answer.reason += finish_reason ?? "";
        order.push(index);
      }
    }
    expect(found).toEqual(
      whole.choices.map(({ message, logprobs, finish_reason }) => {
        const tokens = logprobs!.content!.map(({ token }) => token);
        return { roles: 1, text: message.content, tokens, reason: finish_reason };
      }),
    );
    expect(new Set(found.map(({ text }) => text)).size).toBe(3);
    expect(order.slice(3, 9)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(used).toEqual(whole.usage);
  });

  test("gets continuations of texts", async () => {
    const asked = models
      .get("answers")!
      .base.tokenizer.chatTemplate!.render([...ask(question)], { addGenerationPrompt: true });
    const { choices } = await client.completions.create({ model: "answers", prompt: [asked, `${asked}The cat`] });
    expect(choices.map(({ index, text }) => [index, text])).toEqual([
      [0, expected],
      [1, expected.slice("The cat".length)],
    ]);
    const stream = await client.completions.create({ model: "answers", prompt: asked, stream: true });
    let text = "";
    for await (const { choices } of stream) text += choices[0]!.text;
    expect(text).toBe(expected);
  });

  test.each([
    [
      "a model that is not there",
      { model: "answer", messages: ask("x") },
      404,
      /no model "answer"; did you mean "answers"/,
    ],
    [
      "a model that labels",
      { model: "labels", messages: ask("x") },
      400,
      /labels texts \(classification\); ask \/v1\/classify/,
    ],
    [
      "a field of another type",
      { model: "answers", messages: ask("x"), temperature: "hot" },
      400,
      /temperature: it must be a number/,
    ],
    ["too many answers", { model: "answers", messages: ask("x"), n: 9 }, 400, /n: a request has from 1 to 8 answers/],
    [
      "a schema with a keyword that is not supported",
      { model: "answers", messages: ask("x"), response_format: formatOf({ type: "array", uniqueItems: true }) },
      400,
      /the JSON schema's #\/uniqueItems is not supported/,
    ],
    [
      "a schema nested without end",
      { model: "answers", messages: ask("x"), response_format: formatOf({ not: nested(2000) }) },
      400,
      /has values nested more than 100 deep/,
    ],
    [
      "a schema whose answers are too long",
      { model: "answers", messages: ask("x"), response_format: formatOf({ type: "string", minLength: 1000 }) },
      400,
      /the shortest answer of the JSON schema takes \d+ tokens, and an answer may have 40/,
    ],
    [
      "tools for a model that knows of none",
      { model: "answers", messages: ask("x"), tools: TOOLS },
      400,
      /does not support tools/,
    ],
    [
      "a call of a tool that is not there",
      {
        model: "tools",
        messages: ask("x"),
        tools: TOOLS,
        tool_choice: { type: "function", function: { name: "wheather" } },
      },
      400,
      /tool_choice: the request has no tool "wheather"/,
    ],
    [
      "a call whose arguments are no JSON",
      { model: "tools", messages: [{ role: "assistant", tool_calls: [callOf("{")] }] },
      400,
      /arguments must be JSON/,
    ],
    [
      "a turn without content",
      { model: "answers", messages: [{ role: "user" }] },
      400,
      /messages\.0: it has no content/,
    ],
    ["no messages", { model: "answers", messages: [] }, 400, /messages: it must not be empty/],
    ["a prompt that is too long", { model: "answers", messages: ask("cat ".repeat(600)) }, 400, /leaves no room/],
    [
      "a conversation that is too long",
      { model: "answers", messages: [...ask("x".repeat(100_000)), ...ask("x".repeat(100_001))] },
      400,
      /all turns of a conversation, has at most 200000 characters/,
    ],
    ["a body that is too large", { model: "answers", messages: ask("x".repeat(300_000)) }, 413, /at most 250000 bytes/],
  ])("is told in a sentence of %s", async (_, body, status, message) => {
    for (const stream of [false, true]) {
      const request = client.chat.completions.create({ ...body, stream } as never);
      await expect(request).rejects.toMatchObject({ status, message: expect.stringMatching(message) });
    }
  });

  test("is asked to retry if too many requests wait", async () => {
    const all = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        client.chat.completions.create({ model: "answers", messages: [...ask(question)] }),
      ),
    );
    const refused = all.filter(({ status }) => status === "rejected");
    expect(refused.length).toBe(8 - LIMITS.maxWaiting);
    for (const each of refused)
      expect((each as PromiseRejectedResult).reason).toMatchObject({ status: 503, code: "overloaded" });
    const again = await client.chat.completions.create({ model: "answers", messages: [...ask(question)] });
    expect(again.choices[0]!.message.content).toBe(expected);
  });

  test("gets the same answer beside others as alone, with its own limits, while others disconnect", async () => {
    const sizes = [3, 40, 9, 25, 1, 16, 33, 12, 5, 21];
    const bodyOf = (max_tokens: number, i: number) => ({
      model: i % 3 === 2 ? "tools" : "answers",
      messages: [...ask(ANSWERS[i % ANSWERS.length]![0])],
      max_tokens,
    });
    const alone: string[] = [];
    for (const [i, size] of sizes.entries()) {
      alone.push((await client.chat.completions.create(bodyOf(size, i))).choices[0]!.message.content!);
    }
    const wide = await serveModels(models, { ...LIMITS, maxWaiting: 32 });
    try {
      const many = new OpenAI({ baseURL: wide.url, apiKey: "none", maxRetries: 0 });
      const left = Array.from({ length: 6 }, async (_, i) => {
        const stream = await many.chat.completions.create({ ...bodyOf(40, i), stream: true, temperature: 2, seed: i });
        for await (const __ of stream) break;
      });
      const together = sizes.map(async (size, i) => {
        let text = "";
        const stream = await many.chat.completions.create({ ...bodyOf(size, i), stream: true });
        for await (const { choices } of stream) text += choices[0]?.delta.content ?? "";
        return text;
      });
      expect(await Promise.all(together)).toEqual(alone);
      await Promise.all(left);
    } finally {
      await wide.close();
    }
  });

  test("is told that a schema is too large, while others are answered", async () => {
    let isRefused = false;
    const refused = client.chat.completions
      .create({ model: "answers", messages: [...ask(question)], response_format: formatOf(large) as never })
      .catch((error: unknown) => error)
      .finally(() => {
        isRefused = true;
      });
    let answered = 0;
    for (; !isRefused; answered++) await client.models.list();
    const message = expect.stringContaining("the JSON schema is too large; leave out parts of it");
    expect(await refused).toMatchObject({ status: 400, message });
    // One request is answered after the refusal, also if the schema was compiled in one go.
    expect(answered).toBeGreaterThan(1);
  });

  test("is told in a stream of a schema that grows too costly in its midst; the answers beside it go on", async () => {
    const beside = client.chat.completions.create({ model: "answers", messages: [...ask(question)] });
    const stream = await client.chat.completions.create({
      model: "answers",
      messages: [...ask(question)],
      stream: true,
      response_format: formatOf(growing) as never,
    });
    let text = "";
    const reading = (async () => {
      for await (const { choices } of stream) text += choices[0]!.delta.content ?? "";
    })();
    await expect(reading).rejects.toThrow("the JSON schema's #/pattern can be read in too many ways at once");
    expect(text).toMatch(/^"a+$/);
    expect((await beside).choices[0]!.message.content).toBe(expected);
  });

  test("is asked to retry if the server closes while it reads the prompts", async () => {
    const closing = await serveModels(models, { ...LIMITS, maxWaiting: 1, maxBodyBytes: 1e8 });
    // Words that it has not read before take longer.
    const words = (from: number) => Array.from({ length: 20_000 }, (_, i) => (from + i * 64).toString(36)).join(" ");
    const prompt = Array.from({ length: 64 }, (_, i) => words(1e9 + i));
    let isRefused = false;
    const refused = new OpenAI({ baseURL: closing.url, apiKey: "none", maxRetries: 0 }).completions
      .create({ model: "answers", prompt })
      .catch((error: unknown) => error)
      .finally(() => {
        isRefused = true;
      });
    while (!isRefused && (await fetch(new URL("/ready", closing.url))).ok);
    await closing.close();
    expect(await refused).toMatchObject({ status: 503, message: expect.stringContaining("the server is closing") });
  });

  test("that disconnects in the middle of an answer blocks no other", async () => {
    const stream = await client.chat.completions.create({
      model: "answers",
      messages: [...ask(question)],
      stream: true,
      temperature: 2,
    });
    for await (const _ of stream) break;
    const next = await client.chat.completions.create({ model: "answers", messages: [...ask(question)] });
    expect(next.choices[0]!.message.content).toBe(expected);
  });
});

const post = (path: string, body: string, headers: Record<string, string> = {}) =>
  fetch(`${server.url}${path}`, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });

test("texts are labelled as by the library", async () => {
  const input = ["my card was charged twice", "the app does not open"];
  const answer = (await (await post("/classify", JSON.stringify({ model: "labels", input }))).json()) as {
    data: object[];
  };
  expect(answer).toMatchObject({ object: "list", model: "labels" });
  const predictions = await models.get("labels")!.predict(input);
  expect(answer.data).toEqual(
    JSON.parse(JSON.stringify(predictions.map((prediction, index) => ({ index, ...prediction })))),
  );
});

test("invalid requests are refused in a sentence", async () => {
  const answers = [
    await post("/chat/completions", "{"),
    await post("/chat/completions", `{"model":"answers","messages":${"[".repeat(9000) + "]".repeat(9000)}}`),
    await post("/nothing", "{}"),
    await fetch(`${server.url}/chat/completions`),
    await post("/chat/completions", "{}", { origin: "https://example.org" }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([400, 400, 404, 404, 403]);
  for (const answer of answers) expect(await answer.json()).toMatchObject({ error: { message: expect.any(String) } });
});

test("a name that resolves to 127.0.0.1 is refused", async () => {
  const { port } = new URL(server.url);
  const status = await new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, path: "/v1/models", headers: { host: "example.org" } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
  expect(status).toBe(403);
});

test("with a key, only requests with it are answered", async () => {
  const locked = await serveModels(models, { ...LIMITS, key: "sesame" });
  try {
    const names = (apiKey: string) => new OpenAI({ baseURL: locked.url, apiKey, maxRetries: 0 }).models.list();
    // Of the key's own length, too: a comparison of lengths alone would take it.
    for (const wrong of ["wrong", "sesamf", "SESAME"]) {
      await expect(names(wrong), wrong).rejects.toMatchObject({ status: 401 });
    }
    expect((await names("sesame")).data).toHaveLength(3);
  } finally {
    await locked.close();
  }
});

test("orchestrators are told whether the process lives, whether it is ready, and what it has done", async () => {
  const watched = await serveModels(models, { ...LIMITS, key: "sesame", maxWaiting: 1 });
  const at = (path: string, headers = {}) => fetch(new URL(path, watched.url), { headers });
  const withKey = { authorization: "Bearer sesame" };
  try {
    expect([(await at("/health")).status, (await at("/ready")).status, (await at("/metrics")).status]).toEqual([
      200, 200, 401,
    ]);
    const asked = new OpenAI({ baseURL: watched.url, apiKey: "sesame", maxRetries: 0 }).chat.completions;
    const request = { model: "answers", messages: [{ role: "user" as const, content: "hello" }], max_tokens: 3 };
    const stream = await asked.create({ ...request, stream: true });
    expect((await at("/ready")).status).toBe(503);
    for await (const _ of stream);
    const used = (await asked.create(request)).usage!;
    await at("/v1/nothing/here", withKey);
    const response = await at("/metrics", withKey);
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const lines = (await response.text()).split("\n");
    for (const line of [
      "# TYPE aflora_requests_total counter",
      'aflora_requests_total{path="/v1/chat/completions",status="200"} 2',
      'aflora_requests_total{path="other",status="404"} 1',
      'aflora_answers_total{model="answers"} 2',
      `aflora_prompt_tokens_total{model="answers"} ${2 * used.prompt_tokens}`,
      `aflora_generated_tokens_total{model="answers"} ${2 * used.completion_tokens}`,
      "aflora_waiting_requests 0",
    ]) {
      expect(lines).toContain(line);
    }
  } finally {
    await watched.close();
  }
});

test("other machines reach a server only with a key", async () => {
  await expect(serveModels(models, { ...LIMITS, host: "0.0.0.0" })).rejects.toThrow(/other machines .* give a key/);
  const open = await serveModels(models, { ...LIMITS, host: "0.0.0.0", key: "sesame" });
  try {
    const statusAt = (authorization: string) =>
      new Promise((resolve, reject) => {
        const { port } = new URL(open.url);
        const headers = { host: "models.example", authorization };
        request({ host: "127.0.0.1", port, path: "/v1/models", headers }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on("error", reject)
          .end();
      });
    expect([await statusAt("Bearer sesame"), await statusAt("Bearer wrong")]).toEqual([200, 401]);
  } finally {
    await open.close();
  }
});

test("a port that is taken is an error in a sentence", async () => {
  const port = Number(new URL(server.url).port);
  await expect(serveModels(models, { ...LIMITS, port })).rejects.toThrow(
    /can't listen on port \d+ of 127\.0\.0\.1 \(EADDRINUSE\)/,
  );
});
