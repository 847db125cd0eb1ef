import { randomUUID } from "node:crypto";
import type { JsonSchema } from "../inference/generation/constrained/schema-constraint.ts";
import { CHAT, type ChoiceShape } from "./choice-forms.ts";
import { type ChatRequest, RequestError } from "./openai-requests.ts";

/**
 * Schema of an answer that must be a call: the name of a tool, and arguments by the schema of its parameters.
 * @returns undefined if the request does not force a call
 * @throws RequestError if there is no such tool
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

/** A tool's parameters within the schema of all tools: their references are moved. */
function parametersOf(index: number, parameters: JsonSchema | null | undefined): unknown {
  return JSON.parse(JSON.stringify(parameters ?? { type: "object" }), (key, value) =>
    key === "$ref" && typeof value === "string" && value.startsWith("#") ? `#/$defs/${index}${value.slice(1)}` : value,
  );
}

/** A call of a function, with its arguments as JSON. */
export interface FunctionCall {
  id: string;
  name: string;
  arguments: string;
}

/** Parses an answer as a call; undefined if a stop string or a disconnected client cut it. */
export function callOf(text: string): FunctionCall | undefined {
  try {
    const { name, arguments: given } = JSON.parse(text) as { name: string; arguments: unknown };
    return { id: `call_${randomUUID()}`, name, arguments: JSON.stringify(given) };
  } catch {
    return undefined;
  }
}

const shownCall = ({ id, ...called }: FunctionCall) => ({ id, type: "function", function: called });

/** Chat completions whose answer is a call. */
export const CALLS: ChoiceShape = {
  ...CHAT,
  choice(text, reason, logprobs) {
    const call = callOf(text);
    if (!call) return CHAT.choice(text, reason, logprobs);
    const message = { role: "assistant", content: null, refusal: null, tool_calls: [shownCall(call)] };
    return { message, logprobs, finish_reason: "tool_calls" };
  },
  piece: () => undefined,
  last(text, reason) {
    const call = callOf(text);
    if (!call) return { delta: { content: text }, logprobs: null, finish_reason: reason };
    return { delta: { tool_calls: [{ index: 0, ...shownCall(call) }] }, logprobs: null, finish_reason: "tool_calls" };
  },
};
