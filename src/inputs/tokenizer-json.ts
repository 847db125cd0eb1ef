import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { inWords, UserError } from "../errors.ts";
import { ChatTemplate } from "./chat-template.ts";
import {
  addTokens,
  type LibraryTokenizer as ExactTokenizer,
  makeExact,
  refuseLongExpressions,
} from "./library-patches.ts";
import { bytesOfTokens } from "./token-bytes.ts";
import type { Encoding, Tokenizer, WordEncoding } from "./tokenizer.ts";

/** `[content, id]` */
const tokenPair = z.tuple([z.string(), z.int()]);
const specialItem = z.object({ SpecialToken: z.object({ id: z.string(), type_id: z.int() }) });
const sequenceItem = z.object({ Sequence: z.object({ id: z.enum(["A", "B"]), type_id: z.int() }) });
const templateSchema = z.array(z.union([specialItem, sequenceItem]));
const processorSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("TemplateProcessing"),
    single: templateSchema,
    pair: templateSchema,
    special_tokens: z.record(z.string(), z.object({ ids: z.array(z.int()) })).optional(),
  }),
  z.object({ type: z.enum(["BertProcessing", "RobertaProcessing"]), cls: tokenPair, sep: tokenPair }),
  z.object({ type: z.literal("ByteLevel") }),
  z.object({
    type: z.literal("Sequence"),
    get processors() {
      return z.array(processorSchema);
    },
  }),
]);

const preTokenizerSchema = z.looseObject({
  // No published tokenizer uses the library's Replace, which can make texts grow.
  type: z.string().refine((type) => type !== "Replace", "no pre-tokenizer replaces text"),
  /** Metaspace only. */
  replacement: z
    .string()
    .refine((text) => [...text].length === 1, "expected one character")
    .optional(),
  add_prefix_space: z.boolean().optional(),
  get pretokenizers() {
    return z.array(preTokenizerSchema).optional();
  },
});

const flag = z.boolean().optional();
const addedToken = z.looseObject({
  id: z.int().min(0),
  content: z.string(),
  ...{ single_word: flag, lstrip: flag, rstrip: flag, special: flag, normalized: flag },
});

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedToken).default([]),
  normalizer: z.looseObject({ type: z.string() }).nullable().default(null),
  pre_tokenizer: preTokenizerSchema.nullable().default(null),
  model: z.looseObject({}),
  post_processor: processorSchema.nullable().default(null),
  decoder: z.unknown().default(null),
  truncation: z.object({ direction: z.string().optional() }).nullish(),
  padding: z.object({ pad_token: z.string() }).nullish(),
});

const tokenName = z
  .union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)])
  .nullish();

const settingsSchema = z.looseObject({
  bos_token: tokenName,
  eos_token: tokenName,
  unk_token: tokenName,
  sep_token: tokenName,
  cls_token: tokenName,
  mask_token: tokenName,
  pad_token: tokenName,
  /** From the model's configuration, only for encoder-decoders. */
  decoder_start_token_id: z.int().min(0).nullish(),
  /** One template, or several by name. */
  chat_template: z.union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))]).nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  truncation_side: z.enum(["left", "right"]).optional(),
  do_lower_case: z.boolean().optional(),
  strip_accents: z.boolean().nullish(),
  /** aflora's own: a text's leading space stays beside the one that the tokenizer adds, as in Llama's slow tokenizer. */
  keep_leading_space: z.boolean().optional(),
  tokenize_chinese_chars: z.boolean().optional(),
});

type Processor = z.output<typeof processorSchema>;
type TokenizerJson = z.output<typeof tokenizerSchema>;
type Settings = z.output<typeof settingsSchema>;

/** A part of an encoding: one of the texts, or special tokens. */
interface TemplatePart {
  content: "A" | "B" | readonly number[];
  typeId: number;
}

/**
 * Creates a tokenizer from its JSON files.
 * @param json parsed `tokenizer.json`.
 * @param settings parsed `tokenizer_config.json`, or an empty object.
 * @param location of both files, for error messages.
 * @throws UserError if they are malformed, or of a kind that is not supported.
 */
export function createTokenizer(json: unknown, settings: unknown, location: string): Tokenizer {
  return new JsonTokenizer(
    parse(tokenizerSchema, json, `${location}: tokenizer.json`),
    parse(settingsSchema, settings, `${location}: tokenizer_config.json`),
    location,
  );
}

class JsonTokenizer implements Tokenizer {
  readonly padTokenId: number;
  readonly specialTokens: Tokenizer["specialTokens"];
  readonly chatTemplate: ChatTemplate | undefined;
  private readonly library: LibraryTokenizer;
  private readonly single: readonly TemplatePart[];
  private readonly pair: readonly TemplatePart[];
  private readonly cutsLeft: boolean;
  /** Prefix of listed words: a space if the tokenizer marks the beginning of words by it. */
  private readonly wordPrefix: string;
  private readonly keepsLeadingSpace: boolean;
  readonly tokenBytes: Tokenizer["tokenBytes"];

  constructor(json: TokenizerJson, settings: Settings, location: string) {
    const exactJson = {
      ...json,
      normalizer: withSettings(json.normalizer, settings),
      // `fill` adds the special tokens.
      post_processor: null,
      added_tokens: [],
    };
    const { normalizer, pre_tokenizer, decoder } = exactJson;
    refuseLongExpressions([normalizer, pre_tokenizer, decoder], `${location}: tokenizer.json`);
    try {
      this.library = new LibraryTokenizer(exactJson, settings);
      const library = this.library as unknown as ExactTokenizer;
      makeExact(library, exactJson, `${location}: tokenizer.json`);
      addTokens(library, json.added_tokens);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${location}: this kind of tokenizer is not supported: ${(error as Error).message}`);
    }
    this.tokenBytes = () => bytesOfTokens(this.library as unknown as ExactTokenizer, decoder, location);
    this.single = templateOf(json.post_processor, "single", this.library, location);
    this.pair = templateOf(json.post_processor, "pair", this.library, location);
    this.cutsLeft = (settings.truncation_side ?? json.truncation?.direction?.toLowerCase()) === "left";
    this.keepsLeadingSpace = settings.keep_leading_space ?? false;
    this.wordPrefix = joinsWords(json.pre_tokenizer) ? " " : "";
    this.specialTokens = specialTokensOf(settings, this.library);
    this.chatTemplate = chatTemplateOf(settings, location);
    this.padTokenId = padTokenId(json, settings, this.library, location);
  }

  encode(text: string, textPair: string | undefined, maxLength: number): Encoding {
    const paired = textPair !== undefined;
    const template = paired ? this.pair : this.single;
    const room = roomFor(template, maxLength);
    const a = this.idsOf(text);
    const b = paired ? this.idsOf(textPair) : [];
    const [keepA, keepB] = longestFirst(a.length, b.length, room);
    return { ...fill(template, this.cut(a, keepA), this.cut(b, keepB)), cut: a.length + b.length > room };
  }

  encodeWords(words: readonly string[], maxLength: number): WordEncoding {
    const room = roomFor(this.single, maxLength);
    const ids: number[] = [];
    const wordOf: number[] = [];
    for (const [i, word] of words.entries()) {
      for (const id of this.idsOf(word === "" || word.startsWith(" ") ? word : this.wordPrefix + word)) {
        ids.push(id);
        wordOf.push(i);
      }
    }
    const encoding = fill(this.single, this.cut(ids, room), []);
    const wordIds = new Int32Array(encoding.inputIds.length).fill(-1);
    wordIds.set(this.cut(wordOf, room), offsetOfA(this.single));
    return { ...encoding, wordIds, cut: ids.length > room };
  }

  idsOf(text: string): number[] {
    const given = this.keepsLeadingSpace && /^[ ▁]/.test(text) ? `▁${text}` : text;
    return this.library.encode(given, { add_special_tokens: false }).ids;
  }

  decode(ids: readonly number[], { skipSpecialTokens = false } = {}): string {
    return ids.length === 0 ? "" : this.library.decode([...ids], { skip_special_tokens: skipSpecialTokens });
  }

  private cut(values: number[], length: number): number[] {
    if (values.length <= length) return values;
    return this.cutsLeft ? values.slice(values.length - length) : values.slice(0, length);
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown, file: string): T {
  const result = schema.safeParse(value, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(
    `${file} is malformed or not supported: ${issue!.path.join(".") || "the whole"}: ${issue!.message}`,
  );
}

/** Applies settings to BERT's normalizer: in Transformers, `tokenizer_config.json` takes precedence. */
function withSettings(normalizer: TokenizerJson["normalizer"], settings: Settings): TokenizerJson["normalizer"] {
  if (normalizer?.type !== "BertNormalizer") return normalizer;
  return {
    ...normalizer,
    ...(settings.do_lower_case !== undefined && { lowercase: settings.do_lower_case }),
    ...(settings.strip_accents !== undefined && { strip_accents: settings.strip_accents }),
    ...(settings.tokenize_chinese_chars !== undefined && { handle_chinese_chars: settings.tokenize_chinese_chars }),
  };
}

function templateOf(
  processor: Processor | null,
  form: "single" | "pair",
  library: LibraryTokenizer,
  location: string,
): TemplatePart[] {
  switch (processor?.type) {
    case "TemplateProcessing":
      return processor[form].map((item) => {
        if ("Sequence" in item) return { content: item.Sequence.id, typeId: item.Sequence.type_id };
        const { id: token, type_id: typeId } = item.SpecialToken;
        const ids = processor.special_tokens?.[token]?.ids ?? [library.token_to_id(token)];
        if (!ids.every((id) => id !== undefined)) {
          throw new UserError(`${location}: the special token "${token}" is not in the vocabulary`);
        }
        return { content: ids, typeId };
      });
    case "BertProcessing":
    case "RobertaProcessing": {
      const cls = [processor.cls[1]];
      const sep = [processor.sep[1]];
      const bert = processor.type === "BertProcessing";
      const single: TemplatePart[] = [
        { content: cls, typeId: 0 },
        { content: "A", typeId: 0 },
        { content: sep, typeId: 0 },
      ];
      if (form === "single") return single;
      // RoBERTa puts two separators between the texts and has one token type.
      const second: TemplatePart[] = ["B" as const, sep].map((content) => ({ content, typeId: bert ? 1 : 0 }));
      return bert ? [...single, ...second] : [...single, { content: sep, typeId: 0 }, ...second];
    }
    case "Sequence": {
      const last = processor.processors.findLast(({ type }) => type !== "ByteLevel") ?? null;
      return templateOf(last, form, library, location);
    }
    default:
      return [{ content: "A", typeId: 0 }, ...(form === "pair" ? [{ content: "B" as const, typeId: 1 }] : [])];
  }
}

/** Whether words of a byte-level tokenizer need a space before each to stay separate. */
function joinsWords(preTokenizer: TokenizerJson["pre_tokenizer"]): boolean {
  if (!preTokenizer) return false;
  return (
    (preTokenizer.type === "ByteLevel" && !preTokenizer.add_prefix_space) ||
    (preTokenizer.pretokenizers ?? []).some(joinsWords)
  );
}

function specialTokensOf(settings: Settings, library: LibraryTokenizer): Tokenizer["specialTokens"] {
  const found = (["bos", "eos"] as const).flatMap((name) => {
    const text = settings[`${name}_token`];
    const id = text ? library.token_to_id(text) : undefined;
    return text && id !== undefined ? [[name, { id, text }] as const] : [];
  });
  const start = settings.decoder_start_token_id;
  const decoderStart = typeof start === "number" && { id: start, text: library.decode([start]) };
  return { ...Object.fromEntries(found), ...(decoderStart && { decoderStart }) };
}

function chatTemplateOf(settings: Settings, location: string): ChatTemplate | undefined {
  const { chat_template: template } = settings;
  if (!template) return undefined;
  const sources =
    typeof template === "string"
      ? { default: template }
      : Object.fromEntries(template.map(({ name, template }) => [name, template]));
  const tokens = Object.entries(settings).filter(
    (entry): entry is [string, string] => /^[a-z]+_token$/.test(entry[0]) && typeof entry[1] === "string",
  );
  return new ChatTemplate(sources, Object.fromEntries(tokens), location);
}

function padTokenId(json: TokenizerJson, settings: Settings, library: LibraryTokenizer, location: string): number {
  // Language models often have no padding token; the end-of-text token replaces it, as is common in Transformers.
  for (const token of [settings.pad_token, json.padding?.pad_token, "[PAD]", "<pad>", settings.eos_token]) {
    const id = token ? library.token_to_id(token) : undefined;
    if (id !== undefined) return id;
  }
  throw new UserError(
    `${location}: the tokenizer has no padding token; name one as pad_token in tokenizer_config.json`,
  );
}

function roomFor(template: readonly TemplatePart[], maxLength: number): number {
  const special = template.reduce((sum, { content }) => sum + (typeof content === "string" ? 0 : content.length), 0);
  if (maxLength < special) {
    throw new UserError(
      `a maximum length of ${maxLength} tokens is too short: the special tokens alone take ${special}; choose a larger one`,
    );
  }
  return maxLength - special;
}

/**
 * Returns how many tokens of each text to keep, as Hugging Face's tokenizers library does: the longer text is cut until
 * both are equal, then both; the second keeps the odd token.
 */
function longestFirst(a: number, b: number, room: number): [number, number] {
  if (a + b <= room) return [a, b];
  const shorter = Math.min(a, b);
  const longer = Math.max(shorter, room - shorter);
  const half = Math.floor(room / 2);
  const [few, many] = shorter + longer > room ? [half, room - half] : [shorter, longer];
  return a > b ? [many, few] : [few, many];
}

function fill(template: readonly TemplatePart[], a: readonly number[], b: readonly number[]): Encoding {
  const inputIds: number[] = [];
  const tokenTypeIds: number[] = [];
  for (const { content, typeId } of template) {
    for (const id of content === "A" ? a : content === "B" ? b : content) {
      inputIds.push(id);
      tokenTypeIds.push(typeId);
    }
  }
  return { inputIds: Int32Array.from(inputIds), tokenTypeIds: Int32Array.from(tokenTypeIds) };
}

/** Returns the number of special tokens before the first text. */
function offsetOfA(template: readonly TemplatePart[]): number {
  const before = template.slice(
    0,
    template.findIndex(({ content }) => content === "A"),
  );
  return before.reduce((sum, { content }) => sum + content.length, 0);
}
