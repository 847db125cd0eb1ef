import { BUNDLED_MODEL } from "../../src/base-models/bundled-model.ts";
import { ggufFiles } from "../../src/checkpoints/gguf/gguf-files.ts";
import { type ModelFiles, memoryFiles } from "../../src/checkpoints/model-files.ts";
import { UserError } from "../../src/errors.ts";
import { type ByteSource, blobSource } from "../../src/files/byte-source.ts";

export type ModelChoice =
  | { from: "page" }
  /** `owner/name[@revision]`, without surrounding spaces. */
  | { from: "hub"; id: string }
  /** Files of a folder by their relative paths, or one GGUF file. */
  | { from: "disk"; name: string; files: Readonly<Record<string, Blob>> }
  /** A model from the disk, kept from an earlier visit. */
  | { from: "kept"; name: string; files: readonly string[] };

export interface DownloadProgress {
  file: string;
  received: number;
  /** Undefined if the server does not say. */
  size?: number;
}

const CACHE = "aflora-models";

const BUNDLED_FILES: readonly string[] = [
  "config.json",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
  "modules.json",
  "sentence_bert_config.json",
  "1_Pooling/config.json",
];

const HUB = "https://huggingface.co";
const HUB_NAME = /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/;

/** Name of a chosen model in the adapter. */
export function nameOf(choice: ModelChoice): string {
  if (choice.from === "page") return BUNDLED_MODEL;
  return choice.from === "hub" ? choice.id.replace(/@.*/, "") : choice.name;
}

export const revisionOf = (choice: ModelChoice): string | undefined =>
  choice.from === "hub" ? choice.id.split("@")[1] : undefined;

/**
 * Opens the files of a chosen model. Files from a server are downloaded when they are opened, and kept for later visits.
 * @param home address of the page's own files
 * @throws UserError if the choice names no model
 */
export async function filesOf(
  choice: ModelChoice,
  home: string,
  onProgress: (progress: DownloadProgress) => void,
): Promise<ModelFiles> {
  if (choice.from === "page" || choice.from === "hub") {
    const served = servedFiles(nameOf(choice), addressOf(choice, home), onProgress);
    if (choice.from === "hub") return served;
    // Requests for other files would appear as errors in the browser's console.
    return { ...served, open: async (file) => (BUNDLED_FILES.includes(file) ? served.open(file) : undefined) };
  }
  const files = choice.from === "kept" ? await keptFiles(choice.name, choice.files) : choice.files;
  const [gguf] = Object.entries(files).filter(([name]) => name.endsWith(".gguf"));
  if (gguf && !files["config.json"]) return ggufFiles(blobSource(`${choice.name}: ${gguf[0]}`, gguf[1]));
  return memoryFiles(choice.name, files);
}

/** Address of a model's files on a server, with a trailing slash. @param home address of the page's own files */
function addressOf(choice: Extract<ModelChoice, { from: "page" | "hub" }>, home: string): string {
  if (choice.from === "page") return new URL(`models/${BUNDLED_MODEL}/`, home).href;
  const { id } = choice;
  if (!HUB_NAME.test(id)) throw new UserError(`"${id}" is not the name of a model on the hub; write owner/name`);
  return `${HUB}/${nameOf(choice)}/resolve/${revisionOf(choice) ?? "main"}/`;
}

/** Keeps the files of a model from the disk, so that a run can be resumed after a reload. */
export async function keep(name: string, files: Readonly<Record<string, Blob>>): Promise<void> {
  const cache = await caches.open(CACHE);
  for (const [file, blob] of Object.entries(files)) await cache.put(keptAt(name, file), new Response(blob));
}

async function keptFiles(name: string, names: readonly string[]): Promise<Record<string, Blob>> {
  const cache = await caches.open(CACHE);
  const files: Record<string, Blob> = {};
  for (const file of names) {
    const found = await cache.match(keptAt(name, file));
    if (!found) throw new UserError(`the model ${name} is not kept in this browser any more; choose it again`);
    files[file] = await found.blob();
  }
  return files;
}

const keptAt = (name: string, file: string): string =>
  `/disk/${encodeURIComponent(name)}/${file.split("/").map(encodeURIComponent).join("/")}`;

/** Files on a server. Downloaded whole, and kept in the browser. */
function servedFiles(name: string, folder: string, onProgress: (progress: DownloadProgress) => void): ModelFiles {
  return {
    location: name,
    async open(file): Promise<ByteSource | undefined> {
      const url = folder + file.split("/").map(encodeURIComponent).join("/");
      const cache = await openCache();
      let response = await cache?.match(url);
      if (!response) {
        response = await ask(name, url);
        if (response.status !== 404) response = counted(response, file, onProgress);
        // Also keeps that a file is missing, for use without a network. Without a configuration there is no model yet.
        if (cache && !(response.status === 404 && file === "config.json")) {
          await stored(cache, url, response, name, file);
          response = (await cache.match(url))!;
        }
      }
      if (response.status === 404) return undefined;
      return blobSource(`${name}/${file}`, await response.blob());
    },
  };
}

/** Pages that did not come over a secure connection have no cache. */
const openCache = async (): Promise<Cache | undefined> => ("caches" in self ? caches.open(CACHE) : undefined);

async function ask(name: string, url: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch {
    throw new UserError(`${name} cannot be fetched from ${new URL(url).host}; check the connection`);
  }
  if (response.ok || response.status === 404) return response;
  await response.body?.cancel();
  // The hub answers the same for missing and for private repositories.
  if (response.status === 401 || response.status === 403) {
    throw new UserError(
      `there is no public model ${name} on the hub; check its name, or download it and choose its folder`,
    );
  }
  throw new UserError(`${new URL(url).host} answers ${response.status} when asked for ${name}; try again later`);
}

async function stored(cache: Cache, url: string, response: Response, name: string, file: string): Promise<void> {
  try {
    await cache.put(url, response);
  } catch (error) {
    const full = error instanceof DOMException && error.name === "QuotaExceededError";
    throw new UserError(
      full
        ? `there is no room in this browser for ${file} of ${name}; free some space on the disk, or choose a smaller model`
        : `${file} of ${name} broke off during the download; check the connection and try again`,
    );
  }
}

function counted(
  { body, status, headers }: Response,
  file: string,
  onProgress: (progress: DownloadProgress) => void,
): Response {
  const length = Number(headers.get("Content-Length"));
  // The length of a compressed response is not that of its content.
  const known = length > 0 && !headers.get("Content-Encoding");
  let received = 0;
  const counting = new TransformStream<Uint8Array, Uint8Array>({
    transform(piece, controller) {
      received += piece.length;
      onProgress({ file, received, ...(known && { size: length }) });
      controller.enqueue(piece);
    },
  });
  return new Response(body!.pipeThrough(counting), { status });
}

/**
 * Size of a model's weights in bytes, without downloading them; undefined if unknown.
 * @param home address of the page's own files
 */
export async function weightBytes(choice: ModelChoice, home: string): Promise<number | undefined> {
  if (choice.from === "disk") return Object.values(choice.files).reduce((sum, { size }) => sum + size, 0);
  if (choice.from === "kept") return undefined;
  const url = `${addressOf(choice, home)}model.safetensors`;
  if (await (await openCache())?.match(url)) return 0;
  const response = await fetch(url, { method: "HEAD" }).catch(() => undefined);
  return response?.ok ? Number(response.headers.get("Content-Length")) || undefined : undefined;
}
