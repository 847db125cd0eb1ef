import { z } from "zod";
import type { ChatMessage } from "../inputs/chat-template.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";
import type { Example } from "./example.ts";
import type { LossOn, WrittenText } from "./written-text.ts";

const TRUNCATE = ["middle", "start", "end"] as const;
export type Truncate = (typeof TRUNCATE)[number];

export const truncateOption = z
  .enum(TRUNCATE)
  .default("middle")
  .describe("part that a prompt beyond --max-length loses; answers are never truncated");

const GAP = " ... ";

function shortened(text: string, tokens: number, truncate: Truncate, tokenizer: Tokenizer): string {
  const ids = tokenizer.idsOf(text);
  if (ids.length <= tokens) return text;
  // A character may consist of several tokens: the remainder of a cut character is not text.
  const part = (from: number, to: number): string => tokenizer.decode(ids.slice(from, to)).replace(/^�+|�+$/g, "");
  const { length } = ids;
  if (truncate === "start") return part(length - tokens, length);
  if (truncate === "end") return part(0, tokens);
  const first = Math.ceil(tokens / 2);
  return part(0, first).trimEnd() + GAP + part(length - tokens + first, length).trimStart();
}

/** Maximum number of tokens that each text may keep if `removed` tokens are removed in total: the longest texts lose tokens first. */
function longestKept(lengths: readonly number[], removed: number): number {
  const lostAt = (most: number): number => lengths.reduce((sum, length) => sum + Math.max(0, length - most), 0);
  let most = lengths.reduce((a, b) => Math.max(a, b), 0);
  while (most > 0 && lostAt(most) < removed) most--;
  return most;
}

export function shortenUntilFits<Written>(
  texts: readonly string[],
  truncate: Truncate,
  tokenizer: Tokenizer,
  write: (texts: readonly string[]) => Written,
  excessOf: (written: Written) => number,
): Written | undefined {
  const lengths = texts.map((text) => tokenizer.idsOf(text).length);
  let removed = 0;
  for (let written = write(texts); ; ) {
    const excess = excessOf(written);
    if (excess <= 0) return written;
    removed += excess;
    const most = longestKept(lengths, removed);
    if (most === 0) return undefined;
    written = write(texts.map((text) => shortened(text, most, truncate, tokenizer)));
  }
}

/**
 * Shortens a text of more than `maxLength` tokens so that counted tokens remain: first its prompts, then the first turns of a
 * conversation. A text without a prompt loses its end; if an answer alone is too long, no tokens count.
 * @param write makes the text of an example
 */
export function shortenedToLength(
  example: Example,
  { ids, counts }: WrittenText,
  tokenizer: Tokenizer,
  { maxLength, lossOn, truncate }: { maxLength: number; lossOn: LossOn; truncate: Truncate },
  write: (example: Example) => WrittenText,
): WrittenText {
  const start = ids.slice(0, maxLength);
  if (counts.every(Boolean)) return { ids: start, counts: counts.slice(0, maxLength) };
  const shorten = (texts: readonly string[], exampleOf: (texts: readonly string[]) => Example) =>
    shortenUntilFits(
      texts,
      truncate,
      tokenizer,
      (shown) => write(exampleOf(shown)),
      (written) => written.ids.length - maxLength,
    );
  const { messages } = example;
  let found = messages ? undefined : shorten([example.text], ([text]) => ({ ...example, text: text! }));
  for (const turns of messages ? lastTurns(messages) : []) {
    const prompts = turns.flatMap(({ content }, place) => (isPrompt(turns, place, lossOn) ? [content ?? ""] : []));
    found ??= shorten(prompts, (texts) => {
      const left = [...texts];
      const shown = turns.map((turn, place) =>
        isPrompt(turns, place, lossOn) ? { ...turn, content: left.shift() } : turn,
      );
      return { ...example, messages: shown };
    });
  }
  return found ?? { ids: start, counts: start.map(() => false) };
}

function isPrompt(turns: readonly ChatMessage[], place: number, lossOn: LossOn): boolean {
  const { role, content } = turns[place]!;
  const counts =
    role === "assistant" && (lossOn !== "last" || place === turns.findLastIndex((turn) => turn.role === role));
  return !counts && typeof content === "string";
}

/** A conversation, then the same without the turns before the user's second one, and so on. Turns before the first one remain. */
function lastTurns(messages: readonly ChatMessage[]): (readonly ChatMessage[])[] {
  const asked = [...messages.keys()].filter((place) => messages[place]!.role === "user");
  const answered = asked.filter((place) => messages.slice(place).some(({ role }) => role === "assistant"));
  const shorter = answered.slice(1).map((place) => [...messages.slice(0, asked[0]), ...messages.slice(place)]);
  return [messages, ...shorter];
}
