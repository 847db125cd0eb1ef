import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/checkpoints/byte-source.ts";
import { memoryFiles } from "../../src/checkpoints/model-files.ts";
import { openOnnx } from "../../src/checkpoints/onnx/onnx-format.ts";
import { UserError } from "../../src/errors.ts";
import { MODEL } from "../../src/graph/onnx-schema.ts";
import { encodeMessage } from "../../src/graph/protobuf-message.ts";
import { describeModel } from "../../src/models/families.ts";

const WIDTH = 4;
const config = { model_type: "made-up", vocab_size: 3, max_position_embeddings: 8 };

interface Model {
  node: object[];
  initializer: object[];
  input: object[];
  output: object[];
}

const tensor = (name: string, dims: number[], values: readonly number[], more: object = {}): object => ({
  name,
  dims,
  dataType: 1,
  rawData: new Uint8Array(Float32Array.from(values).buffer),
  ...more,
});
const node = (opType: string, input: string[], output: string[], attribute: object[] = []): object => ({
  name: output[0],
  opType,
  input,
  output,
  attribute,
});
const port = (name: string): object => ({ name, type: { tensorType: { elemType: 7 } } });

/** Looks words up and multiplies them with a matrix. */
const small = (): Model => ({
  node: [node("Gather", ["table", "input_ids"], ["words"]), node("MatMul", ["words", "matrix"], ["last_hidden_state"])],
  initializer: [
    tensor("table", [3, WIDTH], new Array(3 * WIDTH).fill(0.5)),
    tensor(
      "matrix",
      [WIDTH, WIDTH],
      Array.from({ length: WIDTH * WIDTH }, (_, i) => i),
    ),
  ],
  input: [port("input_ids")],
  output: [port("last_hidden_state")],
});

const bytesOf = (graph: object, version = 17): Uint8Array =>
  new Uint8Array(encodeMessage(MODEL, { irVersion: 8, graph: { name: "g", ...graph }, opsetImport: [{ version }] }));
const open = (bytes: Uint8Array, beside: Record<string, Uint8Array> = {}) =>
  openOnnx(bytesSource("made/model.onnx", bytes), memoryFiles("made", beside), "");
async function describeBytes(bytes: Uint8Array, beside?: Record<string, Uint8Array>) {
  return describeModel(config, (await open(bytes, beside)).network);
}

describe("an ONNX file", () => {
  test("of a family that is unknown has its layers, in Hugging Face's order of a weight", async () => {
    const source = await open(bytesOf(small()));
    const { config: own, architecture } = describeModel(config, source.network);
    expect([own.hiddenSize, own.maxLength, own.usesTokenTypes, architecture.kind]).toEqual([4, 8, false, "encoder"]);
    expect([...source.tensors.keys()]).toEqual(["table", "matrix.weight"]);
    const { data } = await source.read("matrix.weight");
    expect([...data].slice(0, WIDTH)).toEqual([0, 4, 8, 12]);
  });

  test("may have its weights in a file beside it", async () => {
    const model = small();
    const external = [
      { key: "location", value: "model.onnx_data" },
      { key: "offset", value: "4" },
    ];
    model.initializer[1] = tensor("matrix", [1, 2], [], {
      rawData: undefined,
      externalData: external,
      dataLocation: 1,
    });
    model.node[0] = node("Gather", ["table", "input_ids"], ["words"]);
    const beside = { "model.onnx_data": new Uint8Array(Float32Array.of(1, 2, 3).buffer) };
    const source = await open(bytesOf(model), beside);
    expect([...(await source.read("matrix.weight")).data]).toEqual([2, 3]);
  });
});

type Change = (model: Model) => void;
const nodes =
  (...made: object[]): Change =>
  (model) => {
    model.node = made;
  };
const external = (location: string, more: object[] = []): Change => {
  return (model) => {
    const externalData = [{ key: "location", value: location }, ...more];
    model.initializer[1] = tensor("matrix", [4, 4], [], { rawData: undefined, externalData, dataLocation: 1 });
  };
};
const lookUp = node("Gather", ["table", "input_ids"], ["words"]);

const hostile: [what: string, change: Change, says: RegExp][] = [
  ["no nodes", nodes(), /an output reads "last_hidden_state", which no node before it makes/],
  [
    "an operator that is not known",
    nodes(lookUp, node("Spin", ["words"], ["last_hidden_state"])),
    /"last_hidden_state" \(Spin\) cannot be trained on: aflora does not know this operator/,
  ],
  [
    "an operator called like a property of every object",
    nodes(node("constructor", ["input_ids"], ["last_hidden_state"])),
    /\(constructor\) cannot be trained on/,
  ],
  [
    "a circle",
    nodes(node("Add", ["a", "a"], ["last_hidden_state"]), node("Neg", ["last_hidden_state"], ["a"])),
    /reads "a", which no node before it makes/,
  ],
  [
    "an input that is missing",
    nodes(lookUp, node("MatMul", ["words"], ["last_hidden_state"])),
    /its input 1 is missing/,
  ],
  [
    "shapes that do not fit",
    nodes(lookUp, node("Add", ["words", "three"], ["last_hidden_state"])),
    /the shapes do not broadcast/,
  ],
  [
    "a look-up of real numbers",
    nodes(node("Gather", ["table", "table"], ["last_hidden_state"])),
    /the indices must be integers/,
  ],
  [
    "an axis that is not there",
    nodes(lookUp, node("Concat", ["words"], ["last_hidden_state"], [{ name: "axis", i: 9, type: 2 }])),
    /there is no axis 9 of 3/,
  ],
  [
    "a huge shape to be filled",
    nodes(node("ConstantOfShape", ["huge"], ["last_hidden_state"])),
    /gives no hidden states/,
  ],
  [
    "no gradient on the way",
    nodes(lookUp, node("MatMul", ["words", "matrix"], ["y"]), node("Floor", ["y"], ["last_hidden_state"])),
    /\(Floor\) cannot be trained on: no gradient flows through it/,
  ],
  ["an input that is unknown", nodes(node("Gather", ["table", "images"], ["last_hidden_state"])), /and not "images"/],
  [
    "a vector as its output",
    nodes(node("Gather", ["three", "input_ids"], ["last_hidden_state"])),
    /gives no hidden states/,
  ],
  [
    "more numbers than bytes",
    (model) => (model.initializer[0] = tensor("table", [2 ** 20, 2 ** 20], [1])),
    /tensor "table" has 4 bytes and needs/,
  ],
  ["a size below 0", (model) => (model.initializer[0] = tensor("table", [-1, 4], [1])), /no ONNX file, or damaged/],
  [
    "too many axes",
    (model) => (model.initializer[0] = tensor("table", new Array(9).fill(1), [1])),
    /more than 8 sizes/,
  ],
  [
    "a type that is not known",
    (model) => (model.initializer[0] = tensor("table", [3, 4], [1], { dataType: 8 })),
    /ONNX's type 8, which cannot be read/,
  ],
  [
    "weights outside of the folder",
    external("../secret"),
    /stands in "..\/secret", outside of the model's folder; refused/,
  ],
  ["weights at an absolute path", external("/etc/passwd"), /outside of the model's folder; refused/],
  ["weights in a file that is not there", external("other"), /keeps tensor "matrix" in other, which is not beside it/],
  [
    "weights behind a file's end",
    external("model.onnx_data", [{ key: "offset", value: "1e9" }]),
    /from byte 1000000000 on in model.onnx_data, which has 4/,
  ],
  ["an offset that is no number", external("model.onnx_data", [{ key: "offset", value: "x" }]), /get both files again/],
];

describe("is refused in a sentence where it has", () => {
  test.each(hostile)("%s", async (_what, change, says) => {
    const model = small();
    model.input.push(port("images"));
    model.initializer.push(tensor("three", [3], [1, 2, 3]), {
      ...tensor("huge", [3], []),
      dataType: 7,
      rawData: new Uint8Array(BigInt64Array.of(2n ** 40n, 2n ** 40n, 2n ** 40n).buffer),
    });
    change(model);
    const bytes = bytesOf(model);
    const found = describeBytes(bytes, { "model.onnx_data": new Uint8Array(4) });
    await expect(found).rejects.toThrow(UserError);
    await expect(found).rejects.toThrow(says);
  });

  test("a set of operators that is not known, or no graph", async () => {
    await expect(open(bytesOf(small(), 99))).rejects.toThrow(/ONNX's operator set 99/);
    await expect(open(new Uint8Array(0))).rejects.toThrow(/it has no graph/);
    await expect(open(new TextEncoder().encode("version https://git-lfs"))).rejects.toThrow(/no ONNX file, or damaged/);
  });

  test("been cut or changed anywhere: it is refused, or read, and nothing else", async () => {
    const whole = new Uint8Array(readFileSync(new URL("../fixtures/onnx/bert-1.onnx", import.meta.url)));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), async (at, byte, cuts) => {
        const bytes = cuts ? whole.slice(0, at) : whole.slice();
        if (!cuts) bytes[at] = byte;
        const bert = JSON.parse(
          readFileSync(new URL("../fixtures/models/bert-1/config.json", import.meta.url), "utf8"),
        );
        try {
          describeModel(bert, (await open(bytes)).network);
        } catch (error) {
          expect(error, `byte ${at} is ${byte}`).toBeInstanceOf(UserError);
        }
      }),
      { numRuns: 60, seed: 1 },
    );
  });
});
