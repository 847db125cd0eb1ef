import type { JsonSchema } from "../inference/generation/constrained/schema-constraint.ts";
import type { AnswerEnd, AnswersOptions } from "../inference/write-answers.ts";
import type { WritingRequest } from "./openai-requests.ts";

/** Options for generating a request's answers. @param most maximum number of tokens of an answer */
export function answerOptions(request: WritingRequest, most: number): AnswersOptions {
  const chat = "max_completion_tokens" in request ? request.max_completion_tokens : undefined;
  const asked = chat ?? request.max_tokens ?? most;
  const { temperature, top_p, top_k, repetition_penalty, presence_penalty, frequency_penalty, seed, stop, n } = request;
  const jsonSchema = schemaOf(request);
  const likeliest = likeliestOf(request);
  return {
    maxNewTokens: Math.min(asked, most),
    ...(typeof temperature === "number" && { temperature }),
    ...(typeof top_p === "number" && { topP: top_p }),
    ...(typeof top_k === "number" && { topK: top_k }),
    ...(typeof repetition_penalty === "number" && { repetitionPenalty: repetition_penalty }),
    ...(typeof presence_penalty === "number" && { presencePenalty: presence_penalty }),
    ...(typeof frequency_penalty === "number" && { frequencyPenalty: frequency_penalty }),
    ...(typeof seed === "number" && { seed: Math.abs(seed) }),
    ...(stop != null && { stop: typeof stop === "string" ? [stop] : stop }),
    ...(typeof n === "number" && { copies: n }),
    ...(likeliest !== undefined && { likeliest }),
    ...(jsonSchema !== undefined && { jsonSchema }),
  };
}

function schemaOf({ response_format: format }: WritingRequest): JsonSchema | undefined {
  if (format?.type === "json_schema") return format.json_schema.schema;
  return format?.type === "json_object" ? { type: "object" } : undefined;
}

/** Number of most likely tokens to return at each position. Chat completions use two fields, completions one. */
function likeliestOf(request: WritingRequest): number | undefined {
  if (typeof request.logprobs === "number") return request.logprobs;
  return request.logprobs === true ? ("top_logprobs" in request && request.top_logprobs) || 0 : undefined;
}

/** Number of tokens used. @param copies number of answers to each prompt, which was read once */
export function usage(answers: readonly AnswerEnd[], copies = 1) {
  const sum = (of: (answer: AnswerEnd) => number) => answers.reduce((total, answer) => total + of(answer), 0);
  const [prompt_tokens, completion_tokens] = [
    sum(({ promptTokens }) => promptTokens) / copies,
    sum(({ answerTokens }) => answerTokens),
  ];
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}
