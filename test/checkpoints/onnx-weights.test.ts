import { describe, expect, test } from "vitest";
import { TENSOR } from "../../src/graph/onnx-schema.ts";
import { encodeMessage, type ProtobufSchema } from "../../src/graph/protobuf-message.ts";
import { bytesOf, describeBytes, int, type Model, node, open, port, small, stored, tensor } from "./onnx-model.ts";

const weightOf = async (model: Model, name: string) => [...(await (await open(bytesOf(model))).read(name)).data];

/** A tensor whose halves are listed by their bits, as onnx.helper.make_tensor writes it. */
function listedHalves(dataType: number, dims: number[], bits: readonly number[]): object {
  const schema: ProtobufSchema = { ...TENSOR, int32Data: { repeated: true, type: "int32", id: 5 } };
  return { name: "value", type: 4, t: encodeMessage(schema, { dims, dataType, int32Data: bits }) };
}

test.each([
  ["float16", 10, [0x3c00, 0xc000, 0x3800, 0x7bff], [1, 0.5, -2, 65504]],
  ["bfloat16", 16, [0x3f80, 0xc000, 0x3f00, 0x7f00], [1, 0.5, -2, 2 ** 127]],
])("%s listed one by one is read by its bits", async (_name, dataType, bits, expected) => {
  const model = small();
  model.initializer = [tensor("table", [3, 2], new Array(6).fill(0.5))];
  const [matrix, one] = [listedHalves(dataType, [2, 2], bits), listedHalves(dataType, [], bits.slice(0, 1))];
  model.node.unshift(node("Constant", [], ["matrix"], [matrix]), node("Constant", [], ["one"], [one]));
  model.node.push(node("Add", ["last_hidden_state", "one"], ["more"]));
  model.output = [port("more")];
  // One row for each output, [out, in].
  expect(await weightOf(model, "matrix.weight")).toEqual(expected);
  expect((await open(bytesOf(model))).network!.tensors.get("one")!.values).toEqual([1]);
});

/** A file whose matrix goes through forty steps before its use. @param step the nodes of a step, from the names before it */
function inFortySteps(step: (name: string, before: string, earlier: string) => object[]): Model {
  const model = small();
  const names = ["matrix", ...Array.from({ length: 40 }, (_, i) => `step${i}`)];
  const steps = names.slice(1).flatMap((name, i) => step(name, names[i]!, names[Math.max(0, i - 1)]!));
  model.node.splice(1, 1, ...steps, node("MatMul", ["words", names.at(-1)!], ["last_hidden_state"]));
  return model;
}

describe("a weight that the graph computes in many steps", () => {
  test("is read once by a node that reads it twice", async () => {
    const model = inFortySteps((name, before) => [node("Add", [before, before], [name])]);
    expect((await weightOf(model, "step39.weight")).slice(0, 3)).toEqual([0, 2 ** 42, 2 ** 43]);
  });

  test.each([
    [
      "added to itself transposed",
      inFortySteps((name, before) => [
        node("Transpose", [before], [`${before}-turned`]),
        node("Add", [before, `${before}-turned`], [name]),
      ]),
    ],
    [
      "dequantised by the one before",
      inFortySteps((name, before, earlier) => [node("DequantizeLinear", [before, earlier], [name])]),
    ],
  ])("takes no time that doubles with each step: %s", async (_what, model) => {
    const source = await open(bytesOf(model));
    for (const name of source.tensors.keys()) await source.read(name);
  });

  test("stays in the graph, which bounds its size, if two vectors span it", async () => {
    const model = small();
    const side = 2 ** 16;
    model.node = [
      node("Gather", ["table", "input_ids"], ["words"]),
      node("Add", ["column", "row"], ["huge"]),
      node("MatMul", ["words", "huge"], ["last_hidden_state"]),
    ];
    const numbers = new Array<number>(side).fill(1);
    model.initializer[1] = tensor("column", [side, 1], numbers);
    model.initializer.push(tensor("row", [1, side], numbers));
    await expect(describeBytes(bytesOf(model))).rejects.toThrow(/its result \[65536, 65536\] is larger than a model/);
  });
});

describe("quantised weights are dequantised", () => {
  test("of dynamic quantisation, with rows that are no longer rounded", async () => {
    const model = small();
    model.node = [
      node("Gather", ["table_quantized", "input_ids"], ["rows"]),
      node("DequantizeLinear", ["rows", "step", "middle"], ["words"]),
      node("DynamicQuantizeLinear", ["words"], ["q", "s", "z"]),
      node("MatMulInteger", ["q", "matrix_quantized", "z", "zeros"], ["whole"]),
      node("Cast", ["whole"], ["real"], [int("to", 1)]),
      node("Mul", ["s", "scales"], ["both"]),
      node("Mul", ["real", "both"], ["last_hidden_state"]),
    ];
    model.initializer = [
      stored("table_quantized", [3, 2], [0, 1, 2, 3, 4, 5], false),
      tensor("step", [], [0.5]),
      stored("middle", [], [2], false),
      stored("matrix_quantized", [2, 2], [-3, 4, 5, -6], true),
      stored("zeros", [2], [1, 0], true),
      tensor("scales", [2], [0.25, 2]),
    ];
    expect(await weightOf(model, "table")).toEqual([-1, -0.5, 0, 0.5, 1, 1.5]);
    // One row for each output, [out, in].
    expect(await weightOf(model, "matrix.weight")).toEqual([-1, 1, 8, -12]);
    expect((await describeBytes(bytesOf(model))).config.hiddenSize).toBe(2);
  });

  test("in blocks of 4 bits, with and without zero points", async () => {
    const model = small();
    const attributes = [int("K", 32), int("N", 1), int("bits", 4), int("block_size", 16)];
    const product = (...inputs: string[]) => {
      const made = node("MatMulNBits", inputs, ["last_hidden_state"], attributes);
      return { ...made, domain: "com.microsoft" };
    };
    model.initializer = [
      tensor("table", [3, 32], new Array(96).fill(0)),
      stored("matrix_Q4", [1, 2, 8], [0x21, ...new Array(7).fill(0x88), 0xf0, ...new Array(7).fill(0x88)], false),
      tensor("scales", [1, 2], [0.5, 2]),
      stored("middles", [1, 1], [0x31], false),
    ];
    model.node[1] = product("words", "matrix_Q4", "scales");
    const even = await weightOf(model, "matrix.weight");
    expect([even[0], even[1], even[2], even[16], even[17]]).toEqual([-3.5, -3, 0, -16, 14]);
    model.node[1] = product("words", "matrix_Q4", "scales", "middles");
    const own = await weightOf(model, "matrix.weight");
    expect([own[0], own[1], own[2], own[16], own[17]]).toEqual([0, 0.5, 3.5, -6, 24]);
    model.node[1] = product("words", "matrix_Q4", "middles");
    await expect(open(bytesOf(model))).rejects.toThrow(
      /keeps a weight \[1, 32\] of 4 bits in a way that is not supported/,
    );
  });

  test("that the graph casts, scales, shifts and transposes", async () => {
    const model = small();
    model.node = [
      node("Gather", ["table", "input_ids"], ["words"]),
      node("Cast", ["bytes"], ["real"], [int("to", 1)]),
      node("Sub", ["real", "middle"], ["moved"]),
      node("Mul", ["moved", "scales"], ["scaled"]),
      node("Transpose", ["scaled"], ["m"]),
      node("MatMul", ["words", "m"], ["last_hidden_state"]),
    ];
    model.initializer[1] = stored("bytes", [3, 4], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], true);
    model.initializer.push(tensor("middle", [], [1]), tensor("scales", [3, 1], [1, 10, 100]));
    const source = await open(bytesOf(model));
    expect([...source.tensors].map(([name, { shape }]) => [name, shape])).toContainEqual(["m.weight", [3, 4]]);
    expect(await weightOf(model, "m.weight")).toEqual([0, 1, 2, 3, 40, 50, 60, 70, 800, 900, 1000, 1100]);
  });

  test("in blocks along an axis", async () => {
    const model = small();
    model.node[1] = node(
      "DequantizeLinear",
      ["bytes", "scales", "zeros"],
      ["m"],
      [int("axis", 0), int("block_size", 2)],
    );
    model.node[2] = node("MatMul", ["words", "m"], ["last_hidden_state"]);
    model.initializer[1] = stored("bytes", [4, 2], [1, 2, 3, 4, 5, 6, 7, 8], true);
    model.initializer.push(tensor("scales", [2, 2], [1, 10, 100, 1000]), stored("zeros", [2, 2], [0, 0, 0, 8], true));
    expect(await weightOf(model, "m.weight")).toEqual([1, 3, 500, 700, 20, 40, -2000, 0]);
  });
});
