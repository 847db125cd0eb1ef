import { z } from "zod";
import { inWords } from "../errors.ts";
import { isDeep, MAX_DEPTH } from "../files/json.ts";

/** A request that cannot be answered, in the form of OpenAI's API. */
export class RequestError extends Error {
  readonly status: 400 | 401 | 403 | 404 | 405 | 413 | 503;
  /** Name of the invalid field. */
  readonly param: string | null;
  readonly code: string | null;

  constructor(
    status: RequestError["status"],
    message: string,
    { param = null, code = null }: { param?: string | null; code?: string | null } = {},
  ) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

/** Response body for a refused request. */
export const refusalBody = ({ message, param, code }: RequestError): object => ({
  error: { message, type: "invalid_request_error", param, code },
});

const text = z.union([
  z.string(),
  z
    .array(z.object({ type: z.literal("text"), text: z.string() }))
    .transform((parts) => parts.map((part) => part.text).join("")),
]);

/** Maximum number of answers to a prompt: all are generated at once. */
const MOST_ANSWERS = 8;

const penalty = z.number().min(-2).max(2).nullish();
export const jsonSchema = z.union([z.boolean(), z.record(z.string(), z.unknown())], "it must be a JSON schema");

/** Fields about generation. Unsupported values are refused rather than ignored. */
const writing = {
  model: z.string(),
  max_tokens: z.int().positive().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(16)]).nullish(),
  seed: z.int().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().optional() }).nullish(),
  n: z.int().min(1).max(MOST_ANSWERS, `a request has from 1 to ${MOST_ANSWERS} answers to a prompt`).nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  response_format: z
    .discriminatedUnion(
      "type",
      [
        z.object({ type: z.literal("text") }),
        z.object({ type: z.literal("json_object") }),
        z.object({ type: z.literal("json_schema"), json_schema: z.looseObject({ schema: jsonSchema }) }),
      ],
      "its type must be text, json_object or json_schema",
    )
    .nullish(),
  // Names as in llama.cpp and vLLM.
  top_k: z.int().min(0).nullish(),
  repetition_penalty: z.number().positive().nullish(),
};

/** Arguments of a call: OpenAI sends text, and templates read the parsed value. */
export const callArguments = z.unknown().transform((given, context) => {
  if (typeof given !== "string") return given;
  try {
    const parsed: unknown = JSON.parse(given);
    if (!isDeep(parsed)) return parsed;
  } catch {}
  context.addIssue({ code: "custom", message: `a call's arguments must be JSON, at most ${MAX_DEPTH} values deep` });
  return z.NEVER;
});

/** A call by the assistant in a conversation. */
const toolCall = z.looseObject({ function: z.looseObject({ name: z.string(), arguments: callArguments }) });

/** A turn. A turn with calls may have no content. Templates may read other fields, too. */
const message = z
  .looseObject({ role: z.string().min(1), content: text.nullish(), tool_calls: z.array(toolCall).nullish() })
  .refine(({ content, tool_calls }) => typeof content === "string" || tool_calls?.length, "it has no content");

/** Body of `POST /v1/chat/completions`. */
export const chatRequest = z
  .object({
    ...writing,
    messages: z.array(message).min(1),
    max_completion_tokens: z.int().positive().nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(20).nullish(),
    tools: z
      .array(
        z.looseObject({
          type: z.literal("function"),
          function: z.looseObject({ name: z.string().min(1), parameters: jsonSchema.nullish() }),
        }),
      )
      .max(128)
      .nullish(),
    tool_choice: z
      .union(
        [
          z.enum(["auto", "none", "required"]),
          z.object({ type: z.literal("function"), function: z.object({ name: z.string() }) }),
        ],
        "it must be auto, none, required, or name a function",
      )
      .nullish(),
  })
  .refine(({ logprobs, top_logprobs }) => logprobs === true || !top_logprobs, {
    path: ["top_logprobs"],
    message: "it needs logprobs: true",
  });

/** Body of `POST /v1/completions`. */
export const completionRequest = z.object({
  ...writing,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(64)]),
  logprobs: z.int().min(0).max(20).nullish(),
  echo: z.literal(false, "it is not supported").nullish(),
  best_of: z.literal(1, "only one answer per prompt is supported").nullish(),
  suffix: z.null("it is not supported").optional(),
});

/** Body of `POST /v1/classify`. */
export const classifyRequest = z.object({
  model: z.string(),
  input: z.union([z.string(), z.array(z.string()).min(1).max(1024)]),
});

const tokens = z.array(z.int().min(0)).min(1);
const listOf = <Each extends z.ZodType>(each: Each) =>
  z.array(each).min(1).max(2048, "a request has at most 2048 texts");

/** Body of `POST /v1/embeddings`: texts, or token ids in the model's own vocabulary. */
export const embeddingsRequest = z.object({
  model: z.string(),
  input: z.union(
    [z.string().min(1), listOf(z.string().min(1)), tokens, listOf(tokens)],
    "it must be a text, a list of up to 2048 texts, or token ids instead of texts; none may be empty",
  ),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().positive().nullish(),
});

export type EmbeddingsRequest = z.output<typeof embeddingsRequest>;

/** Body of `POST /v1/rerank`, as for Cohere, Jina and vLLM. */
export const rerankRequest = z.object({
  model: z.string(),
  query: z.string().min(1),
  documents: z
    .array(z.union([z.string(), z.object({ text: z.string() }).transform((document) => document.text)]))
    .min(1)
    .max(1024, "a request has at most 1024 documents"),
  top_n: z.int().positive().nullish(),
  return_documents: z.boolean().nullish(),
});

export type RerankRequest = z.output<typeof rerankRequest>;

export type ChatRequest = z.output<typeof chatRequest>;
export type WritingRequest = ChatRequest | z.output<typeof completionRequest>;

/**
 * Checks a body.
 * @throws RequestError naming the invalid field
 */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const { success, data, error } = schema.safeParse(body, { error: inWords });
  if (success) return data;
  const { path, message } = error.issues[0]!;
  const param = path.join(".");
  throw new RequestError(400, param ? `${param}: ${message}` : message, { param: param || null });
}
