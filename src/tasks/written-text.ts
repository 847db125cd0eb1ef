import { opt, UserError } from "../errors.ts";
import type { ChatMessage, TextSpan } from "../inputs/chat-template.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";
import type { Example } from "./example.ts";
import { alpacaPrompt, type PromptTemplate } from "./prompt-template.ts";

/** Parts of an example that count for the loss: all turns of the assistant, its last one, or the whole text. */
export const LOSS_ON = ["assistant", "last", "all"] as const;
export type LossOn = (typeof LOSS_ON)[number];

export interface WrittenText {
  ids: number[];
  /** Whether each token counts, `[ids]`. */
  counts: boolean[];
}

/**
 * Tokens of an example, with those that count. A conversation, or a prompt with its completion, is formatted by the model's chat
 * template if it has one; otherwise the end-of-text token is appended to the text, which only Alpaca's template changes.
 */
export function writtenText(
  example: Example,
  tokenizer: Tokenizer,
  lossOn: LossOn,
  template: PromptTemplate = "chat",
): WrittenText {
  const { textPair, tools } = example;
  if (template === "alpaca" && example.messages) {
    throw new UserError(
      `${example.place ?? "a row"} is a conversation, but ${opt("promptTemplate")} alpaca takes one instruction and its answer; leave it out`,
    );
  }
  const isAlpaca = template === "alpaca" && textPair !== undefined;
  const text = isAlpaca ? alpacaPrompt(example, "learn") : example.text;
  const messages = isAlpaca ? undefined : messagesOf(example, tokenizer);
  if (messages) {
    const written = withPlace(example, () => tokenizer.chatTemplate!.renderTurns(messages, { tools }));
    const ids = tokenizer.idsOf(written.text);
    if (lossOn === "all") return { ids, counts: ids.map(() => true) };
    const turns = lossOn === "last" ? written.turns.slice(-1) : written.turns;
    return { ids, counts: inSpans(written.text, ids, turns, (part) => tokenizer.idsOf(part)) };
  }
  const prompt = textPair === undefined ? "" : text + separator(text, textPair);
  const ids = plainIds(tokenizer, prompt + (textPair ?? text));
  const { eos } = tokenizer.specialTokens;
  const ended = eos && ids.at(-1) !== eos.id ? [...ids, eos.id] : ids;
  const start = textPair === undefined || lossOn === "all" ? 0 : sharedLength(ids, plainIds(tokenizer, prompt));
  return { ids: ended, counts: ended.map((_, i) => i >= start) };
}

function messagesOf(
  { messages, text, textPair, place }: Example,
  { chatTemplate }: Tokenizer,
): readonly ChatMessage[] | undefined {
  if (messages && !chatTemplate) {
    throw new UserError(
      `${place ?? "a conversation"} is a conversation, but the model has no chat template; use one that was tuned for chat, or add a chat_template.jinja to its folder`,
    );
  }
  if (messages || textPair === undefined || !chatTemplate) return messages;
  return [
    { role: "user", content: text },
    { role: "assistant", content: textPair },
  ];
}

function withPlace<T>({ place }: Example, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof UserError) || place === undefined) throw error;
    throw new UserError(`${place}: ${error.message}`);
  }
}

export const separator = (prompt: string, completion: string): string =>
  /\s$/.test(prompt) || /^\s/.test(completion) ? "" : "\n";

const plainIds = (tokenizer: Tokenizer, text: string): number[] => [
  ...tokenizer.encode(text, undefined, Number.MAX_SAFE_INTEGER).inputIds,
];

function sharedLength(ids: readonly number[], others: readonly number[]): number {
  let length = 0;
  while (length < others.length && ids[length] === others[length]) length++;
  return length;
}

/** Marks the tokens that belong to the spans of a text. A token belongs to a span even if it is only partly in it. */
function inSpans(
  text: string,
  ids: readonly number[],
  spans: readonly TextSpan[],
  idsOf: (part: string) => number[],
): boolean[] {
  const counts = ids.map(() => false);
  const edges = [0, ...spans.flatMap(({ start, end }) => [start, end]), text.length];
  const pieces = edges.slice(1).map((edge, i) => idsOf(text.slice(edges[i], edge)));
  // Tokenizing piece by piece usually yields the same tokens; if not, the common beginnings locate the spans.
  const joined = pieces.flat();
  const isPiecewise = joined.length === ids.length && sharedLength(ids, joined) === ids.length;
  spans.forEach(({ start, end }, i) => {
    if (isPiecewise) {
      const from = pieces.slice(0, 2 * i + 1).reduce((sum, { length }) => sum + length, 0);
      counts.fill(true, from, from + pieces[2 * i + 1]!.length);
      return;
    }
    const upTo = idsOf(text.slice(0, end));
    const shared = sharedLength(ids, upTo);
    counts.fill(true, sharedLength(ids, idsOf(text.slice(0, start))), shared < upTo.length ? shared + 1 : shared);
  });
  return counts;
}
