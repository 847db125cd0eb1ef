import { readsSource } from "../../architectures/architecture-kinds.ts";
import { CachedStream, WrittenStream } from "../../architectures/streams/cached-stream.ts";
import { EncodedOnceStream } from "../../architectures/streams/encoded-stream.ts";
import { InPlaceStream } from "../../architectures/streams/in-place-stream.ts";
import type { KeyCache } from "../../architectures/streams/key-cache.ts";
import { UserError } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { asFloat32, float32, int64, type Tensor, type Tensors } from "../../graph/tensor.ts";
import { namesOf } from "../../methods/method.ts";
import { type CompiledGraph, KeptTensor } from "../../runtime/compiled-graph.ts";
import { releaseOnFailure } from "../../runtime/release-on-failure.ts";
import type { CompileOptions, Runtime } from "../../runtime/session.ts";
import { type AdaptedModel, writeInference } from "../../training/step-graph.ts";
import { type InPlaceGraph, InPlaceReader, type ReaderState } from "./in-place-reader.ts";
import { JoinedLayers } from "./joined-layers.ts";
import { SourceEncoder } from "./source-encoder.ts";
import type { TextReader } from "./text-reader.ts";

export interface ReaderOptions {
  sources?: readonly (readonly number[])[];
  /** Whether it reads only one text: with weights of few bits it can then guess the next tokens, and the answer may differ. */
  alone?: boolean;
}

type OpenReader = (adapter: Tensors | undefined, options: ReaderOptions) => TextReader;

/** A compiled adapted language model that continues texts. Their keys and values stay with ONNX Runtime. */
export class CachedDecoder {
  private constructor(
    private readonly graph: CompiledGraph,
    private readonly open: OpenReader,
    private readonly encoder?: SourceEncoder,
  ) {}

  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    { constantAdapter = false }: { constantAdapter?: boolean } = {},
  ): Promise<CachedDecoder> {
    const options: CompileOptions = {
      answers: (model.format ?? "float32") !== "float32",
      ...(constantAdapter && { constants: namesOf(model.adaptation.parameters) }),
    };
    // Only the CPU has the kernel that reads slots.
    const inPlace =
      runtime.packs && !readsSource(model) ? await compileInPlace(model, weights, runtime, options) : undefined;
    if (inPlace) {
      // The text read last: conversations continue, and prompts often begin with the same tokens.
      let left: ReaderState | undefined;
      const give = (read: ReaderState): void => {
        left = read;
      };
      return new CachedDecoder(inPlace.graph, (adapter, { alone = false }) => {
        const taken = left;
        left = undefined;
        return new InPlaceReader(inPlace, adapter, taken, give, alone);
      });
    }
    const { maxLength } = model.config;
    const Stream = readsSource(model) ? WrittenStream : CachedStream;
    let stream: CachedStream | undefined;
    let source: EncodedOnceStream | undefined;
    const { outputs } = writeInference(
      { ...model, head: "languageModel" },
      {
        stream: (graph) => (stream ??= new Stream(graph, maxLength)),
        encoded(graph, width) {
          source ??= new EncodedOnceStream(graph);
          return source.encoded(width);
        },
      },
    );
    const { cache, tables } = stream!;
    const given = new Map([...weights, ...tables]);
    const graph = await runtime.compile({ ...outputs, ...cache.present }, given, options);
    const ofSource = source?.cache;
    const encoder =
      ofSource && (await releaseOnFailure(graph, () => SourceEncoder.compile(model, ofSource.present, given, runtime)));
    const layout = { caches: cachesOf(cache), sourceCaches: ofSource ? cachesOf(ofSource) : [], maxLength };
    return new CachedDecoder(
      graph,
      (adapter, { sources }) => {
        if (!encoder) return new CachedReader(graph, layout, adapter);
        if (!sources?.length) {
          throw new UserError(
            "an encoder-decoder needs source texts for its encoder; give the ids of one source for each text",
          );
        }
        const read = (): Promise<SourceTexts> => SourceTexts.read(encoder, layout, sources, adapter);
        return new CachedReader(graph, layout, adapter, read);
      },
      encoder,
    );
  }

  /** Makes a reader that has not read anything yet. Several readers may read in turn. */
  reader(adapter?: Tensors, options: ReaderOptions = {}): TextReader {
    return this.open(adapter, options);
  }

  async release(): Promise<void> {
    await this.graph.release();
    await this.encoder?.release();
  }
}

/** Compiles a decoder that reads in place; undefined if the family has its own form of attention. */
async function compileInPlace(
  model: AdaptedModel,
  weights: Tensors,
  runtime: Runtime,
  options: CompileOptions,
): Promise<InPlaceGraph | undefined> {
  const { maxLength } = model.config;
  let stream: InPlaceStream | undefined;
  // With a base of few bits, everything except the adapters is constant; if its only adapter is too, layers can be joined.
  const layers = runtime.packs && options.constants ? new JoinedLayers(model, weights) : undefined;
  const { outputs } = writeInference(
    { ...model, head: "languageModel" },
    {
      stream: (graph) => (stream ??= new InPlaceStream(graph, maxLength)),
      joined: (x, modules) => layers?.write(x, modules),
    },
  );
  const { fits, past, tables, rotaries } = stream!;
  if (!fits) return undefined;
  const given = new Map([...weights, ...tables, ...(layers?.tables ?? [])]);
  const graph = await runtime.compile({ ...outputs, written: stream!.written }, given, options);
  const layout = Object.entries(past).map(([input, { shape }]) => {
    const [, heads, , size] = shape as [unknown, number, unknown, number];
    return { input, heads, size };
  });
  return { graph, layout, rotaries, maxLength, rounds: options.answers === true };
}

interface CacheTensor {
  input: string;
  output: string;
  heads: number;
  size: number;
}

interface CacheLayout {
  caches: readonly CacheTensor[];
  sourceCaches: readonly CacheTensor[];
  maxLength: number;
}

function cachesOf({ past, present }: Pick<KeyCache, "past" | "present">): CacheTensor[] {
  const outputs = Object.keys(present);
  return Object.entries(past).map(([input, { shape }]: [string, Value], i) => {
    const [, heads, , size] = shape as [unknown, number, unknown, number];
    return { input, output: outputs[i]!, heads, size };
  });
}

type Inputs = Record<string, Tensor | KeptTensor>;

const emptyCaches = (caches: readonly CacheTensor[], texts: number): Inputs =>
  Object.fromEntries(caches.map(({ input, heads, size }) => [input, float32([texts, heads, 0, size])]));

const taken = (caches: readonly CacheTensor[], results: Record<string, KeptTensor>): Inputs =>
  Object.fromEntries(caches.map(({ input, output }) => [input, results[output]!]));

const valuesOf = (tensor: Tensor | KeptTensor): Tensor<"float32"> =>
  asFloat32(tensor instanceof KeptTensor ? tensor.read() : tensor);

function release(inputs: Inputs): void {
  for (const tensor of Object.values(inputs)) if (tensor instanceof KeptTensor) tensor.release();
}

class SourceTexts {
  #sources: readonly number[];

  private constructor(
    private mask: Tensor<"int64">,
    private cache: Inputs,
  ) {
    const [texts] = mask.shape as [number, number];
    this.#sources = Array.from({ length: texts }, (_, i) => i);
  }

  static async read(
    encoder: SourceEncoder,
    { sourceCaches }: CacheLayout,
    sources: readonly (readonly number[])[],
    adapter: Tensors | undefined,
  ): Promise<SourceTexts> {
    const { mask, keys } = await encoder.read(sources, adapter);
    return new SourceTexts(mask, taken(sourceCaches, keys));
  }

  get inputs(): Inputs {
    return { encoder_attention_mask: this.mask, ...this.cache };
  }

  keep(texts: readonly number[]): void {
    const sources = texts.map((text) => this.#sources[text]!);
    // Beams of one text have the same source, so usually nothing moves.
    if (sources.join() === this.#sources.join()) return;
    const positions = this.mask.shape[1]!;
    const mask = new BigInt64Array(texts.length * positions);
    texts.forEach((text, i) => {
      mask.set(this.mask.data.subarray(text * positions, (text + 1) * positions), i * positions);
    });
    const cache = Object.entries(this.cache).map(([name, tensor]) => [name, rowsOf(valuesOf(tensor), texts, 0)]);
    release(this.cache);
    this.cache = Object.fromEntries(cache);
    this.mask = { ...this.mask, shape: [texts.length, positions], data: mask };
    this.#sources = sources;
  }

  release(): void {
    release(this.cache);
  }
}

class CachedReader implements TextReader {
  readonly #readSources: (() => Promise<SourceTexts>) | undefined;
  #sources: SourceTexts | undefined;
  /** Whether each position of a text holds a token; texts are padded on the left. */
  #mask: boolean[][] | undefined;
  /** Caches `[texts, heads, positions, size]` by input name. */
  #cache: Inputs = {};

  constructor(
    private readonly graph: CompiledGraph,
    private readonly layout: CacheLayout,
    private readonly adapter: Tensors | undefined,
    readSources?: () => Promise<SourceTexts>,
  ) {
    this.#readSources = readSources;
  }

  async read(more: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const { caches, maxLength } = this.layout;
    const count = more.length;
    if (!this.#mask) {
      this.#mask = more.map(() => []);
      this.#cache = emptyCaches(caches, count);
      this.#sources = await this.#readSources?.();
    }
    if (this.#mask.length !== count) throw new Error(`${this.#mask.length} texts are read, not ${count}`);
    const sequence = Math.max(...more.map(({ length }) => length));
    const mask = this.#mask.map((positions, i) => [
      ...positions,
      ...Array.from({ length: sequence }, (_, place) => place >= sequence - more[i]!.length),
    ]);
    const longest = Math.max(...mask.map((positions) => positions.filter(Boolean).length));
    if (longest > maxLength) {
      throw new UserError(`a text of ${longest} tokens is longer than the ${maxLength} that the model reads`);
    }
    const ids = more.flatMap((text) => [...Array<number>(sequence - text.length).fill(0), ...text]);
    const results = await this.graph.runAndKeep(
      {
        input_ids: int64([count, sequence], ids),
        attention_mask: int64([count, mask[0]!.length], mask.flat().map(Number)),
        ...this.#cache,
        ...this.#sources?.inputs,
      },
      this.adapter,
    );
    release(this.#cache);
    this.#mask = mask;
    this.#cache = taken(caches, results);
    const { data } = valuesOf(results.logits!);
    const width = data.length / count;
    const logits = more.map((_, i) => data.slice(i * width, (i + 1) * width));
    results.logits!.release();
    return logits;
  }

  keep(texts: readonly number[]): void {
    const mask = texts.map((text) => this.#mask![text]!);
    // Positions before the first token of the longest remaining text are empty.
    const unused = Math.min(...mask.map((positions) => positions.indexOf(true)));
    const cache = Object.entries(this.#cache).map(([name, tensor]) => [name, rowsOf(valuesOf(tensor), texts, unused)]);
    release(this.#cache);
    this.#mask = mask.map((positions) => positions.slice(unused));
    this.#cache = Object.fromEntries(cache);
    this.#sources?.keep(texts);
  }

  release(): void {
    release(this.#cache);
    this.#sources?.release();
    this.#cache = {};
    this.#sources = undefined;
    this.#mask = undefined;
  }
}

/** Selects texts from `[texts, heads, positions, size]`, without the first `unused` positions. */
function rowsOf({ shape, data }: Tensor<"float32">, texts: readonly number[], unused: number): Tensor<"float32"> {
  const [, heads, positions, size] = shape as [number, number, number, number];
  const kept = (positions - unused) * size;
  const rows = float32([texts.length, heads, positions - unused, size]);
  texts.forEach((text, i) => {
    for (let head = 0; head < heads; head++) {
      const start = ((text * heads + head) * positions + unused) * size;
      rows.data.set(data.subarray(start, start + kept), (i * heads + head) * kept);
    }
  });
  return rows;
}
