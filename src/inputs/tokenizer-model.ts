import { decoderOfPieces, mergesOf, modelOfPieces, surround } from "../checkpoints/sentence-pieces.ts";
import { PIECE, parseSentencePiece } from "./sentence-piece.ts";
import {
  addedTokens,
  type BuiltTokenizer,
  contents,
  precompiled,
  replace,
  resolve,
  type Specials,
  specialNames,
  type TokenizerJson,
  type TokenizerSettings,
} from "./vocabulary-files.ts";

/** A score that loses against any others: texts do not become pieces of this score. */
const LEAST = -1e6;

/**
 * Builds the tokenizer of Llama's `tokenizer.model`, a SentencePiece model of either kind, like Transformers' slow
 * `LlamaTokenizer`, with the model's own special pieces.
 * @throws UserError if the bytes are not such a model.
 */
export function fromTokenizerModel(model: Uint8Array, location: string, settings: TokenizerSettings): BuiltTokenizer {
  const { pieces, merges, byteFallback, specials: named, ...rest } = parseSentencePiece(model, location);
  const tokens = pieces.map(({ piece }) => piece);
  const isPart = (id: number) => ([PIECE.normal, PIECE.userDefined] as number[]).includes(pieces[id]!.type);
  const specials = resolve(
    Object.fromEntries(specialNames.map((name) => [name, named[name.slice(0, 3) as "unk"] ?? null])) as Specials,
    settings,
  );
  const ids = new Map(tokens.map((piece, id) => [piece, id]));
  const found = pieces.flatMap(({ piece, type }, id) => (type === PIECE.userDefined ? [[id, { content: piece }]] : []));
  const added = addedTokens(ids, specials, {
    ...settings,
    added_tokens_decoder: { ...Object.fromEntries(found), ...settings.added_tokens_decoder },
  }).map((token) => ({ ...token, normalized: false }));
  const unknown = pieces.findIndex(({ type }) => type === PIECE.unknown);
  const legacy = settings.legacy ?? true;
  const prefix = legacy ? rest.addsPrefix : (settings.add_prefix_space ?? true);
  const text = contents(specials);
  const [bos, eos] = [(settings.add_bos_token ?? true) && text.bos_token, settings.add_eos_token && text.eos_token];
  const tokenizer: TokenizerJson = {
    added_tokens: added,
    normalizer: {
      type: "Sequence",
      normalizers: [
        ...precompiled(rest.charsmap),
        ...(rest.removesSpaces ? [replace("^ +|[ ▁]+$", ""), replace(" {2,}", " ")] : []),
        ...(prefix && legacy ? [{ type: "Prepend", prepend: "▁" }] : []),
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer:
      prefix && !legacy ? { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false } : null,
    model: merges
      ? modelOfPieces(
          tokens,
          tokens[unknown],
          mergesOf(
            tokens,
            pieces.map(({ score }) => score),
            location,
            isPart,
          ),
          byteFallback,
        )
      : {
          type: "Unigram",
          unk_id: unknown,
          vocab: pieces.map(({ piece, score }, id) => [piece, isPart(id) || id === unknown ? score : LEAST]),
          byte_fallback: byteFallback,
        },
    post_processor: surround(
      (token) => added.find(({ content }) => content === token)!.id,
      bos || undefined,
      eos || undefined,
    ),
    decoder: decoderOfPieces(prefix),
  };
  const own = { clean_up_tokenization_spaces: false, ...(prefix && !legacy && { keep_leading_space: true }) };
  return { tokenizer, config: { ...own, ...settings, ...text } };
}
