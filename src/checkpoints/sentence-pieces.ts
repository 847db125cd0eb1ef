import { UserError } from "../errors.ts";

/** Upper limit on squared piece lengths, summed over all pieces; the largest vocabularies have a tenth. */
const MAX_SQUARED_CHARACTERS = 2 ** 28;
/** Upper limit on characters of all merges; the largest vocabularies have a tenth. */
const MAX_CHARACTERS = 2 ** 25;

/**
 * Derives the merges, best first, from the pieces' scores, which are all that SentencePiece uses.
 * @param isPart whether a piece is one that merges read and make
 * @throws UserError if pieces are longer than any tokenizer's.
 */
export function mergesOf(
  tokens: readonly string[],
  scores: ArrayLike<number>,
  location: string,
  isPart: (id: number) => boolean = () => true,
): [string, string][] {
  const refuse = (): never => {
    throw new UserError(
      `${location} is damaged: pieces of its tokenizer are longer than any tokenizer's; get the file again`,
    );
  };
  if (tokens.reduce((sum, { length }) => sum + length ** 2, 0) > MAX_SQUARED_CHARACTERS) refuse();
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) if (isPart(id)) ids.set(token, id);
  // Arrays of numbers, not objects: a large vocabulary has half a million merges.
  const [first, second, score, left, right]: [number[], number[], number[], number[], number[]] = [[], [], [], [], []];
  let found = 0;
  for (const [token, id] of ids) {
    const own: { first: number; second: number; left: number }[] = [];
    let characters = 0;
    for (let at = 0; at < token.length; characters++) {
      const [first, second] = [ids.get(token.slice(0, at)), ids.get(token.slice(at))];
      if (at > 0 && first !== undefined && second !== undefined) {
        found += token.length;
        if (found > MAX_CHARACTERS) refuse();
        own.push({ first, second, left: characters });
      }
      at += token.codePointAt(at)! > 0xffff ? 2 : 1;
    }
    for (const merge of own.sort((a, b) => a.first - b.first || a.second - b.second)) {
      first.push(merge.first);
      second.push(merge.second);
      score.push(scores[id]!);
      left.push(merge.left);
      right.push(characters - merge.left);
    }
  }
  return Array.from(first.keys())
    .sort((a, b) => score[b]! - score[a]! || left[b]! - left[a]! || right[b]! - right[a]!)
    .map((i) => [tokens[first[i]!]!, tokens[second[i]!]!]);
}

export function idsOf(tokens: readonly string[]): Record<string, number> {
  const ids: Record<string, number> = Object.create(null);
  for (const [id, token] of tokens.entries()) ids[token] = id;
  return ids;
}

/** Returns the model of a `tokenizer.json` that merges pieces, and falls back to bytes. */
export const modelOfPieces = (
  tokens: readonly string[],
  unknown: string | undefined,
  merges: readonly (readonly string[])[],
  fallsBack = true,
): object => ({
  type: "BPE",
  dropout: null,
  unk_token: unknown ?? null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: true,
  byte_fallback: fallsBack,
  ignore_merges: false,
  vocab: idsOf(tokens),
  merges,
});

/** Returns the decoder of pieces. @param prefix whether texts begin with a space that is not theirs */
export const decoderOfPieces = (prefix: boolean): object => ({
  type: "Sequence",
  decoders: [
    { type: "Replace", pattern: { String: "▁" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
    ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
  ],
});

/** Builds a post-processor that adds tokens before and after each text. */
export function surround(idOf: (token: string) => number, bos: string | undefined, eos: string | undefined): object {
  const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
  const around = (id: "A" | "B", type_id: number) => [
    ...(bos === undefined ? [] : [special(bos, type_id)]),
    { Sequence: { id, type_id } },
    ...(eos === undefined ? [] : [special(eos, type_id)]),
  ];
  const used = [bos, eos].filter((token) => token !== undefined);
  return {
    type: "TemplateProcessing",
    single: around("A", 0),
    pair: [...around("A", 0), ...around("B", 1)],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [idOf(token)], tokens: [token] }]),
    ),
  };
}
