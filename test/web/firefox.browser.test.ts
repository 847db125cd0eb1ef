import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, inject, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { BUNDLED_MODEL } from "../../src/index.ts";
import { fineTuneInPage } from "../../src/preparation/fine-tune-in-page.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { writePage } from "../../src/serving/page-server.ts";
import { on } from "../support/on-event.ts";
import { startSite } from "./site.ts";

const assets = fileURLToPath(new URL("../../assets/", import.meta.url));

/** A Firefox that is installed on this machine. */
const installed = ["/usr/bin/firefox", "/usr/bin/firefox-esr", "/Applications/Firefox.app/Contents/MacOS/firefox"].find(
  existsSync,
);

/** What the walk tells. */
interface Told {
  failed?: string;
  problems: string[];
  isolated: boolean;
  problem: string;
  losses: number[];
  pictures: number;
  answer: string;
}

test.skipIf(!installed)(
  `from a CSV file to an answer, with Node's losses, ${installed ? "in headless Firefox" : "skipped: no Firefox is installed here"}`,
  { timeout: 600_000 },
  async () => {
    const home = await mkdtemp(join(tmpdir(), "aflora-firefox-"));
    const [, ...lines] = (await readFile(join(assets, "sst2/train.tsv"), "utf8")).trim().split("\n");
    const rows = lines.slice(0, 80).map((line) => line.split("\t") as [string, string]);
    const csv = [
      "review,opinion",
      ...rows.map(([text, label]) => `"${text.replaceAll('"', '""')}",${label === "1" ? "good" : "bad"}`),
    ].join("\n");
    const options = { epochs: 1, batchSize: 8, seed: 3, learningRate: 0.005 };
    const losses: number[] = [];
    await fineTuneInPage(
      {
        ...options,
        // As in the recipe, 0.4 of the method's rate.
        headLearningRate: 0.002,
        text: "review",
        label: "opinion",
        model: folderFiles(join(assets, BUNDLED_MODEL)),
        train: { name: "reviews.csv", text: csv },
      },
      { runtime: nodeRuntime({ threads: 2 }), onEvent: on("step", ({ loss }) => void losses.push(loss)) },
    );

    const [site, profile] = [join(home, "site"), join(home, "profile")];
    await mkdir(profile);
    await writePage(site, { page: inject("page") });
    await cp(fileURLToPath(new URL("walk", import.meta.url)), join(site, "walk"), { recursive: true });
    const asked = {
      csv,
      question: "a warm, funny and wise film",
      options: { epochs: 1, "batch-size": 8, seed: 3, "learning-rate": 0.005 },
    };
    await writeFile(join(site, "walk.json"), JSON.stringify(asked));
    let hear: (text: string) => void = () => {};
    const told = new Promise<Told>((resolve) => {
      hear = (text) => resolve(JSON.parse(text) as Told);
    });
    const server = await startSite({ "": site }, { onPost: (text) => hear(text) });
    const firefox = spawn(
      installed!,
      ["--headless", "--no-remote", "--profile", profile, `${server.url}walk/index.html`],
      { stdio: "ignore" },
    );
    const ended = new Promise<number | null>((resolve) => firefox.once("exit", resolve));
    try {
      const {
        failed,
        problems,
        isolated,
        problem,
        losses: found,
        pictures,
        answer,
      } = await Promise.race([told, ended.then((code) => Promise.reject(new Error(`Firefox ended with ${code}`)))]);
      expect([failed, problem, problems]).toEqual([undefined, "", []]);
      expect(isolated).toBe(true);
      expect(found).toHaveLength(losses.length);
      for (const [i, loss] of found.entries()) expect(Math.abs(loss - losses[i]!)).toBeLessThan(1e-3);
      expect(pictures).toBeGreaterThanOrEqual(6);
      expect(["good", "bad"]).toContain(answer);
    } finally {
      firefox.kill();
      await ended;
      await server.close();
      await rm(home, { recursive: true });
    }
  },
);
