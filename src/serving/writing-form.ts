import type { ShownLikelihood } from "./token-logprobs.ts";
import type { usage } from "./written-answers.ts";

/** An answer for a response. */
export interface ShownAnswer {
  text: string;
  /** Reason of the end: `stop` or `length`. */
  reason: string;
  /** Likelihoods of its tokens, if they were requested. */
  logprobs: readonly ShownLikelihood[] | null;
}

export type Usage = ReturnType<typeof usage>;

/** An event of a stream: data, and a name if the form has named events. */
export interface SentEvent {
  event?: string;
  data: object;
}

/** The form in which an endpoint returns generated text. */
export interface WritingForm {
  /** Response body with complete answers. */
  body(model: string, answers: readonly ShownAnswer[], used: Usage): object;
  /** Form of a stream with the answers to one prompt. @param tellsUsage whether the stream ends with the number of tokens */
  stream(model: string, tellsUsage: boolean): StreamForm;
}

/** Events of streamed answers. `index` is the answer's number. */
export interface StreamForm {
  opening(index: number): SentEvent[];
  piece(index: number, text: string, logprobs: ShownAnswer["logprobs"]): SentEvent[];
  /** @param answer the complete answer @param used tokens of all answers, after the last of them */
  last(index: number, answer: ShownAnswer, used: Usage | undefined): SentEvent[];
  /** Data that marks the end of the stream. */
  readonly closing?: string;
}
