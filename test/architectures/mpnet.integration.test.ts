import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { Bench, layersOf, type Row, readBase, readJson } from "../support/small-bert.ts";

/** Folder of all-mpnet-base-v2. */
const MPNET = process.env.AFLORA_MPNET ?? "";

/** Results of transformers and PyTorch (oracle/mpnet.py). */
interface Facts {
  examples: (Row & { logits: number[] })[];
  loss: number;
  /** For each parameter, the norm of its gradient and the sum of its elements times `sin(i + 1)`. */
  gradients: Record<string, [length: number, wave: number]>;
}

test.skipIf(!existsSync(MPNET))(
  "all-mpnet-base-v2, at AFLORA_MPNET: logits and all gradients equal those of transformers and PyTorch",
  { timeout: 1_200_000 },
  async () => {
    const facts: Facts = readJson("mpnet.json");
    const config = JSON.parse(readFileSync(join(MPNET, "config.json"), "utf8"));
    const read = await readBase(config, await openSafetensorsFile(join(MPNET, "model.safetensors")));
    const head = [...read.weights].filter(([name]) => name.startsWith("classifier."));
    expect(head).toHaveLength(4);
    const waves = head.map(([name, { shape, data }]) => {
      return [
        name,
        float32(
          shape,
          Float32Array.from(data, (_, i) => 0.05 * Math.sin(i)),
        ),
      ] as const;
    });
    const base = { ...read, weights: new Map([...read.weights, ...waves]) };
    const bench = new Bench(base, full.adapt({}, layersOf(base)));
    const logits = await bench.logits(facts.examples);
    for (const [i, expected] of facts.examples.flatMap((example) => example.logits).entries()) {
      expect(Math.abs(logits[i]! - expected)).toBeLessThan(1e-4);
    }
    const { loss, gradients } = await bench.differentiate(facts.examples);
    await bench.release();
    expect(Math.abs(loss / facts.loss - 1)).toBeLessThan(1e-4);
    expect([...gradients.keys()].sort()).toEqual(Object.keys(facts.gradients).sort());
    const longest = Math.max(...Object.values(facts.gradients).map(([length]) => length));
    for (const [name, { data }] of gradients) {
      const [length, wave] = facts.gradients[name]!;
      let [squares, sum] = [0, 0];
      data.forEach((value, i) => {
        squares += value * value;
        sum += value * Math.sin(i + 1);
      });
      // A key's bias has no gradient except rounding errors.
      const scale = Math.max(length, 1e-4 * longest);
      expect(Math.abs(Math.sqrt(squares) - length) / scale, name).toBeLessThan(1e-3);
      expect(Math.abs(sum - wave) / scale, name).toBeLessThan(1e-3);
    }
  },
);
