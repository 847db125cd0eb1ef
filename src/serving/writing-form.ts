import type { ShownLikelihood } from "./token-logprobs.ts";
import type { usage } from "./written-answers.ts";

/** An answer as an endpoint shows it. */
export interface ShownAnswer {
  text: string;
  /** Why it ended: `stop` or `length`. */
  reason: string;
  /** How likely its tokens were, where that was asked for. */
  logprobs: readonly ShownLikelihood[] | null;
}

export type Usage = ReturnType<typeof usage>;

/** What a stream sends: data, and its name in shapes that name events. */
export interface SentEvent {
  event?: string;
  data: object;
}

/** The shape in which an endpoint shows what a model writes. */
export interface WritingForm {
  /** The body with whole answers. */
  body(model: string, answers: readonly ShownAnswer[], used: Usage): object;
  /** How answers to one prompt are streamed. @param tellsUsage whether the stream ends with the number of tokens */
  stream(model: string, tellsUsage: boolean): StreamForm;
}

/** The events of streamed answers; `index` is an answer's place among them. */
export interface StreamForm {
  opening(index: number): SentEvent[];
  piece(index: number, text: string, logprobs: ShownAnswer["logprobs"]): SentEvent[];
  /** @param answer all of it @param used by all answers, where no other is still written */
  last(index: number, answer: ShownAnswer, used: Usage | undefined): SentEvent[];
  /** A word that says that the stream is whole. */
  readonly closing?: string;
}
