import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TensorToWrite } from "../../src/checkpoints/safetensors.ts";
import { openSafetensorsFile, writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";
import { encodeHalf } from "../../src/checkpoints/stored-values.ts";
import { UserError } from "../../src/errors.ts";
import { float32 } from "../../src/graph/tensor.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "safetensors-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a file with this header (text or JSON value) and data, valid or not. */
function rawFile(header: unknown, data: Uint8Array | number, headerLength?: number): string {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerLength ?? text.length));
  const path = join(folder, "raw.safetensors");
  writeFileSync(path, Buffer.concat([length, text, typeof data === "number" ? Buffer.alloc(data) : data]));
  return path;
}

const bytesOf = (array: { buffer: ArrayBufferLike }) => new Uint8Array(array.buffer);

async function refusal(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return error.message;
}

describe("reading", () => {
  test.each([
    ["F64", new Float64Array([1, -2.5, 1e300]), [1, -2.5, Number.POSITIVE_INFINITY]],
    ["F32", new Float32Array([1, -2.5, 3e-20]), [1, -2.5, Math.fround(3e-20)]],
    ["F16", new Uint16Array([0x3c00, 0xc100, 0x0001]), [1, -2.5, 2 ** -24]],
    ["BF16", new Uint16Array([0x3f80, 0xc020, 0x7f80]), [1, -2.5, Number.POSITIVE_INFINITY]],
    ["I64", new BigInt64Array([1n, -2n, 511n]), [1, -2, 511]],
    ["I32", new Int32Array([1, -2, 511]), [1, -2, 511]],
    ["U8", new Uint8Array([1, 2, 255]), [1, 2, 255]],
    ["BOOL", new Uint8Array([1, 0, 1]), [1, 0, 1]],
  ])("%s becomes float32", async (dtype, stored, expected) => {
    const data = bytesOf(stored);
    const source = await openSafetensorsFile(
      rawFile({ x: { dtype, shape: [3, 1], data_offsets: [0, data.length] } }, data),
    );
    expect(source.tensors.get("x")).toMatchObject({ dtype, shape: [3, 1] });
    expect([...(await source.read("x")).data]).toEqual(expected);
  });

  test("every half-precision number is unchanged by decoding and encoding", async () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const path = rawFile({ x: { dtype: "F16", shape: [65536], data_offsets: [0, 131072] } }, bytesOf(halves));
    const { data: values } = await (await openSafetensorsFile(path)).read("x");
    const again = encodeHalf(values);
    for (let i = 0; i < 65536; i++) {
      if (Number.isNaN(values[i])) expect(again[i]! & 0x7fff).toBe(0x7e00);
      else if (again[i] !== i) expect.fail(`${i} became ${again[i]}`);
    }
  });

  test("reads an empty tensor and a scalar", async () => {
    const path = rawFile(
      {
        none: { dtype: "F32", shape: [0, 4], data_offsets: [0, 0] },
        one: { dtype: "F32", shape: [], data_offsets: [0, 4] },
      },
      bytesOf(new Float32Array([7])),
    );
    const source = await openSafetensorsFile(path);
    expect((await source.read("none")).data).toHaveLength(0);
    expect([...(await source.read("one")).data]).toEqual([7]);
    await expect(source.read("two")).rejects.toThrow(/raw\.safetensors has no tensor "two"/);
  });
});

describe("writing", () => {
  test("restores float32 to the bit, half precision to the nearest", async () => {
    const path = join(folder, "written.safetensors");
    const exact = new Float32Array([0.1, -0, 3e38]);
    const rounded = new Float32Array([0.1, -70000, 1e-9, 2049]);
    await writeSafetensors(
      path,
      new Map<string, TensorToWrite>([
        ["half", { ...float32([4], rounded), storedAs: "F16" }],
        ["single", float32([1, 3], exact)],
      ]),
      { format: "pt" },
    );
    const source = await openSafetensorsFile(path);
    expect([...source.tensors.keys()].sort()).toEqual(["half", "single"]);
    expect((await source.read("single")).data).toEqual(exact);
    expect([...(await source.read("half")).data]).toEqual([0.0999755859375, Number.NEGATIVE_INFINITY, 0, 2048]);
    expect(readFileSync(path).readBigUInt64LE() % 8n).toBe(0n);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("rounds half precision to the nearest, ties to even", () => {
    const decode = (half: number) => {
      const exponent = (half >> 10) & 31;
      return exponent ? (1 + (half & 1023) / 1024) * 2 ** (exponent - 15) : (half & 1023) * 2 ** -24;
    };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7bfe }), fc.double({ min: 0, max: 1, noNaN: true }), (low, fraction) => {
        const value = Math.fround(decode(low) + fraction * (decode(low + 1) - decode(low)));
        const below = value - decode(low);
        const above = decode(low + 1) - value;
        const expected = below < above || (below === above && low % 2 === 0) ? low : low + 1;
        expect(encodeHalf(new Float32Array([value, -value]))).toEqual(new Uint16Array([expected, expected | 0x8000]));
      }),
    );
  });

  test("leaves no file if the path cannot be written", async () => {
    const tensors = new Map([["x", float32([1])]]);
    const missing = join(folder, "missing", "x.safetensors");
    expect(await refusal(writeSafetensors(missing, tensors))).toBe(
      `cannot write ${missing}: its folder does not exist; make the folder first`,
    );
    const taken = join(folder, "taken");
    mkdirSync(taken);
    expect(await refusal(writeSafetensors(taken, tensors))).toMatch(/there is a folder of that name/);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("throws if data do not fit the shape", async () => {
    const tensors = new Map([["x", float32([2, 2], new Float32Array(3))]]);
    await expect(writeSafetensors(join(folder, "bad"), tensors)).rejects.toThrow('"x" has 3 values');
  });
});

describe("rejects hostile and damaged files", () => {
  const entry = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
  test.each<[string, unknown, number, RegExp]>([
    ["no JSON", "{no", 8, /is not a safetensors file: its header is not JSON/],
    ["a list", "[]", 8, /header is not a JSON object/],
    ["no shape", { x: { dtype: "F32", data_offsets: [0, 8] } }, 8, /tensor "x" has no valid dtype, shape/],
    ["a negative size", { x: { ...entry, shape: [-2] } }, 8, /tensor "x" has no valid/],
    ["negative offsets", { x: { ...entry, data_offsets: [-8, 0] } }, 8, /tensor "x" has no valid/],
    ["a prototype's name", '{"__proto__": {"dtype": "F32"}}', 8, /tensor "__proto__" has no valid/],
    ["an unknown type", { x: { ...entry, dtype: "F8_E4M3" } }, 8, /"x" has type F8_E4M3, .*expected one of F64, F32/],
    ["a type from the prototype", { x: { ...entry, dtype: "toString" } }, 8, /has type toString/],
    ["shape too small", { x: { ...entry, shape: [1] } }, 8, /shape \[1\] needs 4 bytes, but the header gives it 8/],
    ["shape too large", { x: { ...entry, shape: [3] } }, 8, /shape \[3\] needs 12 bytes, but the header gives it 8/],
    ["overflowing shape", { x: { ...entry, shape: [2 ** 40, 2 ** 40] } }, 8, /shape \[1099511627776,1099511627776\]/],
    ["data cut short", { x: entry }, 7, /truncated: tensor "x" ends at byte 8 of the data, but there are only 7 bytes/],
    ["an overlap", { x: entry, y: { ...entry, data_offsets: [4, 12] } }, 12, /"y" begins at byte 4 .* expected 8/],
    ["a gap", { x: entry, y: { ...entry, data_offsets: [12, 20] } }, 20, /"y" begins at byte 12 .* expected 8/],
    ["bytes left over", { x: entry }, 9, /its tensors take 8 bytes, but the file holds 9/],
  ])("%s", async (_, header, data, message) => {
    expect(await refusal(openSafetensorsFile(rawFile(header, data)))).toMatch(message);
  });

  test("a header longer than the file", async () => {
    expect(await refusal(openSafetensorsFile(rawFile("{}", 0, 1e6)))).toMatch(
      /raw\.safetensors is truncated .* claims 1000000 bytes, and the file has 10$/,
    );
    expect(await refusal(openSafetensorsFile(rawFile("{}", 0, 2 ** 62)))).toMatch(/is truncated/);
  });

  test("missing, empty, a folder", async () => {
    expect(await refusal(openSafetensorsFile(join(folder, "nowhere")))).toMatch(/cannot read .*nowhere/);
    const empty = join(folder, "empty");
    writeFileSync(empty, "");
    expect(await refusal(openSafetensorsFile(empty))).toMatch(/empty is not a safetensors file: it has only 0 bytes/);
    expect(await refusal(openSafetensorsFile(folder))).toMatch(/is not a file/);
  });

  test("a file that shrinks or disappears after it was opened", async () => {
    const path = rawFile({ x: entry }, 8);
    const source = await openSafetensorsFile(path);
    truncateSync(path, readFileSync(path).length - 3);
    await expect(source.read("x")).rejects.toThrow(/truncated: tensor "x" needs 8 bytes and only 5 are left/);
    rmSync(path);
    await expect(source.read("x")).rejects.toThrow(/cannot read .*raw\.safetensors: ENOENT/);
  });
});
