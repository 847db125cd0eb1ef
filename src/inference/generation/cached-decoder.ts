import { UserError } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { asFloat32, float32, int64, type Tensor, type Tensors } from "../../graph/tensor.ts";
import { namesOf } from "../../methods/method.ts";
import { readsSource } from "../../models/architecture-kinds.ts";
import { CachedStream, WrittenStream } from "../../models/streams/cached-stream.ts";
import { EncodedOnceStream } from "../../models/streams/encoded-stream.ts";
import { InPlaceStream } from "../../models/streams/in-place-stream.ts";
import type { KeyCache } from "../../models/streams/key-cache.ts";
import { type CompiledGraph, KeptTensor } from "../../runtime/compiled-graph.ts";
import { releaseOnFailure } from "../../runtime/release-on-failure.ts";
import type { CompileOptions, Runtime } from "../../runtime/session.ts";
import { type AdaptedModel, writeInference } from "../../training/step-graph.ts";
import { type InPlaceGraph, InPlaceReader, type LeftText } from "./in-place-reader.ts";
import { JoinedLayers } from "./joined-layers.ts";
import { SourceEncoder } from "./source-encoder.ts";
import type { TextReader } from "./text-reader.ts";

/** What a reader reads with. */
export interface ReaderOptions {
  /** Of an encoder-decoder: ids of the text that its encoder reads beside each text. */
  sources?: readonly (readonly number[])[];
  /** Whether it reads one text, beside which no other comes: over few bits it can look up what comes next, and its words may differ. */
  alone?: boolean;
}

type OpenReader = (adapter: Tensors | undefined, options: ReaderOptions) => TextReader;

/** An adapted language model compiled to read texts on from where it is in them: its keys and values stay with ONNX Runtime. */
export class CachedDecoder {
  readonly #graph: CompiledGraph;
  readonly #open: OpenReader;
  readonly #encoder: SourceEncoder | undefined;

  private constructor(graph: CompiledGraph, open: OpenReader, encoder?: SourceEncoder) {
    this.#graph = graph;
    this.#open = open;
    this.#encoder = encoder;
  }

  /**
   * @param constantAdapter whether no reader brings other parameters of the method: they are constants then
   * @throws UserError where the model has no `languageModel` head.
   */
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
    // The kernel that reads rooms is the processor's.
    const inPlace =
      runtime.packs && !readsSource(model) ? await compileInPlace(model, weights, runtime, options) : undefined;
    if (inPlace) {
      // What was read last: a conversation goes on, and prompts often begin alike.
      let left: LeftText | undefined;
      const give = (read: LeftText): void => {
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
            "an encoder-decoder writes from texts that its encoder reads; give the ids of one source for each text",
          );
        }
        const read = (): Promise<SourceTexts> => SourceTexts.read(encoder, layout, sources, adapter);
        return new CachedReader(graph, layout, adapter, read);
      },
      encoder,
    );
  }

  /**
   * A reader that has read nothing yet; several may read in turn.
   * @param adapter tensors of the method and the head to read with, in place of those compiled with
   * @throws UserError where an encoder-decoder is given no sources.
   */
  reader(adapter?: Tensors, options: ReaderOptions = {}): TextReader {
    return this.#open(adapter, options);
  }

  /** Frees the graph; its readers can read no more. */
  async release(): Promise<void> {
    await this.#graph.release();
    await this.#encoder?.release();
  }
}

/** A decoder that reads in place; undefined where the family attends in a way of its own. */
async function compileInPlace(
  model: AdaptedModel,
  weights: Tensors,
  runtime: Runtime,
  options: CompileOptions,
): Promise<InPlaceGraph | undefined> {
  const { maxLength } = model.config;
  let stream: InPlaceStream | undefined;
  // Of a base of few bits all is constant but the adapters; where its one adapter is too, layers can be joined.
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

/** Keys or values of an attention: an input of one run, an output of the one before. */
interface CacheTensor {
  input: string;
  output: string;
  heads: number;
  size: number;
}

interface CacheLayout {
  caches: readonly CacheTensor[];
  /** Of the text that an encoder has read. */
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

/** Keys or values of no tokens yet. */
const emptyCaches = (caches: readonly CacheTensor[], texts: number): Inputs =>
  Object.fromEntries(caches.map(({ input, heads, size }) => [input, float32([texts, heads, 0, size])]));

/** The outputs that are inputs of the next run. */
const taken = (caches: readonly CacheTensor[], results: Record<string, KeptTensor>): Inputs =>
  Object.fromEntries(caches.map(({ input, output }) => [input, results[output]!]));

const valuesOf = (tensor: Tensor | KeptTensor): Tensor<"float32"> =>
  asFloat32(tensor instanceof KeptTensor ? tensor.read() : tensor);

function release(inputs: Inputs): void {
  for (const tensor of Object.values(inputs)) if (tensor instanceof KeptTensor) tensor.release();
}

/** What a decoder sees of the texts that an encoder has read, text for text. */
class SourceTexts {
  /** Which of the texts that were read stands beside each text. */
  #sources: readonly number[];
  #mask: Tensor<"int64">;
  #cache: Inputs;

  private constructor(mask: Tensor<"int64">, cache: Inputs) {
    const [texts] = mask.shape as [number, number];
    this.#mask = mask;
    this.#cache = cache;
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
    return { encoder_attention_mask: this.#mask, ...this.#cache };
  }

  keep(texts: readonly number[]): void {
    const sources = texts.map((text) => this.#sources[text]!);
    // Beams of one text have one source: mostly nothing moves.
    if (sources.join() === this.#sources.join()) return;
    const positions = this.#mask.shape[1]!;
    const mask = new BigInt64Array(texts.length * positions);
    texts.forEach((text, i) => {
      mask.set(this.#mask.data.subarray(text * positions, (text + 1) * positions), i * positions);
    });
    const cache = Object.entries(this.#cache).map(([name, tensor]) => [name, rowsOf(valuesOf(tensor), texts, 0)]);
    release(this.#cache);
    this.#cache = Object.fromEntries(cache);
    this.#mask = { ...this.#mask, shape: [texts.length, positions], data: mask };
    this.#sources = sources;
  }

  release(): void {
    release(this.#cache);
  }
}

class CachedReader implements TextReader {
  readonly #graph: CompiledGraph;
  readonly #layout: CacheLayout;
  readonly #adapter: Tensors | undefined;
  readonly #readSources: (() => Promise<SourceTexts>) | undefined;
  #sources: SourceTexts | undefined;
  /** Of each text, which positions hold a token; texts stand at the right. */
  #mask: boolean[][] | undefined;
  /** `[texts, heads, positions, size]` by name of input. */
  #cache: Inputs = {};

  constructor(
    graph: CompiledGraph,
    layout: CacheLayout,
    adapter: Tensors | undefined,
    readSources?: () => Promise<SourceTexts>,
  ) {
    this.#graph = graph;
    this.#layout = layout;
    this.#adapter = adapter;
    this.#readSources = readSources;
  }

  async read(more: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const { caches, maxLength } = this.#layout;
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
    const results = await this.#graph.runAndKeep(
      {
        input_ids: int64([count, sequence], ids),
        attention_mask: int64([count, mask[0]!.length], mask.flat().map(Number)),
        ...this.#cache,
        ...this.#sources?.inputs,
      },
      this.#adapter,
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
    // Positions before the first token of the longest text that is left hold nothing any more.
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

/** Some texts' rows of `[texts, heads, positions, size]`, without the first `unused` positions. */
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
