import { UserError } from "../errors.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import { CachedStream } from "../models/cached-stream.ts";
import { type CompiledGraph, KeptTensor, type Runtime } from "../runtime/session.ts";
import { type AdaptedModel, writeInference } from "../training/step-graph.ts";
import type { TextReader } from "./text-reader.ts";

/** An adapted language model compiled to read texts on from where it is in them: its keys and values stay with ONNX Runtime. */
export class CachedDecoder {
  readonly #graph: CompiledGraph;
  readonly #layout: CacheLayout;

  private constructor(graph: CompiledGraph, layout: CacheLayout) {
    this.#graph = graph;
    this.#layout = layout;
  }

  /** @throws UserError where the model has no `languageModel` head. */
  static async compile(model: AdaptedModel, weights: Tensors, runtime: Runtime): Promise<CachedDecoder> {
    const { maxLength } = model.config;
    let stream: CachedStream | undefined;
    const { outputs } = writeInference(
      { ...model, head: "languageModel" },
      { stream: (graph) => (stream ??= new CachedStream(graph, maxLength)) },
    );
    const { past, present, tables } = stream!;
    const graph = await runtime.compile({ ...outputs, ...present }, new Map([...weights, ...tables]));
    const presents = Object.keys(present);
    const caches = Object.entries(past).map(([input, { shape }], i) => {
      const [, heads, , size] = shape as [unknown, number, unknown, number];
      return { input, output: presents[i]!, heads, size };
    });
    return new CachedDecoder(graph, { caches, maxLength });
  }

  /**
   * A reader that has read nothing yet; several may read in turn.
   * @param adapter tensors of the method and the head to read with, in place of those compiled with
   */
  reader(adapter?: Tensors): TextReader {
    return new CachedReader(this.#graph, this.#layout, adapter);
  }

  /** Frees the graph; its readers can read no more. */
  release(): Promise<void> {
    return this.#graph.release();
  }
}

interface CacheLayout {
  caches: readonly { input: string; output: string; heads: number; size: number }[];
  maxLength: number;
}

class CachedReader implements TextReader {
  readonly #graph: CompiledGraph;
  readonly #layout: CacheLayout;
  readonly #adapter: Tensors | undefined;
  /** Of each text, which places hold a token; texts stand at the right. */
  #mask: boolean[][] | undefined;
  /** `[texts, heads, places, size]` by name of input. */
  #cache: Record<string, Tensor | KeptTensor> = {};

  constructor(graph: CompiledGraph, layout: CacheLayout, adapter: Tensors | undefined) {
    this.#graph = graph;
    this.#layout = layout;
    this.#adapter = adapter;
  }

  async read(more: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const { caches, maxLength } = this.#layout;
    const count = more.length;
    if (!this.#mask) {
      this.#mask = more.map(() => []);
      this.#cache = Object.fromEntries(
        caches.map(({ input, heads, size }) => [input, float32([count, heads, 0, size])]),
      );
    }
    if (this.#mask.length !== count) throw new Error(`${this.#mask.length} texts are read, not ${count}`);
    const sequence = Math.max(...more.map(({ length }) => length));
    const mask = this.#mask.map((places, i) => [
      ...places,
      ...Array.from({ length: sequence }, (_, place) => place >= sequence - more[i]!.length),
    ]);
    const longest = Math.max(...mask.map((places) => places.filter(Boolean).length));
    if (longest > maxLength) {
      throw new UserError(`a text of ${longest} tokens is longer than the ${maxLength} that the model reads`);
    }
    const ids = more.flatMap((text) => [...Array<number>(sequence - text.length).fill(0), ...text]);
    const results = await this.#graph.runAndKeep(
      {
        input_ids: int64([count, sequence], ids),
        attention_mask: int64([count, mask[0]!.length], mask.flat().map(Number)),
        ...this.#cache,
      },
      this.#adapter,
    );
    this.#forget();
    this.#mask = mask;
    this.#cache = Object.fromEntries(caches.map(({ input, output }) => [input, results[output]!]));
    const { data } = asFloat32(results.logits!.read());
    const width = data.length / count;
    const logits = more.map((_, i) => data.slice(i * width, (i + 1) * width));
    results.logits!.release();
    return logits;
  }

  keep(texts: readonly number[]): void {
    const mask = texts.map((text) => this.#mask![text]!);
    // Places before the first token of the longest text that is left hold nothing any more.
    const unused = Math.min(...mask.map((places) => places.indexOf(true)));
    const cache = Object.entries(this.#cache).map(([name, tensor]) => {
      return [name, rowsOf(asFloat32(tensor instanceof KeptTensor ? tensor.read() : tensor), texts, unused)] as const;
    });
    this.#forget();
    this.#mask = mask.map((places) => places.slice(unused));
    this.#cache = Object.fromEntries(cache);
  }

  release(): void {
    this.#forget();
    this.#mask = undefined;
  }

  #forget(): void {
    for (const tensor of Object.values(this.#cache)) if (tensor instanceof KeptTensor) tensor.release();
    this.#cache = {};
  }
}

/** Some texts' rows of `[texts, heads, places, size]`, without the first `unused` places. */
function rowsOf({ shape, data }: Tensor<"float32">, texts: readonly number[], unused: number): Tensor<"float32"> {
  const [, heads, places, size] = shape as [number, number, number, number];
  const kept = (places - unused) * size;
  const rows = float32([texts.length, heads, places - unused, size]);
  texts.forEach((text, i) => {
    for (let head = 0; head < heads; head++) {
      const start = ((text * heads + head) * places + unused) * size;
      rows.data.set(data.subarray(start, start + kept), (i * heads + head) * kept);
    }
  });
  return rows;
}

const int64 = (shape: readonly number[], values: readonly number[]): Tensor<"int64"> => ({
  dtype: "int64",
  shape,
  data: BigInt64Array.from(values, BigInt),
});
