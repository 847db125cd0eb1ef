import { randomUUID } from "node:crypto";
import type { JsonSchema } from "../inference/generation/constrained/schema-constraint.ts";
import { type ChatRequest, RequestError } from "./openai-requests.ts";
import { CHAT, type WritingForm } from "./written-answers.ts";

/**
 * What an answer is held to that must be a call: the name of a tool, and arguments by the schema of its parameters.
 * @returns nothing where a request forces no call
 * @throws RequestError where there is no such tool.
 */
export function schemaOfForcedCall({ tools, tool_choice: choice }: ChatRequest): JsonSchema | undefined {
  if (!choice || choice === "auto" || choice === "none") return undefined;
  const wanted = choice === "required" ? undefined : choice.function.name;
  const callable = (tools ?? []).filter((tool) => wanted === undefined || tool.function.name === wanted);
  if (callable.length === 0) {
    const message = `tool_choice: the request has no tool ${wanted === undefined ? "to call" : `"${wanted}"`}`;
    throw new RequestError(400, message, { param: "tool_choice" });
  }
  return {
    anyOf: callable.map((tool, i) => ({
      type: "object",
      properties: { name: { const: tool.function.name }, arguments: { $ref: `#/$defs/${i}` } },
      required: ["name", "arguments"],
    })),
    $defs: callable.map((tool, i) => parametersOf(i, tool.function.parameters)),
  };
}

/** A tool's parameters as they stand within the schema of all: what they refer to moves with them. */
function parametersOf(index: number, parameters: JsonSchema | null | undefined): unknown {
  return JSON.parse(JSON.stringify(parameters ?? { type: "object" }), (key, value) =>
    key === "$ref" && typeof value === "string" && value.startsWith("#") ? `#/$defs/${index}${value.slice(1)}` : value,
  );
}

/** The call that an answer is; nothing where a stop string or a client that left has cut it. */
function callOf(text: string): object | undefined {
  try {
    const { name, arguments: given } = JSON.parse(text) as { name: string; arguments: unknown };
    return { id: `call_${randomUUID()}`, type: "function", function: { name, arguments: JSON.stringify(given) } };
  } catch {
    return undefined;
  }
}

/** Chat completions whose answer is a call. */
export const CALLS: WritingForm = {
  ...CHAT,
  choice(text, reason, logprobs) {
    const call = callOf(text);
    if (!call) return CHAT.choice(text, reason, logprobs);
    const message = { role: "assistant", content: null, refusal: null, tool_calls: [call] };
    return { message, logprobs, finish_reason: "tool_calls" };
  },
  piece: () => undefined,
  last(text, reason) {
    const call = callOf(text);
    if (!call) return { delta: { content: text }, logprobs: null, finish_reason: reason };
    return { delta: { tool_calls: [{ index: 0, ...call }] }, logprobs: null, finish_reason: "tool_calls" };
  },
};
