import { pathToFileURL } from "node:url";
import { opt, UserError } from "../errors.ts";
import { boundedFetch, deadlineFor, SMALL_ANSWER } from "../files/bounded-fetch.ts";
import { reasonOf } from "./hub-download-node.ts";
import { endpointOf, type HubOptions, isOffline, tokenOf } from "./hub-repository-node.ts";

/** Options of an upload. The token must allow writing. */
export interface UploadOptions extends Pick<HubOptions, "token" | "endpoint" | "timeout" | "signal"> {
  /** Whether everyone may read the repository (default: only its owner). */
  isPublic?: boolean | undefined;
}

/** The result of an upload. */
export interface Uploaded {
  /** Address of the repository. */
  url: string;
  commit: string;
  /** Bytes of large files that were sent. Those that the hub had already are not sent again. */
  bytesSent: number;
}

/** A model repository of the hub that the token may write to. It may be missing until the upload. */
export interface UploadTarget {
  /** Licence that the hub shows for another model; undefined if there is none or it cannot be asked. */
  licenseOf(model: string): Promise<string | undefined>;
  /**
   * Creates the repository if it is missing, and commits files to it: all or none. After an interruption, large files that had
   * arrived are not sent again.
   * @param files local path, or content, of each file by its path in the repository
   * @throws UserError if the hub refuses or the connection fails
   */
  upload(files: ReadonlyMap<string, string | Blob>, message: string): Promise<Uploaded>;
}

/**
 * Prepares an upload to a model repository. Writes nothing.
 * @param name `owner/name`
 * @throws UserError if there is no token, the hub refuses it or cannot be reached, or the repository exists with another visibility
 */
export async function openUpload(name: string, options: UploadOptions = {}): Promise<UploadTarget> {
  const { isPublic = false } = options;
  const endpoint = endpointOf(options);
  const token = tokenOf(options);
  if (isOffline({})) throw new UserError("an upload needs the hub, which HF_HUB_OFFLINE forbids; unset it");
  if (!token) {
    throw new UserError(
      `${endpoint} takes models only from its users: set HF_TOKEN to a token that may write (${endpoint}/settings/tokens)`,
    );
  }
  // Imported here, so that a program that uploads nothing starts without this package.
  const { createRepo, HubApiError, modelInfo, uploadFiles } = await import("@huggingface/hub");
  const url = `${endpoint}/${name}`;
  const sent = { bytes: 0 };
  const access = { hubUrl: endpoint, accessToken: token, fetch: countingFetch(options, sent) };
  const answerTo = async <Answer>(request: Promise<Answer>): Promise<Answer> => {
    try {
      return await request;
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw error instanceof HubApiError ? refusal(error, name, endpoint) : unreachable(endpoint, error);
    }
  };
  const existing = await answerTo(
    modelInfo({ ...access, name }).catch((error: unknown) => {
      if (error instanceof HubApiError && error.statusCode === 404) return undefined;
      throw error;
    }),
  );
  if (existing && existing.private === isPublic) {
    throw new UserError(
      isPublic
        ? `${name} exists and is private; leave out ${opt("public")}, or make it public at ${url}/settings`
        : `${name} exists and is public; give ${opt("public")} to push to it, or choose another name`,
    );
  }
  const repo = { type: "model" as const, name };
  return {
    async licenseOf(model) {
      const { tags = [] } = await modelInfo({ ...access, name: model, additionalFields: ["tags"] }).catch(() => ({
        tags: [] as string[],
      }));
      return tags.find((tag) => tag.startsWith("license:"))?.slice("license:".length);
    },
    async upload(files, message) {
      if (!existing) await answerTo(createRepo({ ...access, repo, visibility: isPublic ? "public" : "private" }));
      const contents = [...files].map(([path, file]) => ({
        path,
        content: typeof file === "string" ? pathToFileURL(file) : file,
      }));
      // Xet, the hub's other protocol, needs a second service, and the tests have none.
      const commitment = { ...access, repo, files: contents, commitTitle: message, useXet: false };
      const committing = uploadFiles({ ...commitment, ...(options.signal && { abortSignal: options.signal }) });
      const { commit } = (await answerTo(committing))!;
      return { url, commit: commit.oid, bytesSent: sent.bytes };
    },
  };
}

/** `fetch` with a limit on the time, by the size of the body. Counts the bytes of large files. */
function countingFetch({ timeout, signal }: UploadOptions, sent: { bytes: number }): typeof fetch {
  return (async (url: string | URL, init: RequestInit = {}) => {
    const { body } = init;
    const size = body instanceof Blob ? body.size : typeof body === "string" ? body.length : 0;
    const deadline = timeout === undefined ? deadlineFor(size) : 1000 * timeout;
    // The answer comes after the whole body is sent.
    const bounds = { silence: deadline, deadline, maxBytes: SMALL_ANSWER.maxBytes };
    const response = await boundedFetch(url, init, { ...bounds, signal: init.signal ?? signal });
    if (init.method === "PUT" && response.ok) sent.bytes += size;
    return response;
  }) as typeof fetch;
}

/** Converts a refusal of the hub to an error for the user. */
function refusal(
  { statusCode, message }: { statusCode: number; message: string },
  name: string,
  endpoint: string,
): UserError {
  if (statusCode === 401) return new UserError(`${endpoint} refuses the token in HF_TOKEN; check that it is valid`);
  if (statusCode === 403) {
    return new UserError(
      `the token in HF_TOKEN may not write to ${name}; give it that right at ${endpoint}/settings/tokens, or choose another owner`,
    );
  }
  const [reason] = message.split(/\. URL: |\n/);
  return new UserError(`${endpoint} refuses ${name} with ${statusCode} (${reason}); run the same command again later`, {
    code: "network",
  });
}

function unreachable(endpoint: string, error: unknown): UserError {
  return new UserError(
    `the connection to ${endpoint} failed (${reasonOf(error)}); run the same command again: large files that arrived are not sent again`,
    { code: "network" },
  );
}
