import { countFlops, totalFlops } from "../graph/flops.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import { BORDER } from "../models/forward-context.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import type { EncodedExample } from "../tasks/task-kind.ts";
import { HiddenStateCache, type HiddenStateCacheOptions } from "./hidden-state-cache.ts";
import { layOut } from "./model-inputs.ts";
import { type PackedFormat, packedSize, packRows, unpackRows } from "./packed-rows.ts";
import { type AdaptedModel, type ModelGraph, writeBlock } from "./step-graph.ts";

export interface BorderStatesOptions extends HiddenStateCacheOptions {
  format: PackedFormat;
  /** Most tokens of one run. */
  tokenBudget: number;
}

/**
 * Hidden states of examples after the settled blocks, `[tokens, hidden]`, computed when they are first asked for and kept.
 *
 * They are a function of the example and of the settled blocks alone, to the bit, so that neither the cut into micro-batches nor
 * resuming nor what is kept changes a run: texts of one length, if of more than a token, go through the blocks together, so that nothing is
 * padded; each block is a graph of its own, wherever one begins; and what a block gives is rounded as it would be kept.
 */
export class BorderStates {
  readonly #model: AdaptedModel;
  readonly #weights: Tensors;
  readonly #runtime: Runtime;
  readonly #options: BorderStatesOptions;
  readonly #cache: HiddenStateCache;
  readonly #blocks: CompiledBlock[] = [];
  readonly #width: number;
  /** Of the batch at hand. */
  readonly #now = new Map<EncodedExample, Float32Array>();
  #largest = { memory: 0, file: 0 };

  /** @param weights the model's and the method's, of which those of settled blocks do not change */
  constructor(model: AdaptedModel, weights: Tensors, runtime: Runtime, options: BorderStatesOptions) {
    this.#model = model;
    this.#weights = weights;
    this.#runtime = runtime;
    this.#options = options;
    this.#cache = new HiddenStateCache(options);
    this.#width = model.config.hiddenSize;
  }

  /** Most bytes that were kept, in memory and in the file. */
  get largest(): { memory: number; file: number } {
    return this.#largest;
  }

  /** What the user should know: that the disk is full. */
  get note(): string | undefined {
    const { failure } = this.#cache;
    return failure === undefined
      ? undefined
      : `hidden states of settled blocks could not be kept in the run's folder (${failure}): where memory had no room, they were computed again at each step`;
  }

  /**
   * Reads or computes the states of a batch, which {@link rows} then gives.
   * @param border number of settled blocks
   * @returns floating-point operations done
   */
  async prepare(texts: readonly EncodedExample[], border: number, signal?: AbortSignal): Promise<number> {
    while (this.#blocks.length < border) this.#blocks.push(await this.#compile(this.#blocks.length));
    this.#now.clear();
    const missing = new Map<string, Missing>();
    for (const text of texts) {
      const { length } = text.encoding.inputIds;
      const kept = await this.#cache.get(text.index, packedSize(length, this.#width, this.#options.format));
      const rows = kept && unpackRows(kept.bytes, this.#width, this.#options.format);
      if (kept?.border === border) {
        this.#now.set(text, rows!);
        continue;
      }
      const from = kept?.border ?? 0;
      const alike = missing.get(`${length} ${from}`) ?? { length, from, texts: [], rows: [] };
      alike.texts.push(text);
      if (rows) alike.rows.push(rows);
      missing.set(`${length} ${from}`, alike);
    }
    let flops = 0;
    for (const alike of missing.values()) {
      // A product of one row is summed in another order than one of several.
      const atOnce = alike.length === 1 ? 1 : Math.max(1, Math.floor(this.#options.tokenBudget / alike.length));
      for (let start = 0; start < alike.texts.length; start += atOnce) {
        signal?.throwIfAborted();
        const part = (of: Float32Array[]) => of.slice(start, start + atOnce);
        flops += await this.#compute(alike.texts.slice(start, start + atOnce), alike.from, part(alike.rows), border);
      }
    }
    this.#largest = {
      memory: Math.max(this.#largest.memory, this.#cache.bytes),
      file: Math.max(this.#largest.file, this.#cache.fileBytes),
    };
    return flops;
  }

  /** The input that holds the states of a part of the batch, example after example. */
  rows(texts: readonly EncodedExample[]): Record<typeof BORDER, Tensor<"float32">> {
    return { [BORDER]: this.#joined(texts.map((text) => this.#now.get(text)!)) };
  }

  async release(): Promise<void> {
    this.#now.clear();
    for (const { compiled } of this.#blocks) await compiled.release();
    await this.#cache.release();
  }

  /** @param texts of one length @param rows their states at border `from`; none where that is 0 */
  async #compute(texts: EncodedExample[], from: number, rows: Float32Array[], border: number): Promise<number> {
    const { format } = this.#options;
    let packed: Uint8Array<ArrayBuffer>[] = [];
    let flops = 0;
    for (let block = from; block < border; block++) {
      const { graph, compiled, flopsOf } = this.#blocks[block]!;
      const { inputs, sizes } = layOut(graph.streams, texts);
      const { hidden } = await compiled.run({ ...inputs, ...(block > 0 && { [BORDER]: this.#joined(rows) }) });
      const all = asFloat32(hidden!).data;
      const each = all.length / texts.length;
      packed = texts.map((_, i) => packRows(all.subarray(i * each, (i + 1) * each), this.#width, format));
      rows = packed.map((bytes) => unpackRows(bytes, this.#width, format));
      flops += totalFlops(flopsOf(sizes));
    }
    for (const [i, text] of texts.entries()) {
      this.#now.set(text, rows[i]!);
      await this.#cache.put(text.index, { border, bytes: packed[i]! });
    }
    return flops;
  }

  #joined(rows: readonly Float32Array[]): Tensor<"float32"> {
    const length = rows.reduce((sum, each) => sum + each.length, 0);
    const joined = float32([length / this.#width, this.#width]);
    let end = 0;
    for (const each of rows) {
      joined.data.set(each, end);
      end += each.length;
    }
    return joined;
  }

  async #compile(block: number): Promise<CompiledBlock> {
    const graph = writeBlock(this.#model, block);
    const compiled = await this.#runtime.compile(graph.outputs, this.#weights);
    return { graph, compiled, flopsOf: countFlops(Object.values(graph.outputs)) };
  }
}

/** Texts of one length that are at one border. */
interface Missing {
  length: number;
  from: number;
  texts: EncodedExample[];
  rows: Float32Array[];
}

interface CompiledBlock {
  graph: ModelGraph;
  compiled: CompiledGraph;
  flopsOf: ReturnType<typeof countFlops>;
}
