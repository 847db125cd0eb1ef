import { describe, expect, test } from "vitest";
import type { z } from "zod";
import {
  chatRequest,
  classifyRequest,
  completionRequest,
  embeddingsRequest,
  parseBody,
  RequestError,
  rerankRequest,
} from "../../src/serving/openai-requests.ts";
import { answerOptions, usage } from "../../src/serving/written-answers.ts";

/** What a body is refused with; undefined where it is taken. */
function refusal(schema: z.ZodType, body: unknown): { param: string | null; message: string } | undefined {
  try {
    parseBody(schema, body);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    expect((error as RequestError).status).toBe(400);
    const { param, message } = error as RequestError;
    return { param, message };
  }
}

const user = { role: "user", content: "Hello" };
const chat = (more: object = {}) => ({ model: "m", messages: [user], ...more });
const completion = (more: object = {}) => ({ model: "m", prompt: "Hello", ...more });
const tool = { type: "function", function: { name: "f" } };

describe("a request's numbers and lists", () => {
  test.each<[string, z.ZodType, (value: never) => unknown, taken: unknown[], refused: unknown[]]>([
    ["temperature", chatRequest, (temperature) => chat({ temperature }), [0, 2, null], [-0.1, 2.1, "1"]],
    ["top_p", chatRequest, (top_p) => chat({ top_p }), [0.1, 1], [0, 1.1]],
    ["top_k", chatRequest, (top_k) => chat({ top_k }), [0, 5], [-1, 1.5]],
    ["max_tokens", chatRequest, (max_tokens) => chat({ max_tokens }), [1], [0, 0.5]],
    ["max_completion_tokens", chatRequest, (count) => chat({ max_completion_tokens: count }), [1], [0]],
    ["repetition_penalty", chatRequest, (penalty) => chat({ repetition_penalty: penalty }), [0.5], [0]],
    ["n", chatRequest, (n) => chat({ n }), [1, 8, null], [0, 9]],
    ["frequency_penalty", chatRequest, (penalty) => chat({ frequency_penalty: penalty }), [-2, 2], [-2.1, 2.1]],
    ["presence_penalty", chatRequest, (penalty) => chat({ presence_penalty: penalty }), [-2, 2], [-2.1, 2.1]],
    ["top_logprobs", chatRequest, (count) => chat({ logprobs: true, top_logprobs: count }), [0, 20], [-1, 21]],
    ["top_logprobs", chatRequest, (count) => chat({ logprobs: false, top_logprobs: count }), [0, null], [1]],
    ["logprobs", completionRequest, (count) => completion({ logprobs: count }), [0, 20], [-1, 21, true]],
    [
      "response_format",
      chatRequest,
      (format) => chat({ response_format: format }),
      [{ type: "text" }],
      [{ type: "x" }],
    ],
    [
      "stop",
      chatRequest,
      (stop) => chat({ stop }),
      ["end", [], Array(16).fill("end")],
      ["", ["end", ""], Array(17).fill("end")],
    ],
    ["tools", chatRequest, (count: number) => chat({ tools: Array(count).fill(tool) }), [0, 128], [129]],
    ["tool_choice", chatRequest, (choice) => chat({ tool_choice: choice }), ["auto", "none", "required"], ["any"]],
    [
      "prompt",
      completionRequest,
      (prompt) => completion({ prompt }),
      ["", Array(64).fill("")],
      [[], Array(65).fill("")],
    ],
    ["best_of", completionRequest, (best_of) => completion({ best_of }), [1], [2]],
    ["echo", completionRequest, (echo) => completion({ echo }), [false], [true]],
    ["suffix", completionRequest, (suffix) => completion({ suffix }), [null], ["end"]],
    [
      "input",
      classifyRequest,
      (input) => ({ model: "m", input }),
      ["", Array(1024).fill("")],
      [[], Array(1025).fill("")],
    ],
    [
      "input",
      embeddingsRequest,
      (input) => ({ model: "m", input }),
      ["a", [0], [[0, 1]], Array(2048).fill("a"), Array(2048).fill([1])],
      ["", [], [""], [-1], [[]], Array(2049).fill("a"), Array(2049).fill([1])],
    ],
    ["dimensions", embeddingsRequest, (dimensions) => ({ model: "m", input: "a", dimensions }), [1], [0]],
    [
      "documents",
      rerankRequest,
      (documents) => ({ model: "m", query: "q", documents }),
      [["a", { text: "b" }], Array(1024).fill("a")],
      [[], [{}], Array(1025).fill("a")],
    ],
    ["query", rerankRequest, (query) => ({ model: "m", query, documents: ["a"] }), ["q"], [""]],
    ["top_n", rerankRequest, (top_n) => ({ model: "m", query: "q", documents: ["a"], top_n }), [1], [0]],
  ])("%s has its bounds", (param, schema, bodyOf, taken, refused) => {
    for (const value of taken) expect(refusal(schema, bodyOf(value as never)), JSON.stringify(value)).toBeUndefined();
    for (const value of refused) {
      expect(refusal(schema, bodyOf(value as never))?.param, JSON.stringify(value)).toMatch(new RegExp(`^${param}\\b`));
    }
  });

  test("errors name the field; an invalid body has no field", () => {
    expect(refusal(chatRequest, chat({ messages: [user, { role: "user" }] }))).toEqual({
      param: "messages.1",
      message: "messages.1: it has no content",
    });
    expect(refusal(chatRequest, chat({ messages: [{ role: "", content: "" }] }))?.param).toBe("messages.0.role");
    expect(refusal(chatRequest, [])?.param).toBeNull();
  });
});

describe("a message", () => {
  const messagesOf = (...messages: object[]) => parseBody(chatRequest, chat({ messages })).messages;

  test("has its parts joined, and keeps fields that only templates use", () => {
    const parts = ["one ", "two"].map((text) => ({ type: "text", text }));
    expect(messagesOf({ role: "user", content: parts, name: "me" })).toEqual([
      { role: "user", content: "one two", name: "me" },
    ]);
    expect(refusal(chatRequest, chat({ messages: [{ role: "user", content: [{ type: "image" }] }] }))).toBeDefined();
  });

  test("may consist of calls only, whose arguments are parsed", () => {
    const calling = (written: unknown) => ({
      role: "assistant",
      tool_calls: [{ id: "1", function: { name: "f", arguments: written } }],
    });
    const [text, read] = messagesOf(calling('{"a":[1]}'), calling({ a: [1] }));
    expect(text).toEqual(read);
    for (const written of ["{", "[".repeat(200_000) + "]".repeat(200_000)]) {
      expect(refusal(chatRequest, chat({ messages: [calling(written)] }))).toEqual({
        param: "messages.0.tool_calls.0.function.arguments",
        message: "messages.0.tool_calls.0.function.arguments: a call's arguments must be JSON, at most 100 values deep",
      });
    }
    // Neither content nor a call.
    expect(refusal(chatRequest, chat({ messages: [{ role: "assistant", tool_calls: [] }] }))).toBeDefined();
    expect(refusal(chatRequest, chat({ messages: [{ role: "assistant", content: null }] }))).toBeDefined();
    expect(messagesOf({ role: "user", content: "" })).toHaveLength(1);
  });
});

describe("options for generating", () => {
  const optionsOf = (more: object) => answerOptions(parseBody(chatRequest, chat(more)), 40);

  test("have the requested values, and no more tokens than the server allows", () => {
    expect(optionsOf({})).toEqual({ maxNewTokens: 40 });
    expect(optionsOf({ max_tokens: 50 })).toEqual({ maxNewTokens: 40 });
    expect(optionsOf({ max_tokens: 30 })).toEqual({ maxNewTokens: 30 });
    expect(optionsOf({ max_tokens: 30, max_completion_tokens: 20 })).toEqual({ maxNewTokens: 20 });
    expect(answerOptions(parseBody(completionRequest, completion({ max_tokens: 3 })), 40)).toEqual({ maxNewTokens: 3 });
    const drawn = { temperature: 0, top_p: 0.5, top_k: 0, repetition_penalty: 1.5, seed: -3, stop: "end" };
    expect(optionsOf(drawn)).toEqual({
      ...{ maxNewTokens: 40, temperature: 0, topP: 0.5, topK: 0, repetitionPenalty: 1.5, seed: 3 },
      stop: ["end"],
    });
    expect(optionsOf({ temperature: null, stop: null, seed: null })).toEqual({ maxNewTokens: 40 });
    expect(optionsOf({ stop: ["a", "b"] }).stop).toEqual(["a", "b"]);
    expect(optionsOf({ presence_penalty: 0, frequency_penalty: -1, n: 2 })).toEqual({
      ...{ maxNewTokens: 40, presencePenalty: 0, frequencyPenalty: -1, copies: 2 },
    });
  });

  test("have the requested number of likely tokens, and a schema", () => {
    expect(optionsOf({ logprobs: true, top_logprobs: 3 }).likeliest).toBe(3);
    expect(optionsOf({ logprobs: true }).likeliest).toBe(0);
    expect(answerOptions(parseBody(completionRequest, completion({ logprobs: 0 })), 40).likeliest).toBe(0);
    const schemaIn = (response_format: object) => optionsOf({ response_format }).jsonSchema;
    expect(schemaIn({ type: "text" })).toBeUndefined();
    expect(schemaIn({ type: "json_object" })).toEqual({ type: "object" });
    expect(schemaIn({ type: "json_schema", json_schema: { name: "n", schema: { type: "null" } } })).toEqual({
      type: "null",
    });
  });

  test("token counts of answers are summed", () => {
    const end = { text: "", reason: "stop" } as const;
    const answers = [
      { ...end, promptTokens: 5, answerTokens: 2 },
      { ...end, promptTokens: 7, answerTokens: 4 },
    ];
    expect(usage(answers)).toEqual({ prompt_tokens: 12, completion_tokens: 6, total_tokens: 18 });
    // Two answers to one prompt.
    const copies = [answers[0]!, { ...answers[0]!, answerTokens: 4 }];
    expect(usage(copies, 2)).toEqual({ prompt_tokens: 5, completion_tokens: 6, total_tokens: 11 });
  });
});
