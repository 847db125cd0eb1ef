import { UserError } from "../errors.ts";
import type { ChatMessage, TextSpan } from "../tokenization/chat-template.ts";
import type { Tokenizer } from "../tokenization/tokenizer.ts";
import type { Example } from "./example.ts";

/** What of an example counts for the loss: all of the assistant's turns, its last one, or the whole text. */
export const LOSS_ON = ["assistant", "last", "all"] as const;
export type LossOn = (typeof LOSS_ON)[number];

/** A text as a language model reads and learns to write it. */
export interface WrittenText {
  ids: number[];
  /** `[ids]`: whether the token counts. */
  counts: boolean[];
}

/**
 * An example as its tokens, with those that count: by its chat template where the model has one and the example is a
 * conversation or a prompt with its completion, else as it stands with the token that ends a text behind it.
 * @throws UserError where the template refuses the conversation, or a conversation has none.
 */
export function writtenText(example: Example, tokenizer: Tokenizer, lossOn: LossOn): WrittenText {
  const { text, textPair, tools } = example;
  const messages = messagesOf(example, tokenizer);
  if (messages) {
    const written = inPlaceOf(example, () => tokenizer.chatTemplate!.renderTurns(messages, { tools }));
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

/** An example's turns, where it is written by a chat template. */
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

/** @throws UserError of the work, with where the example was read from. */
function inPlaceOf<T>({ place }: Example, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof UserError) || place === undefined) throw error;
    throw new UserError(`${place}: ${error.message}`);
  }
}

/** A prompt and its completion stand on lines of their own, unless there is white space between them already. */
export const separator = (prompt: string, completion: string): string =>
  /\s$/.test(prompt) || /^\s/.test(completion) ? "" : "\n";

/** A text with the special tokens that the tokenizer puts around it. */
const plainIds = (tokenizer: Tokenizer, text: string): number[] => [
  ...tokenizer.encode(text, undefined, Number.MAX_SAFE_INTEGER).inputIds,
];

/** How many ids two lists begin with alike. */
function sharedLength(ids: readonly number[], others: readonly number[]): number {
  let length = 0;
  while (length < others.length && ids[length] === others[length]) length++;
  return length;
}

/** Which of a text's tokens lie in its spans; one that lies half in one does. */
function inSpans(
  text: string,
  ids: readonly number[],
  spans: readonly TextSpan[],
  idsOf: (part: string) => number[],
): boolean[] {
  const counts = ids.map(() => false);
  const edges = [0, ...spans.flatMap(({ start, end }) => [start, end]), text.length];
  const pieces = edges.slice(1).map((edge, i) => idsOf(text.slice(edges[i], edge)));
  // Texts mostly fall into the same tokens piece by piece; where not, the beginnings that are alike tell.
  const joined = pieces.flat();
  const alike = joined.length === ids.length && sharedLength(ids, joined) === ids.length;
  spans.forEach(({ start, end }, i) => {
    if (alike) {
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
