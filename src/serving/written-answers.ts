import type { AnswerEnd, AnswerOptions } from "../inference/write-answers.ts";
import type { WritingRequest } from "./openai-requests.ts";

/** What tells the shapes of the two endpoints that write apart. */
export interface WritingForm {
  idPrefix: string;
  object: string;
  chunkObject: string;
  choice(text: string, finishReason: string): object;
  /** What a piece of a streamed answer looks like; the last has none. */
  piece(text: string | undefined, finishReason: string | null): object;
  /** The first piece, where the shape has one of its own. */
  opening?: object;
}

export const CHAT: WritingForm = {
  idPrefix: "chatcmpl",
  object: "chat.completion",
  chunkObject: "chat.completion.chunk",
  choice: (content, finish_reason) => ({
    message: { role: "assistant", content, refusal: null },
    logprobs: null,
    finish_reason,
  }),
  piece: (content, finish_reason) => ({
    delta: content === undefined ? {} : { content },
    logprobs: null,
    finish_reason,
  }),
  opening: { delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null },
};

export const COMPLETION: WritingForm = {
  idPrefix: "cmpl",
  object: "text_completion",
  chunkObject: "text_completion",
  choice: (text, finish_reason) => ({ text, logprobs: null, finish_reason }),
  piece: (text = "", finish_reason) => ({ text, logprobs: null, finish_reason }),
};

/** How a request wants its answers written. @param most tokens of one */
export function answerOptions(request: WritingRequest, most: number): AnswerOptions {
  const chat = "max_completion_tokens" in request ? request.max_completion_tokens : undefined;
  const asked = chat ?? request.max_tokens ?? most;
  const { temperature, top_p, top_k, repetition_penalty, seed, stop } = request;
  return {
    maxNewTokens: Math.min(asked, most),
    ...(typeof temperature === "number" && { temperature }),
    ...(typeof top_p === "number" && { topP: top_p }),
    ...(typeof top_k === "number" && { topK: top_k }),
    ...(typeof repetition_penalty === "number" && { repetitionPenalty: repetition_penalty }),
    ...(typeof seed === "number" && { seed: Math.abs(seed) }),
    ...(stop != null && { stop: typeof stop === "string" ? [stop] : stop }),
  };
}

/** What answers took, in tokens. */
export function usage(answers: readonly AnswerEnd[]) {
  const sum = (of: (answer: AnswerEnd) => number) => answers.reduce((total, answer) => total + of(answer), 0);
  const [prompt_tokens, completion_tokens] = [
    sum(({ promptTokens }) => promptTokens),
    sum(({ answerTokens }) => answerTokens),
  ];
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}
