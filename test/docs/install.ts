import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { writeSmallEncoder } from "../support/small-encoder.ts";
import { shortenDemo, writeData } from "./data.ts";
import { installed, packed } from "./project.ts";

/** A folder with aflora installed in it and the data that the pages name. */
export interface Installation {
  project: string;
  /** Rather than unpacked beside this repository's modules. */
  byNpm: boolean;
}

declare module "vitest" {
  interface ProvidedContext {
    installation: Installation;
  }
}

/** Packs and installs aflora once for all pages. Its encoder and demo are made small: the pages' commands are what is tried. */
export default async function install({ provide }: TestProject): Promise<() => Promise<void>> {
  const home = await mkdtemp(join(tmpdir(), "aflora-docs-"));
  const project = join(home, "my-project");
  const byNpm = await installed(await packed(home), project);
  await writeData(project);
  await shortenDemo(project, 96);
  await writeSmallEncoder(join(project, "node_modules/aflora/assets/all-MiniLM-L6-v2"));
  provide("installation", { project, byNpm });
  return () => rm(home, { recursive: true });
}
