import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { Graph } from "../../src/graph/graph.ts";
import { gemm } from "../../src/graph/ops.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { runtime } from "../support/runtime.ts";

afterEach(() => vi.unstubAllEnvs());

/** Ones times a matrix of 8-bit numbers with zero point 0. */
async function sums(): Promise<number[]> {
  const graph = new Graph();
  const x = graph.leaf("input", "x", "float32", [1, 32]);
  const y = gemm(x, graph.leaf("frozen", "w", "float32", [32, 16]));
  const numbers = float32(
    [32, 16],
    Float32Array.from({ length: 512 }, (_, i) => i),
  );
  const compiled = await runtime.compile({ y }, new Map([["w", numbers]]), { answers: true });
  const found = await compiled.run({ x: float32([1, 32], new Float32Array(32).fill(1)) });
  await compiled.release();
  return [...(found.y!.data as Float32Array)];
}

const EXPECTED = Array.from({ length: 16 }, (_, i) => 32 * i + (16 * 32 * 31) / 2);

test("removes the files of constant weights once they are prepacked", async () => {
  const folder = await mkdtemp(join(tmpdir(), "aflora-packed-"));
  vi.stubEnv("TMPDIR", folder);
  expect(await sums()).toEqual(EXPECTED);
  expect(await readdir(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

test("removes files of a killed process, but not of one that may still read them", async () => {
  const folder = await mkdtemp(join(tmpdir(), "aflora-packed-"));
  vi.stubEnv("TMPDIR", folder);
  const hoursAgo = Date.now() / 1000 - 2 * 3600;
  for (const name of ["aflora-weights-old", "aflora-weights-new", "another-old"]) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, "graph.onnx_data"), "weights");
    if (name.endsWith("old")) await utimes(join(folder, name), hoursAgo, hoursAgo);
  }
  expect(await sums()).toEqual(EXPECTED);
  expect((await readdir(folder)).sort()).toEqual(["aflora-weights-new", "another-old"]);
  await rm(folder, { recursive: true });
});

test("prepacks weights from memory if no file can be written", async () => {
  vi.stubEnv("TMPDIR", join(tmpdir(), "aflora-is-not-there"));
  expect(await sums()).toEqual(EXPECTED);
});
