import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { opt, UserError } from "../errors.ts";
import { makeFolder, writeAtomically } from "../files/atomic-file-node.ts";
import { boundedFetch, deadlineFor, type FetchBounds, SILENCE, SMALL_ANSWER } from "../files/bounded-fetch.ts";
import { type DownloadProgress, downloadFiles, type RemoteFile, reasonOf } from "./hub-download-node.ts";

/** Options of downloads. Defaults come from the environment, as in other Hugging Face tools. */
export interface HubOptions {
  /** Branch, tag or commit (default: `main`). */
  revision?: string | undefined;
  /** Use only the cache (default: whether `HF_HUB_OFFLINE` is set). */
  offline?: boolean | undefined;
  /** Access token (default: `HF_TOKEN`). It is sent only to the hub, never shown or stored. */
  token?: string;
  /** URL of the hub (default: `HF_ENDPOINT`, or https://huggingface.co). */
  endpoint?: string;
  /** Cache folder (default: `HF_HUB_CACHE`, `HF_HOME/hub`, or `~/.cache/huggingface/hub`). */
  cache?: string;
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Timeout without data, in seconds (default: 30). */
  timeout?: number | undefined;
  /** Aborts a download. Received data stays in the cache for the next attempt. */
  signal?: AbortSignal | undefined;
}

/** A repository at one commit. */
export interface Repository {
  /** Name for error messages. */
  name: string;
  commit: string;
  /** Names of the available files: on the hub, or offline in the cache. */
  files: ReadonlySet<string>;
  /** Downloads missing files among `files`, and returns the folder that contains them. */
  fetch(paths: readonly string[]): Promise<string>;
}

type Kind = "model" | "dataset";
const NAMES: Record<Kind, string> = { model: "model", dataset: "data set" };

/**
 * Opens a model or data set on the hub, or offline in the cache.
 * @param written `owner/name[@revision]`
 * @throws UserError if it does not exist, or may not be read.
 */
export async function openRepository(kind: Kind, written: string, options: HubOptions): Promise<Repository> {
  const [name, suffix] = splitRevision(written);
  const revision = options.revision ?? suffix ?? "main";
  if (revision.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw new UserError(`"${revision}" is not a revision; use a branch, tag or commit of ${name}`);
  }
  const folder = join(cacheOf(options), `${kind}s--${name.replace("/", "--")}`);
  return isOffline(options)
    ? openCached(kind, name, revision, folder)
    : openRemote(kind, name, revision, folder, options);
}

const cacheOf = ({ cache }: HubOptions): string =>
  cache ??
  process.env.HF_HUB_CACHE ??
  join(process.env.HF_HOME ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface"), "hub");

/** Whether requests to the hub are forbidden. */
export const isOffline = ({ offline }: HubOptions): boolean =>
  offline ?? /^(1|on|yes|true)$/i.test(process.env.HF_HUB_OFFLINE ?? "");

/** Address of the hub. */
export const endpointOf = ({ endpoint }: HubOptions): string =>
  (endpoint ?? process.env.HF_ENDPOINT ?? "https://huggingface.co").replace(/\/+$/, "");

/** Access token, if there is one. @throws UserError if it is no token of the hub */
export function tokenOf(options: HubOptions): string | undefined {
  const token = options.token ?? process.env.HF_TOKEN?.trim();
  if (token && !token.startsWith("hf_")) {
    throw new UserError("HF_TOKEN is not a hub token, which begins with hf_; correct it or unset it");
  }
  return token || undefined;
}

/** Limits of a search for models, which only makes an error message better. */
const SEARCH = { silence: 5000, deadline: 5000, maxBytes: 2 ** 22 };
/** Number of models that a message names. */
const NAMED = 3;

const foundModels = z.array(z.object({ id: z.string() }));

/** Models called `name` by any owner, as `owner/name`: those in the cache and, unless offline, the most downloaded ones of the hub. */
export async function modelsNamed(name: string, options: HubOptions): Promise<string[]> {
  const folders = await readdir(cacheOf(options)).catch(() => []);
  const cached = folders
    .filter((folder) => folder.startsWith("models--"))
    .map((folder) => folder.slice("models--".length).replace("--", "/"));
  const hosted = isOffline(options) ? [] : await searchedModels(name, options).catch(() => []);
  const isMeant = (id: string): boolean => id.split("/")[1]?.toLowerCase() === name.toLowerCase();
  return [...new Set([...cached, ...hosted])].filter(isMeant).slice(0, NAMED);
}

async function searchedModels(name: string, options: HubOptions): Promise<string[]> {
  const query = new URLSearchParams({ search: name, sort: "downloads", direction: "-1", limit: "50" });
  const { signal } = options;
  const response = await boundedFetch(`${endpointOf(options)}/api/models?${query}`, {}, { ...SEARCH, signal });
  return foundModels.parse(await response.json()).map(({ id }) => id);
}

/** Splits `owner/name@revision` into name and revision. */
export function splitRevision(written: string): [string, string | undefined] {
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
      `the ${NAMES[kind]} ${name} (revision ${revision}) is not in the cache ${dirname(folder)}; run once without ${opt("offline")} to fetch it`,
    );
  }
  const files = new Set(entries.map((entry) => entry.replaceAll("\\", "/")));
  const asFound = `${name}, as far as it is in the cache (${opt("offline")}),`;
  return { name: asFound, commit: commit.trim(), files, fetch: async () => snapshot };
}

/** Upper limit on pages of a listing, of 1,000 files each. */
const MAX_PAGES = 1000;

/** A commit's hash, which, unlike a branch or tag, never changes its meaning. */
export const COMMIT = /^[0-9a-f]{40}$/;
const HASH = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

/** Connection to the hub for one repository. */
interface Connection {
  endpoint: string;
  token: string | undefined;
  /** @throws UserError if the hub refuses. */
  request(url: string | URL, init: RequestInit, bounds: Pick<FetchBounds, "deadline" | "maxBytes">): Promise<Response>;
}

function connect(kind: Kind, name: string, revision: string, options: HubOptions): Connection {
  const endpoint = endpointOf(options);
  const token = tokenOf(options);
  const { timeout = SILENCE / 1000, signal } = options;
  return {
    endpoint,
    token,
    async request(url, init, bounds) {
      const response = await boundedFetch(url, init, { silence: timeout * 1000, signal, ...bounds });
      // 416 means that a range begins at the end of the file.
      if (response.ok || response.status === 416) return response;
      throw await refusal(response, kind, name, revision, endpoint, !!token);
    },
  };
}

/** Lists a repository's files at the current commit of a revision. */
async function listRemote(
  { endpoint, token, request }: Connection,
  kind: Kind,
  name: string,
  revision: string,
  signal: AbortSignal | undefined,
): Promise<{ commit: string; files: Map<string, RemoteFile> }> {
  const asked = new Set<string>();
  const ask = (async (url: string | URL, init: RequestInit = {}) => {
    const { origin, href } = new URL(url);
    // A listing gives the URL of its next page, and the request carries the token.
    if (origin !== new URL(endpoint).origin) {
      throw new UserError(`${endpoint} redirects to ${origin} for the files of ${name}; refused`);
    }
    if (asked.has(href) || asked.size === MAX_PAGES) {
      throw new UserError(`${endpoint} lists the files of ${name} without an end; refused`);
    }
    asked.add(href);
    return request(url, init, SMALL_ANSWER);
  }) as typeof fetch;
  const access = { hubUrl: endpoint, fetch: ask, ...(token && { accessToken: token }) };

  // Imported here, so that a program with a model in a folder starts without this package.
  const { datasetInfo, listFiles, modelInfo } = await import("@huggingface/hub");
  const files = new Map<string, RemoteFile>();
  let commit: string;
  try {
    const about = { ...access, name, revision, additionalFields: ["sha" as const] };
    commit = (kind === "model" ? await modelInfo(about) : await datasetInfo(about)).sha;
    const listing = { ...access, repo: { type: kind, name }, revision: commit, recursive: true };
    for await (const { type, path, size, oid, lfs } of listFiles(listing)) {
      if (type !== "file") continue;
      const url = `${endpoint}/${kind === "model" ? "" : "datasets/"}${name}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
      files.set(path, { path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? "", url });
    }
  } catch (error) {
    if (error instanceof UserError || signal?.aborted) throw error;
    throw new UserError(
      `cannot reach ${endpoint} (${reasonOf(error)}); check the connection, or use ${opt("offline")} for what is in the cache`,
      { code: "network" },
    );
  }
  if (!COMMIT.test(commit))
    throw new UserError(`${endpoint} does not answer like a hub: it names no commit of ${name}`);
  return { commit, files };
}

async function openRemote(
  kind: Kind,
  name: string,
  revision: string,
  folder: string,
  options: HubOptions,
): Promise<Repository> {
  const connection = connect(kind, name, revision, options);
  const { token, request } = connection;
  const { commit, files } = await listRemote(connection, kind, name, revision, options.signal);
  return {
    name,
    commit,
    files: new Set(files.keys()),
    async fetch(paths) {
      const wanted = paths.map((path) => files.get(path)!);
      const unsafe = wanted.find(({ path, hash }) => !HASH.test(hash) || !isInside(path));
      if (unsafe)
        throw new UserError(`${name} has a file "${unsafe.path}" on the hub, whose name is not safe; refused`);
      await downloadFiles(
        folder,
        commit,
        wanted,
        ({ url, size }, headers) =>
          request(
            url,
            { headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) } },
            // The download counts the bytes itself.
            { deadline: deadlineFor(size), maxBytes: Number.POSITIVE_INFINITY },
          ),
        options,
      );
      if (commit !== revision) {
        const ref = join(folder, "refs", revision);
        await makeFolder(dirname(ref));
        await writeAtomically(ref, (file) => file.writeFile(commit));
      }
      return join(folder, "snapshots", commit);
    },
  };
}

/** Whether a repository's path stays inside its folder, also on Windows. */
function isInside(path: string): boolean {
  return path.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:\0]/.test(part));
}

/** Converts an error response of the hub to an error for the user. */
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
    return new UserError(`there is no ${NAMES[kind]} ${name} at ${endpoint} that is public; ${token}`);
  }
  if (response.status === 404)
    return new UserError(`there is no ${NAMES[kind]} ${name} at ${endpoint}; check its name`);
  const answer = `${endpoint} answers with ${response.status} ${response.statusText}`;
  if (response.status < 500)
    return new UserError(`${answer} when asked for ${what}; try again later`, { code: "network" });
  return new Error(answer);
}
