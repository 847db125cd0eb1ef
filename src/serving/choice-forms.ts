import { randomUUID } from "node:crypto";
import { completionLogprobs, type ShownLikelihood } from "./token-logprobs.ts";
import type { SentEvent, ShownAnswer, WritingForm } from "./writing-form.ts";

/** Differences between OpenAI's two older endpoints, which return answers as choices. */
export interface ChoiceShape {
  idPrefix: string;
  object: string;
  chunkObject: string;
  choice(text: string, finishReason: string, logprobs: object | null): object;
  logprobs(tokens: readonly ShownLikelihood[]): object;
  /** A piece of a streamed answer; undefined if it is not sent. */
  piece(text: string, logprobs: object | null): object | undefined;
  /** The end of a streamed answer. @param text the whole answer */
  last(text: string, finishReason: string): object;
  /** The first piece, if the shape has a special one. */
  opening?: object;
}

/** Chat completions. */
export const CHAT: ChoiceShape = {
  idPrefix: "chatcmpl",
  object: "chat.completion",
  chunkObject: "chat.completion.chunk",
  choice: (content, finish_reason, logprobs) => ({
    message: { role: "assistant", content, refusal: null },
    logprobs,
    finish_reason,
  }),
  logprobs: (content) => ({ content, refusal: null }),
  piece: (content, logprobs) => ({ delta: { content }, logprobs, finish_reason: null }),
  last: (_, finish_reason) => ({ delta: {}, logprobs: null, finish_reason }),
  opening: { delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null },
};

/** Completions of a text. */
export const COMPLETION: ChoiceShape = {
  idPrefix: "cmpl",
  object: "text_completion",
  chunkObject: "text_completion",
  choice: (text, finish_reason, logprobs) => ({ text, logprobs, finish_reason }),
  logprobs: completionLogprobs,
  piece: (text, logprobs) => ({ text, logprobs, finish_reason: null }),
  last: (_, finish_reason) => ({ text: "", logprobs: null, finish_reason }),
};

/** A shape of choices as a form of answers. */
export function choices(shape: ChoiceShape): WritingForm {
  const headOf = (model: string) => ({ id: `${shape.idPrefix}-${randomUUID()}`, created: nowInSeconds(), model });
  const logprobsOf = (logprobs: ShownAnswer["logprobs"]) => logprobs && shape.logprobs(logprobs);
  return {
    body: (model, answers, used) => ({
      ...headOf(model),
      object: shape.object,
      choices: answers.map(({ text, reason, logprobs }, index) => ({
        index,
        ...shape.choice(text, reason, logprobsOf(logprobs)),
      })),
      usage: used,
    }),
    stream(model, tellsUsage) {
      const head = { ...headOf(model), object: shape.chunkObject };
      const sent = (index: number, choice: object | undefined): SentEvent[] =>
        choice ? [{ data: { ...head, choices: [{ index, ...choice }] } }] : [];
      return {
        opening: (index) => sent(index, shape.opening),
        piece: (index, text, logprobs) => sent(index, shape.piece(text, logprobsOf(logprobs))),
        last: (index, { text, reason }, used) => [
          ...sent(index, shape.last(text, reason)),
          ...(used && tellsUsage ? [{ data: { ...head, choices: [], usage: used } }] : []),
        ],
        closing: "[DONE]",
      };
    },
  };
}

/** The time now in the unit of OpenAI's API, seconds. */
export const nowInSeconds = (): number => Math.floor(Date.now() / 1000);
