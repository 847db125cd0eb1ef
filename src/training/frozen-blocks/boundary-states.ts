import { countFlops, totalFlops } from "../../graph/flops.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../../graph/tensor.ts";
import { BOUNDARY } from "../../models/forward-context.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { EncodedExample } from "../../tasks/task-kind.ts";
import { layOut } from "../batches/model-inputs.ts";
import { type AdaptedModel, type ModelGraph, writeBlock } from "../step-graph.ts";
import { HiddenStateCache, type HiddenStateCacheOptions } from "./hidden-state-cache.ts";
import { type PackedFormat, packedSize, packRows, unpackRows } from "./packed-rows.ts";

export interface BoundaryStatesOptions extends HiddenStateCacheOptions {
  format: PackedFormat;
  /** Most tokens of one run. */
  tokenBudget: number;
}

/**
 * Hidden states of examples after the frozen blocks, `[tokens, hidden]`, computed when they are first asked for and kept.
 *
 * They are a function of the example and of the frozen blocks alone, to the bit, so that neither the cut into micro-batches nor
 * resuming nor what is kept changes a run: texts of one length, if of more than a token, go through the blocks together, so that nothing is
 * padded; each block is a graph of its own, wherever one begins; and what a block gives is rounded as it would be kept.
 */
export class BoundaryStates {
  readonly #model: AdaptedModel;
  readonly #weights: Tensors;
  readonly #runtime: Runtime;
  readonly #options: BoundaryStatesOptions;
  readonly #cache: HiddenStateCache;
  readonly #blocks: CompiledBlock[] = [];
  readonly #width: number;
  /** Of the texts of the batch at hand, by their indices. */
  readonly #now = new Map<number, Float32Array>();
  #largest = { memory: 0, file: 0 };
  /** Whether all that was computed could be kept. */
  #keeps: boolean;

  /** @param weights the model's and the method's, of which those of frozen blocks do not change */
  constructor(model: AdaptedModel, weights: Tensors, runtime: Runtime, options: BoundaryStatesOptions) {
    this.#model = model;
    this.#weights = weights;
    this.#runtime = runtime;
    this.#options = options;
    this.#cache = new HiddenStateCache(options);
    this.#width = model.config.hiddenSize;
    this.#keeps = options.memory > 0 || options.openSpill !== undefined;
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
      : `hidden states of frozen blocks could not be kept in the run's folder (${failure}): where memory had no room, they were computed again at each step`;
  }

  /**
   * Reads or computes the states of a batch, which {@link rows} then gives.
   * @param boundary number of frozen blocks
   * @param ahead texts that come by next: where something must be computed, theirs are, too, as far as they can be kept, since few
   * texts of one length stand in one batch
   * @returns floating-point operations done
   */
  async prepare(
    texts: readonly EncodedExample[],
    boundary: number,
    { signal, ahead }: { signal?: AbortSignal | undefined; ahead?: (() => readonly EncodedExample[]) | undefined } = {},
  ): Promise<number> {
    while (this.#blocks.length < boundary) this.#blocks.push(await this.#compile(this.#blocks.length));
    this.#now.clear();
    const missing = new Map<string, Missing>();
    for (const text of texts) {
      const rows = await this.#find(text, boundary, missing);
      if (rows) this.#now.set(text.index, rows);
    }
    if (missing.size > 0 && this.#keeps) for (const text of ahead?.() ?? []) await this.#find(text, boundary, missing);

    const wanted = new Set(texts.map(({ index }) => index));
    let flops = 0;
    for (const { length, from, texts: alike, rows } of missing.values()) {
      // A product of one row is summed in another order than one of several.
      const atOnce = length === 1 ? 1 : Math.max(1, Math.floor(this.#options.tokenBudget / length));
      for (let start = 0; start < alike.length; start += atOnce) {
        signal?.throwIfAborted();
        const part = alike.slice(start, start + atOnce);
        const computed = await this.#compute(part, from, rows.slice(start, start + atOnce), boundary);
        flops += computed.flops;
        for (const [i, text] of part.entries()) {
          if (wanted.has(text.index)) this.#now.set(text.index, computed.rows[i]!);
        }
      }
    }
    this.#largest = {
      memory: Math.max(this.#largest.memory, this.#cache.bytes),
      file: Math.max(this.#largest.file, this.#cache.fileBytes),
    };
    return flops;
  }

  /** The input that holds the states of a part of the batch, example after example. */
  rows(texts: readonly EncodedExample[]): Record<typeof BOUNDARY, Tensor<"float32">> {
    return { [BOUNDARY]: this.#joined(texts.map((text) => this.#now.get(text.index)!)) };
  }

  /** Frees the blocks' graphs and drops what was kept, its file too. */
  async release(): Promise<void> {
    this.#now.clear();
    for (const { compiled } of this.#blocks) await compiled.release();
    await this.#cache.release();
  }

  /** What is kept of a text at the boundary; else it is added to what is missing. */
  async #find(
    text: EncodedExample,
    boundary: number,
    missing: Map<string, Missing>,
  ): Promise<Float32Array | undefined> {
    const { length } = text.encoding.inputIds;
    const kept = await this.#cache.get(text.index, packedSize(length, this.#width, this.#options.format));
    const rows = kept && unpackRows(kept.bytes, this.#width, this.#options.format);
    if (kept?.boundary === boundary) return rows;
    const from = kept?.boundary ?? 0;
    const alike = missing.get(`${length} ${from}`) ?? { length, from, texts: [], rows: [] };
    alike.texts.push(text);
    if (rows) alike.rows.push(rows);
    missing.set(`${length} ${from}`, alike);
    return undefined;
  }

  /** @param texts of one length @param rows their states at boundary `from`; none where that is 0 */
  async #compute(texts: readonly EncodedExample[], from: number, rows: Float32Array[], boundary: number) {
    const { format } = this.#options;
    let packed: Uint8Array<ArrayBuffer>[] = [];
    let flops = 0;
    // Every block's graph is of the whole model, and reads the same texts.
    const { inputs, sizes } = layOut(this.#blocks[from]!.graph.streams, texts);
    for (let block = from; block < boundary; block++) {
      const { compiled, flopsOf } = this.#blocks[block]!;
      const { hidden } = await compiled.run({ ...inputs, ...(block > 0 && { [BOUNDARY]: this.#joined(rows) }) });
      const all = asFloat32(hidden!).data;
      const each = all.length / texts.length;
      packed = texts.map((_, i) => packRows(all.subarray(i * each, (i + 1) * each), this.#width, format));
      rows = packed.map((bytes) => unpackRows(bytes, this.#width, format));
      flops += totalFlops(flopsOf(sizes));
    }
    for (const [i, { index }] of texts.entries()) {
      if (!(await this.#cache.put(index, { boundary, bytes: packed[i]! }))) this.#keeps = false;
    }
    return { rows, flops };
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

/** Texts of one length that are at one boundary. */
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
