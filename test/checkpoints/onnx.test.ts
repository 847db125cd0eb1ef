import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EncoderArchitecture } from "../../src/architectures/architecture.ts";
import { describeModel } from "../../src/architectures/families.ts";
import { ForwardContext } from "../../src/architectures/forward-context.ts";
import { UserError } from "../../src/errors.ts";
import { Graph } from "../../src/graph/graph.ts";
import { GRAPH } from "../../src/graph/onnx-schema.ts";
import { encodeMessage } from "../../src/graph/protobuf-message.ts";
import { runBudget } from "../../src/training/batches/micro-batches.ts";
import {
  bytesOf,
  config,
  describeBytes,
  int,
  int64Bytes,
  type Model,
  node,
  open,
  port,
  small,
  tensor,
  WIDTH,
} from "./onnx-model.ts";

describe("an ONNX file", () => {
  test("of an unknown family has its layers, with weights in Hugging Face's order", async () => {
    const source = await open(bytesOf(small()));
    const { config: own, architecture } = describeModel(config, source.network);
    expect([own.hiddenSize, own.maxLength, own.usesTokenTypes, architecture.kind]).toEqual([4, 8, false, "encoder"]);
    expect(runBudget({ architecture, labelCount: 2 }, 512).padsRows).toBe(true);
    expect([...source.tensors.keys()]).toEqual(["table", "matrix.weight"]);
    const { data } = await source.read("matrix.weight");
    expect([...data].slice(0, WIDTH)).toEqual([0, 4, 8, 12]);
  });

  test("of a token classifier has the hidden states before the labels", async () => {
    const model = small();
    model.node = [
      node("Gather", ["table", "input_ids"], ["words"]),
      node("MatMul", ["words", "matrix"], ["query"]),
      node("Transpose", ["query"], ["key"], [{ name: "perm", ints: [0, 2, 1], type: 7 }]),
      node("MatMul", ["query", "key"], ["scores"]),
      node("Softmax", ["scores"], ["probabilities"], [{ name: "axis", i: -1, type: 2 }]),
      node("MatMul", ["probabilities", "words"], ["mixed"]),
      node("MatMul", ["mixed", "other"], ["hidden"]),
      node("MatMul", ["hidden", "labels"], ["logits"]),
    ];
    model.initializer.push(
      tensor("other", [WIDTH, WIDTH], new Array(16).fill(1)),
      tensor("labels", [WIDTH, 2], new Array(8).fill(1)),
    );
    model.output = [port("logits")];
    const { config: own } = await describeBytes(bytesOf(model));
    expect([own.hiddenSize, own.layerCount]).toEqual([WIDTH, 1]);
  });

  test("can have external data", async () => {
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

/** A branch within a node. */
const branch = (made: object[], output: string): Uint8Array =>
  encodeMessage(GRAPH, { node: made, output: [port(output)] });
const choose = (condition: string, output: string, then: Uint8Array, otherwise: Uint8Array): object =>
  node(
    "If",
    [condition],
    [output],
    [
      { name: "then_branch", g: then, type: 5 },
      { name: "else_branch", g: otherwise, type: 5 },
    ],
  );
const same = branch([node("Identity", ["words"], ["same"])], "same");

/** Nested `If` nodes. */
function nested(depth: number): object {
  let deepest = same;
  for (let i = 0; i < depth; i++) deepest = branch([choose("yes", "same", deepest, new Uint8Array(0))], "same");
  return choose("yes", "last_hidden_state", deepest, same);
}

/** Weights and biases of a recurrence as wide as the token embeddings. */
const recurrence: Change = (model) => {
  for (const name of ["weight", "recurrent"])
    model.initializer.push(tensor(name, [1, 4 * WIDTH, WIDTH], new Array(4 * WIDTH * WIDTH).fill(0.1)));
  model.initializer.push(tensor("word_embeddings", [3, WIDTH], new Array(3 * WIDTH).fill(0.5)));
};
const lstm = (x: string): object[] => [
  node("LSTM", [x, "weight", "recurrent"], ["each"]),
  node("Squeeze", ["each"], ["last_hidden_state"], [{ name: "axes", ints: [1], type: 7 }]),
];

const hostile: [what: string, change: Change, says: RegExp][] = [
  ["no nodes", nodes(), /an output reads "last_hidden_state", which no earlier node computes/],
  [
    "an unknown operator",
    nodes(lookUp, node("Spin", ["words"], ["last_hidden_state"])),
    /"last_hidden_state" \(Spin\) cannot be trained on: aflora does not support this operator/,
  ],
  [
    "a loop, which could take any number of turns",
    nodes(lookUp, node("Loop", ["three", "yes", "words"], ["last_hidden_state"], [{ name: "body", g: same, type: 5 }])),
    /\(Loop\) cannot be trained on: aflora does not support this operator/,
  ],
  [
    "an operator with the name of an object's property",
    nodes(node("constructor", ["input_ids"], ["last_hidden_state"])),
    /\(constructor\) cannot be trained on/,
  ],
  [
    "a cycle",
    nodes(node("Add", ["a", "a"], ["last_hidden_state"]), node("Neg", ["last_hidden_state"], ["a"])),
    /reads "a", which no earlier node computes/,
  ],
  ["a missing input", nodes(lookUp, node("MatMul", ["words"], ["last_hidden_state"])), /its input 1 is missing/],
  [
    "incompatible shapes",
    nodes(lookUp, node("Add", ["words", "three"], ["last_hidden_state"])),
    /the shapes do not broadcast/,
  ],
  [
    "a look-up by floats",
    nodes(node("Gather", ["table", "table"], ["last_hidden_state"])),
    /the indices must be integers/,
  ],
  [
    "an axis that does not exist",
    nodes(lookUp, node("Concat", ["words"], ["last_hidden_state"], [{ name: "axis", i: 9, type: 2 }])),
    /there is no axis 9 of 3/,
  ],
  [
    "a huge shape to fill",
    nodes(node("ConstantOfShape", ["huge"], ["last_hidden_state"])),
    /\(ConstantOfShape\) .* is larger than/,
  ],
  [
    "an unknown operator before its own head",
    (model) => {
      model.node = [lookUp, node("MatMul", ["words", "matrix"], ["y"]), node("Spin", ["y"], ["logits"])];
      model.output = [port("logits")];
    },
    /"logits" \(Spin\) cannot be trained on/,
  ],
  [
    "an operator without a gradient",
    nodes(lookUp, node("MatMul", ["words", "matrix"], ["y"]), node("Floor", ["y"], ["last_hidden_state"])),
    /\(Floor\) cannot be trained on: no gradient flows through it/,
  ],
  [
    "a hundred thousand attributes in a node",
    (model) => {
      const attribute = new Array<object>(2 ** 17).fill({});
      model.node = [lookUp, node("MatMul", ["words", "matrix"], ["last_hidden_state"], attribute)];
    },
    /node 1 cannot be read: field 5 has more than 10000 values/,
  ],
  ["branches nested 10,000 deep", nodes(lookUp, nested(10_000)), /its nodes hold graphs nested more than 32 deep/],
  [
    "a branch that reads an unknown value",
    nodes(lookUp, choose("yes", "last_hidden_state", same, branch([node("Neg", ["nobody's"], ["y"])], "y"))),
    /node "y" reads "nobody's", which no earlier node computes/,
  ],
  [
    "a branch that reads another branch's value",
    nodes(lookUp, choose("yes", "last_hidden_state", same, branch([node("Neg", ["same"], ["y"])], "y"))),
    /node "y" reads "same", which no earlier node computes/,
  ],
  [
    "a damaged branch",
    nodes(lookUp, choose("yes", "last_hidden_state", same, Uint8Array.of(10, 100, 1))),
    /not an ONNX file, or is damaged: the field at byte 0 has 100 bytes/,
  ],
  [
    "a condition that is computed from the input",
    nodes(
      lookUp,
      node("Cast", ["input_ids"], ["asks"], [int("to", 9)]),
      choose("asks", "last_hidden_state", same, same),
    ),
    /\(If\) cannot be trained on: its condition is computed as the graph runs/,
  ],
  [
    "a branch without outputs",
    nodes(lookUp, choose("yes", "last_hidden_state", new Uint8Array(0), same)),
    /\(If\) cannot be trained on: its branch has 0 outputs, and it has 1/,
  ],
  [
    "a layer before a recurrence",
    (model) => {
      recurrence(model);
      model.node = [lookUp, node("MatMul", ["words", "matrix"], ["y"]), ...lstm("y")];
    },
    /\(LSTM\) cannot be trained on: no gradient flows through it/,
  ],
  ["an unknown input", nodes(node("Gather", ["table", "images"], ["last_hidden_state"])), /and not "images"/],
  [
    "a text from another encoder",
    (model) => {
      model.input.push(port("encoder_hidden_states"));
    },
    /is the decoder of an encoder-decoder, which aflora does not train from ONNX files; take the model's safetensors/,
  ],
  [
    "a state that is passed from step to step",
    nodes(node("Gather", ["table", "images"], ["x"]), node("LSTM", ["x", "matrix", "matrix"], ["last_hidden_state"])),
    /reads input_ids, images and has the node "last_hidden_state" \(LSTM\); aflora trains encoders/,
  ],
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
  [
    "a size below 0",
    (model) => (model.initializer[0] = tensor("table", [-1, 4], [1])),
    /not an ONNX file, or is damaged/,
  ],
  [
    "too many axes",
    (model) => (model.initializer[0] = tensor("table", new Array(9).fill(1), [1])),
    /more than 8 sizes/,
  ],
  [
    "an unknown type",
    (model) => (model.initializer[0] = tensor("table", [3, 4], [1], { dataType: 8 })),
    /ONNX's type 8, which cannot be read/,
  ],
  [
    "weights outside of the folder",
    external("../secret"),
    /is in "..\/secret", outside of the model's folder; refused/,
  ],
  ["weights at an absolute path", external("/etc/passwd"), /outside of the model's folder; refused/],
  ["weights in a missing file", external("other"), /stores tensor "matrix" in other, which does not exist/],
  [
    "weights past a file's end",
    external("model.onnx_data", [{ key: "offset", value: "1e9" }]),
    /from byte 1000000000 on in model.onnx_data, which has 4/,
  ],
  [
    "an offset that is not a number",
    external("model.onnx_data", [{ key: "offset", value: "x" }]),
    /get both files again/,
  ],
];

test.each([
  [
    "doubles a tensor forty times",
    "Concat",
    /\(Concat\) .* its result \[\d+\] is larger than a model of this file's size needs/,
  ],
  [
    "fills a tensor of 40,000 million",
    "ConstantOfShape",
    /\(ConstantOfShape\) .* its result \[200000, 200000\] is larger/,
  ],
])("a small file that %s is refused before memory is taken", async (_what, op, says) => {
  const model = small();
  model.initializer.push({ ...tensor("sizes", [2], []), dataType: 7, rawData: int64Bytes(200_000, 200_000) });
  const axis = [{ name: "axis", type: 2, i: 0 }];
  const bomb =
    op === "Concat"
      ? Array.from({ length: 40 }, (_, i) => {
          const before = i === 0 ? "sizes" : `twice${i - 1}`;
          return node("Concat", [before, before], [i === 39 ? "bomb" : `twice${i}`], axis);
        })
      : [node("ConstantOfShape", ["sizes"], ["bomb"])];
  const cast = node("Cast", ["bomb"], ["more"], [{ name: "to", type: 2, i: 1 }]);
  model.node = [lookUp, ...bomb, cast, node("Add", ["words", "more"], ["last_hidden_state"])];
  const { network } = await open(bytesOf(model));
  expect(() => describeModel(config, network)).toThrow(UserError);
  expect(() => describeModel(config, network)).toThrow(says);
});

test("selects the branch of a known condition", async () => {
  const model = small();
  model.initializer.push(tensor("yes", [], [], { dataType: 9, rawData: Uint8Array.of(1) }));
  const product = branch([node("MatMul", ["words", "matrix"], ["same"])], "same");
  model.node = [lookUp, choose("yes", "last_hidden_state", product, same)];
  const { network, tensors } = await open(bytesOf(model));
  expect([...tensors.keys()]).toEqual(["table", "matrix"]);
  const { config: own } = describeModel(config, network);
  expect(own.hiddenSize).toBe(WIDTH);
});

test("layers before a recurrence cannot train, but can be frozen", async () => {
  const model = small();
  recurrence(model);
  model.node = [node("Gather", ["word_embeddings", "input_ids"], ["words"]), ...lstm("words")];
  const { config: own, architecture } = describeModel(config, (await open(bytesOf(model))).network);
  const encode = (trains: boolean) => {
    const context = new ForwardContext(new Graph(), { trains: () => trains, dropout: false });
    return (architecture as EncoderArchitecture).encode(context, own, context.tokens());
  };
  expect(encode(false).shape).toEqual(["tokens", WIDTH]);
  expect(() => encode(true)).toThrow(UserError);
  expect(() => encode(true)).toThrow(/\(LSTM\) cannot be trained on: no gradient flows through it/);
});

describe("is rejected in one sentence if it has", () => {
  test.each(hostile)("%s", async (_what, change, says) => {
    const model = small();
    model.input.push(port("images"));
    const yes = tensor("yes", [], [], { dataType: 9, rawData: Uint8Array.of(1) });
    model.initializer.push(yes, tensor("three", [3], [1, 2, 3]), {
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

  test("an unknown operator set, or no graph", async () => {
    await expect(open(bytesOf(small(), 99))).rejects.toThrow(/ONNX's operator set 99/);
    await expect(open(new Uint8Array(0))).rejects.toThrow(/it has no graph/);
    await expect(open(new TextEncoder().encode("version https://git-lfs"))).rejects.toThrow(
      /not an ONNX file, or is damaged/,
    );
  });

  test("been truncated or changed anywhere: it is rejected or read", async () => {
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
