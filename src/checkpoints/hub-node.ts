import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { datasetInfo, listFiles, modelInfo } from "@huggingface/hub";
import { didYouMean, UserError } from "../errors.ts";
import { writeAtomically } from "./atomic-file-node.ts";
import { boundedFetch, deadlineFor, type FetchBounds, SILENCE, SMALL_ANSWER } from "./bounded-fetch.ts";
import { type DownloadProgress, downloadFiles, type RemoteFile, reasonOf } from "./hub-download-node.ts";
import { SENTENCE_FILES } from "./sentence-modules.ts";

/** Where and how to fetch; what is not given comes from the environment, as with other Hugging Face tools. */
export interface HubOptions {
  /** Branch, tag or commit; `main` unless given. */
  revision?: string | undefined;
  /** Use the cache alone; unless given, whether `HF_HUB_OFFLINE` is set. */
  offline?: boolean | undefined;
  /** Unless given, `HF_TOKEN`. It is sent to the hub alone, never shown or stored. */
  token?: string;
  /** Unless given, `HF_ENDPOINT`, or https://huggingface.co. */
  endpoint?: string;
  /** Unless given, `HF_HUB_CACHE`, `HF_HOME/hub`, or `~/.cache/huggingface/hub`. */
  cache?: string;
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Seconds without a byte after which a connection counts as broken; 30 unless given. */
  timeout?: number | undefined;
  /** Aborting ends what is being fetched; what has come is kept for the next time. */
  signal?: AbortSignal | undefined;
}

/** A repository at one commit, and how to get its files. */
interface Repository {
  /** As the user wrote it, for error messages. */
  name: string;
  commit: string;
  /** Names of the files that there are: on the hub, or offline in the cache. */
  files: ReadonlySet<string>;
  /** Makes sure that these files, among `files`, lie in the folder that it returns. */
  fetch(paths: readonly string[]): Promise<string>;
}

type Kind = "model" | "dataset";
const NAMES: Record<Kind, string> = { model: "model", dataset: "data set" };

const HUB_NAME = /^\w[\w.-]*\/\w[\w.-]*(@.+)?$/;

/** Read where there is no `tokenizer.json`. */
const VOCABULARIES = [
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "spm.model",
  "sentencepiece.bpe.model",
  "added_tokens.json",
];
const SETTINGS = ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];
/** The first that there is holds the weights. */
const WEIGHTS = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
];

/**
 * The folder of a model: the folder itself, or a GGUF file, where there is one of that name, else a snapshot in the Hugging Face cache of
 * the hub's `owner/name[@revision]`, fetched as far as it is missing: configuration, tokenizer and weights alone.
 * A snapshot's folder is named by its commit; a commit that the cache holds is not asked for again.
 * @throws UserError where there is no such model, it may not be read, or something of it is missing or arrives damaged.
 */
export async function resolveModel(nameOrFolder: string, options: HubOptions = {}): Promise<string> {
  const isThere = (await stat(nameOrFolder).catch(() => undefined)) !== undefined;
  // A revision says that the hub's is meant.
  if (isThere && !(options.revision !== undefined && HUB_NAME.test(nameOrFolder))) return nameOrFolder;
  const revision = options.revision ?? split(nameOrFolder)[1];
  if (revision !== undefined && COMMIT.test(revision) && !options.offline) {
    const cached = await resolveModel(nameOrFolder, { ...options, revision, offline: true }).catch(() => undefined);
    if (cached !== undefined) return cached;
  }
  if (nameOrFolder.endsWith(".gguf")) throw new UserError(`there is no file ${nameOrFolder}; check the path`);
  if (!HUB_NAME.test(nameOrFolder)) {
    throw new UserError(`no such model folder: ${nameOrFolder}; give a folder, or owner/name of a model on the hub`);
  }
  const repository = await openRepository("model", nameOrFolder, options);
  const { name, files } = repository;
  if (!files.has("config.json")) throw new UserError(`${name} has no config.json, so it is no Transformers model`);
  const weights = WEIGHTS.find((file) => files.has(file));
  if (!weights) throw new UserError(`${name} has no weights; expected one of ${WEIGHTS.join(", ")}`);
  const vocabularies = files.has("tokenizer.json")
    ? ["tokenizer.json"]
    : VOCABULARIES.filter((file) => files.has(file));
  if (vocabularies.length === 0)
    throw new UserError(`${name} has no tokenizer; expected tokenizer.json or ${VOCABULARIES[0]}`);
  const settings = [...SETTINGS, ...Object.values(SENTENCE_FILES)].filter((file) => files.has(file));
  const folder = await repository.fetch(["config.json", ...settings, ...vocabularies, weights]);
  if (weights.endsWith(".index.json")) await repository.fetch(await shardsOf(join(folder, weights), repository));
  return folder;
}

/** The files that a sharded checkpoint's index names. */
async function shardsOf(index: string, { name, files }: Repository): Promise<string[]> {
  let map: unknown;
  try {
    map = JSON.parse(await readFile(index, "utf8")).weight_map;
  } catch {
    map = undefined;
  }
  if (typeof map !== "object" || map === null)
    throw new UserError(`${index} is no index of weights: it has no weight_map`);
  const shards = [...new Set(Object.values(map).map(String))];
  const missing = shards.filter((shard) => !files.has(shard));
  if (missing.length) throw new UserError(`${name} lacks ${missing.join(", ")}, which its index of weights names`);
  return shards;
}

/** Files in parquet format of one configuration of a data set, by split. */
export interface DatasetFiles {
  /** `owner/name`, with the configuration where there are several. */
  name: string;
  /** The commit that it is. */
  commit: string;
  /** Split (`train`, `validation`, …) → files in order. */
  splits: Map<string, string[]>;
}

/**
 * The parquet files of a data set on the hub, fetched into the Hugging Face cache as far as they are missing. Where the
 * data set is kept in another format, those that the hub itself makes of it are taken.
 * @param configuration which part, such as `cola` of `nyu-mll/glue`; needed where there are several.
 * @param wanted says which splits to fetch.
 * @throws UserError as `resolveModel`, and where the configuration is not there.
 */
export async function resolveDataset(
  dataset: string,
  configuration: string | undefined,
  wanted: (split: string) => boolean,
  options: HubOptions = {},
): Promise<DatasetFiles> {
  if (!HUB_NAME.test(dataset)) throw new UserError(`"${dataset}" names no data set; give owner/name of one on the hub`);
  let repository = await openRepository("dataset", dataset, options);
  let found = parquetFiles(repository.files);
  if (found.size === 0 && !dataset.includes("@") && options.revision === undefined) {
    repository = await openRepository("dataset", dataset, { ...options, revision: "refs/convert/parquet" });
    found = parquetFiles(repository.files);
  }
  const names = [...found.keys()];
  const only = names.length === 1 ? names[0] : names.includes("default") ? "default" : undefined;
  const name = configuration ?? only;
  if (found.size === 0)
    throw new UserError(`${repository.name} has no parquet files, the one format that is read from the hub`);
  if (name === undefined)
    throw new UserError(`${repository.name} has several configurations; choose one of ${names.join(", ")}`);
  const splits = found.get(name);
  if (!splits) {
    throw new UserError(
      `${repository.name} has no configuration "${name}"; it has ${names.join(", ")}${didYouMean(name, names)}`,
    );
  }
  const chosen = [...splits].filter(([split]) => wanted(split));
  const folder = await repository.fetch(chosen.flatMap(([, paths]) => paths));
  return {
    name: names.length === 1 ? repository.name : `${repository.name} (${name})`,
    commit: repository.commit,
    splits: new Map(chosen.map(([split, paths]) => [split, paths.map((path) => join(folder, path))])),
  };
}

/**
 * Configuration → split → files, by the hub's usual names: `cola/train-00000-of-00001.parquet`, `data/train-….parquet`,
 * `cola/train/0000.parquet`, `train.parquet`.
 */
function parquetFiles(files: ReadonlySet<string>): Map<string, Map<string, string[]>> {
  const found = new Map<string, Map<string, string[]>>();
  for (const path of [...files].filter((file) => file.endsWith(".parquet")).sort()) {
    const folders = path.split("/");
    const name = folders.pop()!.slice(0, -".parquet".length);
    const split = /^\d+$/.test(name) ? folders.pop() : name.replace(/-\d{5}-of-\d{5}.*$/, "");
    if (!split) continue;
    const configuration = folders.filter((folder) => folder !== "data").join("/") || "default";
    const splits = found.get(configuration) ?? new Map<string, string[]>();
    found.set(configuration, splits.set(split, [...(splits.get(split) ?? []), path]));
  }
  return found;
}

async function openRepository(kind: Kind, written: string, options: HubOptions): Promise<Repository> {
  const [name, suffix] = split(written);
  const revision = options.revision ?? suffix ?? "main";
  if (revision.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw new UserError(`"${revision}" is no revision; use a branch, tag or commit of ${name}`);
  }
  const cache =
    options.cache ??
    process.env.HF_HUB_CACHE ??
    join(process.env.HF_HOME ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface"), "hub");
  const folder = join(cache, `${kind}s--${name.replace("/", "--")}`);
  const offline = options.offline ?? /^(1|on|yes|true)$/i.test(process.env.HF_HUB_OFFLINE ?? "");
  return offline ? openCached(kind, name, revision, folder) : openRemote(kind, name, revision, folder, options);
}

function split(written: string): [string, string | undefined] {
  const at = written.indexOf("@");
  return at < 0 ? [written, undefined] : [written.slice(0, at), written.slice(at + 1)];
}

async function openCached(kind: Kind, name: string, revision: string, folder: string): Promise<Repository> {
  const commit = COMMIT.test(revision)
    ? revision
    : await readFile(join(folder, "refs", revision), "utf8").catch(() => "");
  const snapshot = join(folder, "snapshots", commit.trim());
  const entries = commit ? await readdir(snapshot, { recursive: true }).catch(() => []) : [];
  if (entries.length === 0) {
    throw new UserError(
      `the ${NAMES[kind]} ${name} (revision ${revision}) is not in the cache ${dirname(folder)}; run once without --offline to fetch it`,
    );
  }
  const files = new Set(entries.map((entry) => entry.replaceAll("\\", "/")));
  const asFound = `${name}, as far as it is in the cache (--offline),`;
  return { name: asFound, commit: commit.trim(), files, fetch: async () => snapshot };
}

/** Pages of a listing, 1,000 files each. */
const MAX_PAGES = 1000;

const COMMIT = /^[0-9a-f]{40}$/;
const HASH = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

async function openRemote(
  kind: Kind,
  name: string,
  revision: string,
  folder: string,
  options: HubOptions,
): Promise<Repository> {
  const endpoint = (options.endpoint ?? process.env.HF_ENDPOINT ?? "https://huggingface.co").replace(/\/+$/, "");
  const token = options.token ?? process.env.HF_TOKEN?.trim();
  if (token && !token.startsWith("hf_")) {
    throw new UserError("HF_TOKEN holds no token of the hub: those begin with hf_; set it right or unset it");
  }
  const { timeout = SILENCE / 1000, signal } = options;
  const request = async (url: string | URL, init: RequestInit, bounds: Pick<FetchBounds, "deadline" | "maxBytes">) => {
    const response = await boundedFetch(url, init, { silence: timeout * 1000, signal, ...bounds });
    // 416 answers a range that begins at the end of the file.
    if (!response.ok && response.status !== 416) throw await refusal(response, kind, name, revision, endpoint, !!token);
    return response;
  };
  const repo = { type: kind, name };
  const asked = new Set<string>();
  const ask = (async (url: string | URL, init: RequestInit = {}) => {
    const { origin, href } = new URL(url);
    // A listing names its next page itself, and the request has the token in it.
    if (origin !== new URL(endpoint).origin) {
      throw new UserError(`${endpoint} sends to ${origin} for a listing of ${name}; refused`);
    }
    if (asked.has(href) || asked.size === MAX_PAGES) {
      throw new UserError(`${endpoint} does not come to an end with its listing of ${name}; refused`);
    }
    asked.add(href);
    return request(url, init, SMALL_ANSWER);
  }) as typeof fetch;
  const access = { hubUrl: endpoint, fetch: ask, ...(token && { accessToken: token }) };

  const remote = new Map<string, RemoteFile>();
  let commit: string;
  try {
    const about = { ...access, name, revision, additionalFields: ["sha" as const] };
    commit = (kind === "model" ? await modelInfo(about) : await datasetInfo(about)).sha;
    const listing = { ...access, repo, revision: commit, recursive: kind === "dataset" };
    for await (const { type, path, size, oid, lfs } of listFiles(listing)) {
      if (type !== "file") continue;
      const url = `${endpoint}/${kind === "model" ? "" : "datasets/"}${name}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
      remote.set(path, { path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? "", url });
    }
  } catch (error) {
    if (error instanceof UserError || signal?.aborted) throw error;
    throw new UserError(
      `cannot reach ${endpoint} (${reasonOf(error)}); check the connection, or use --offline for what is in the cache`,
    );
  }
  if (!COMMIT.test(commit)) throw new UserError(`${endpoint} does not answer as a hub: it names no commit of ${name}`);

  return {
    name,
    commit,
    files: new Set(remote.keys()),
    async fetch(paths) {
      const wanted = paths.map((path) => remote.get(path)!);
      const unsafe = wanted.find(({ path, hash }) => !HASH.test(hash) || !isInside(path));
      if (unsafe)
        throw new UserError(`${name}: the hub names "${unsafe.path}" in a way that cannot be kept safely; refused`);
      await downloadFiles(
        folder,
        commit,
        wanted,
        ({ url, size }, headers) =>
          request(
            url,
            { headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) } },
            // Who appends counts the bytes.
            { deadline: deadlineFor(size), maxBytes: Number.POSITIVE_INFINITY },
          ),
        options.onProgress,
      );
      if (commit !== revision) {
        const ref = join(folder, "refs", revision);
        await mkdir(dirname(ref), { recursive: true });
        await writeAtomically(ref, (file) => file.writeFile(commit));
      }
      return join(folder, "snapshots", commit);
    },
  };
}

/** Whether a repository's path stays in its folder, on Windows as well. */
function isInside(path: string): boolean {
  return path.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:\0]/.test(part));
}

/** What an error answer of the hub means to the person who asked. */
async function refusal(
  response: Response,
  kind: Kind,
  name: string,
  revision: string,
  endpoint: string,
  hasToken: boolean,
): Promise<Error> {
  await response.body?.cancel();
  const what = `the ${NAMES[kind]} ${name}`;
  const page = `${endpoint}/${kind === "model" ? "" : "datasets/"}${name}`;
  const code = response.headers.get("X-Error-Code");
  if (code === "GatedRepo" || response.status === 403) {
    const token = hasToken ? "with the account of HF_TOKEN" : "then set HF_TOKEN to a token of your account";
    return new UserError(`${what} is gated: accept its terms at ${page}, ${token}`);
  }
  if (code === "RevisionNotFound") {
    return new UserError(`${what} has no revision "${revision}"; use a branch, tag or commit that ${page} shows`);
  }
  if (code === "EntryNotFound") return new UserError(`${what} has no file ${response.url}`);
  if (response.status === 401) {
    const token = hasToken
      ? "check its name, and that the token in HF_TOKEN is valid and may read it"
      : "check its name; if it is private or gated, set HF_TOKEN to a token that may read it";
    return new UserError(`there is no ${NAMES[kind]} ${name} at ${endpoint} for everyone to read; ${token}`);
  }
  if (response.status === 404)
    return new UserError(`there is no ${NAMES[kind]} ${name} at ${endpoint}; check its name`);
  const answer = `${endpoint} answers with ${response.status} ${response.statusText}`;
  if (response.status < 500) return new UserError(`${answer} when asked for ${what}; try again later`);
  return new Error(answer);
}
