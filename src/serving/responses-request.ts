import { z } from "zod";
import { type ChatRequest, callArguments, jsonSchema } from "./openai-requests.ts";

const PARTS = ["input_text", "output_text", "text"] as const;
const content = z.union([
  z.string(),
  z
    .array(z.object({ type: z.enum(PARTS, "only text can be read"), text: z.string() }))
    .transform((parts) => parts.map((part) => part.text).join("")),
]);

/** An item of a conversation: a turn, a call by the model, or a function's output. */
const item = z.union(
  [
    z.object({
      type: z.literal("message").optional(),
      role: z.enum(["user", "assistant", "system", "developer"]),
      content,
    }),
    z.object({
      type: z.literal("function_call"),
      call_id: z.string(),
      name: z.string().min(1),
      arguments: callArguments,
    }),
    z.object({ type: z.literal("function_call_output"), call_id: z.string(), output: content }),
  ],
  "it must be a message with a text, a function_call or a function_call_output",
);

const format = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("text") }),
    z.object({ type: z.literal("json_object") }),
    z.looseObject({ type: z.literal("json_schema"), schema: jsonSchema }),
  ],
  "its type must be text, json_object or json_schema",
);

/** A field that this server does not support. */
const refused = (what: string) => z.null(what).optional();

/** Body of `POST /v1/responses`. The server stores nothing: the client sends the whole conversation. */
export const responsesRequest = z.object({
  model: z.string(),
  input: z.union([z.string(), z.array(item).min(1)], "it must be a text or a list of items"),
  instructions: z.string().nullish(),
  max_output_tokens: z.int().positive().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  include: z.array(z.string()).nullish(),
  stream: z.boolean().nullish(),
  text: z.object({ format: format.nullish() }).nullish(),
  tools: z
    .array(
      z.looseObject({
        type: z.literal("function", "only functions are supported"),
        name: z.string().min(1),
        parameters: jsonSchema.nullish(),
      }),
    )
    .max(128)
    .nullish(),
  tool_choice: z
    .union(
      [z.enum(["auto", "none", "required"]), z.object({ type: z.literal("function"), name: z.string() })],
      "it must be auto, none, required, or name a function",
    )
    .nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  background: z.literal(false, "it is not supported").nullish(),
  previous_response_id: refused("responses are not stored; send the whole conversation as input"),
  conversation: refused("conversations are not stored; send the whole conversation as input"),
});

export type ResponsesRequest = z.output<typeof responsesRequest>;

/** The same request as a chat completion. */
export function chatOf(request: ResponsesRequest): ChatRequest {
  const { model, instructions, input, max_output_tokens, temperature, top_p, stream, tools, tool_choice } = request;
  const items = typeof input === "string" ? [{ role: "user" as const, content: input }] : input;
  return {
    model,
    messages: [...(instructions ? [{ role: "system", content: instructions }] : []), ...items.map(messageOf)],
    max_completion_tokens: max_output_tokens,
    temperature,
    top_p,
    stream,
    tools: tools?.map(({ type, ...named }) => ({ type, function: named })),
    tool_choice:
      typeof tool_choice === "object" && tool_choice
        ? { type: tool_choice.type, function: { name: tool_choice.name } }
        : tool_choice,
    response_format: formatOf(request),
    ...(request.include?.includes("message.output_text.logprobs") && {
      logprobs: true,
      top_logprobs: request.top_logprobs,
    }),
  };
}

function messageOf(item: Exclude<ResponsesRequest["input"], string>[number]): ChatRequest["messages"][number] {
  // Chat templates have no developer role.
  if ("role" in item) return { role: item.role === "developer" ? "system" : item.role, content: item.content };
  if (item.type === "function_call_output") return { role: "tool", tool_call_id: item.call_id, content: item.output };
  const { call_id: id, name, arguments: given } = item;
  return { role: "assistant", tool_calls: [{ id, type: "function", function: { name, arguments: given } }] };
}

function formatOf({ text }: ResponsesRequest): ChatRequest["response_format"] {
  const format = text?.format;
  return format?.type === "json_schema" ? { type: format.type, json_schema: { schema: format.schema } } : format;
}
