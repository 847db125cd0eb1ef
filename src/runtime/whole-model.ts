import type { InferenceSession, Tensor as OnnxTensor, TensorConstructor } from "onnxruntime-common";

export interface WholeModelInput {
  data: BigInt64Array<ArrayBuffer>;
  shape: readonly number[];
}

/** An ONNX file that ONNX Runtime runs without changes, such as other tools write. */
export class WholeModel {
  /** @internal */
  constructor(
    private readonly session: InferenceSession,
    private readonly Tensor: TensorConstructor,
  ) {}

  get inputNames(): readonly string[] {
    return this.session.inputNames;
  }

  get outputNames(): readonly string[] {
    return this.session.outputNames;
  }

  async run(inputs: Readonly<Record<string, WholeModelInput>>, output: string): Promise<Float32Array> {
    const feeds: Record<string, OnnxTensor> = {};
    for (const [name, { data, shape }] of Object.entries(inputs)) feeds[name] = new this.Tensor("int64", data, shape);
    const results = await this.session.run(feeds, [output]);
    return results[output]!.data as Float32Array;
  }

  /** Frees the session. The process must not exit earlier. */
  async release(): Promise<void> {
    await this.session.release();
  }
}
