import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A repository as the local hub serves it. */
export interface HostedRepository {
  kind: "model" | "dataset";
  name: string;
  files: Record<string, Buffer | string>;
  /** Files that are kept apart, behind a redirect to another host, named by their SHA-256. */
  large?: string[];
  /** Refused without this token; `gated` says so in the hub's way. */
  token?: string;
  gated?: boolean;
  revisions?: string[];
  /** The commit that `files` are, `COMMIT` unless given. */
  commit?: string;
  private?: boolean;
  tags?: string[];
  /** Files of earlier commits. */
  history?: Record<string, HostedRepository["files"]>;
}

export interface Received {
  host: "hub" | "storage";
  path: string;
  headers: IncomingMessage["headers"];
}

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/**
 * A server on 127.0.0.1 that answers as the hub does: information, listings, files, redirects of large files to storage at
 * another port, ranges, and the hub's refusals.
 */
export class LocalHub {
  readonly repositories: HostedRepository[] = [];
  readonly received: Received[] = [];
  /** Bytes after which the next answers of the storage go silent, one each, until their connections are dropped; with 0 at once. */
  breakOff: number[] = [];
  /** The token that may create repositories and write to all of them. */
  writer?: string;
  /** Large files that were sent, by SHA-256, whether or not a commit names them. */
  readonly objects = new Map<string, Buffer>();
  /** Uploads to the storage that succeed before one is dropped. */
  uploadsUntilDrop = Number.POSITIVE_INFINITY;
  private readonly arriving: Promise<unknown>[] = [];
  /** Whether the hub does not answer writers any more. */
  silent = false;
  /** What the storage answers instead of the file, by its path. */
  replaced = new Map<string, Buffer>();
  ignoreRanges = false;
  private readonly hub = createServer((request, answer) => this.answerAsHub(request, answer));
  private readonly storage = createServer((request, answer) => this.answerAsStorage(request, answer));

  async start(): Promise<void> {
    await Promise.all([this.hub, this.storage].map((server) => listen(server)));
  }

  async stop(): Promise<void> {
    await Promise.all([this.hub, this.storage].map((server) => close(server)));
  }

  get endpoint(): string {
    return address(this.hub);
  }

  private answerAsHub(request: IncomingMessage, answer: ServerResponse): unknown {
    const path = decodeURIComponent(request.url!.split("?")[0]!);
    this.received.push({ host: "hub", path, headers: request.headers });
    if (request.method === "POST") return this.answerWriter(request, answer, path);
    if (path === "/api/models") {
      const models = this.repositories.filter(({ kind }) => kind === "model");
      return json(
        answer,
        models.map(({ name }) => ({ id: name })),
      );
    }
    const [, api, kind, name, what, rest] =
      /^\/(api\/)?(models\/|datasets\/)?([^/]+\/[^/]+)\/(revision|tree|resolve)\/(.+)$/.exec(path) ?? [];
    const repository = this.repositories.find(
      (each) => each.name === name && each.kind === (kind === "datasets/" ? "dataset" : "model"),
    );
    // The hub does not tell those without a token what there is.
    if (!repository) return refuse(answer, request.headers.authorization ? 404 : 401, "RepoNotFound");
    const allowed = !repository.token || request.headers.authorization === `Bearer ${repository.token}`;
    if (!allowed && repository.gated && what === "resolve") return refuse(answer, 401, "GatedRepo");
    if (!allowed && !repository.gated) return refuse(answer, 401, "RepoNotFound");
    if (what === "revision") {
      const { commit = COMMIT, revisions = [], history = {} } = repository;
      const known = ["HEAD", "main", commit, ...revisions, ...Object.keys(history)].includes(rest!);
      if (!known) return refuse(answer, 404, "RevisionNotFound");
      const sha = rest! in history ? rest : commit;
      const { private: isPrivate = false, tags = [] } = repository;
      return json(answer, { _id: "1", id: name, sha, private: isPrivate, tags, lastModified: "2024-01-01T00:00:00Z" });
    }
    const [at] = rest!.split("/");
    const files = repository.history?.[at!] ?? repository.files;
    if (api) {
      const isAll = request.url!.includes("recursive=true");
      const listed = Object.entries(files).filter(([file]) => isAll || !file.includes("/"));
      return json(
        answer,
        listed.map(([file, content]) => entryOf(repository, file, content)),
      );
    }
    const file = rest!.slice(rest!.indexOf("/") + 1);
    const content = files[file];
    if (content === undefined) return refuse(answer, 404, "EntryNotFound");
    if (!repository.large?.includes(file)) return answer.end(this.replaced.get(file) ?? content);
    return answer.writeHead(302, { Location: `${address(this.storage)}/${name}/${file}` }).end();
  }

  /** Creates a repository, says which files go to the storage, and commits, as the hub does for one who may write. */
  private async answerWriter(request: IncomingMessage, answer: ServerResponse, path: string): Promise<unknown> {
    const body = (await buffer(request)).toString();
    if (this.silent) return undefined;
    const { authorization } = request.headers;
    if (authorization !== `Bearer ${this.writer}`) return refuse(answer, 403, "Forbidden");
    if (path === "/api/repos/create") {
      const { organization, name, visibility } = JSON.parse(body);
      const files = {};
      this.repositories.push({
        ...{ kind: "model", name: `${organization}/${name}`, files, large: [] },
        ...{ private: visibility === "private", token: authorization.slice("Bearer ".length) },
      });
      return json(answer, { url: `${this.endpoint}/${organization}/${name}` });
    }
    const [, , name, what] =
      /^\/(api\/models\/)?([^/]+\/[^/]+?)(?:\.git)?\/(preupload|info\/lfs\/objects\/batch|commit)/.exec(path)!;
    const repository = this.repositories.find((each) => each.name === name)!;
    if (what === "preupload") {
      const isLarge = (file: string): boolean => /\.(safetensors|onnx)$/.test(file);
      const { files } = JSON.parse(body) as { files: { path: string }[] };
      const modes = files.map((file) => ({ path: file.path, uploadMode: isLarge(file.path) ? "lfs" : "regular" }));
      return json(answer, { files: modes });
    }
    if (what === "commit")
      return json(
        answer,
        this.commit(
          repository,
          body.split("\n").map((line) => JSON.parse(line)),
        ),
      );
    const { objects } = JSON.parse(body) as { objects: { oid: string; size: number }[] };
    const upload = (oid: string) => ({ upload: { href: `${address(this.storage)}/objects/${oid}` } });
    const answers = objects.map(({ oid, size }) => ({
      ...{ oid, size },
      ...(!this.objects.has(oid) && { actions: upload(oid) }),
    }));
    return json(answer, { transfer: "basic", objects: answers });
  }

  private commit(repository: HostedRepository, lines: { key: string; value: Record<string, string> }[]): object {
    for (const { key, value } of lines) {
      if (key === "header") continue;
      const isLarge = key === "lfsFile";
      repository.files[value.path!] = isLarge ? this.objects.get(value.oid!)! : Buffer.from(value.content!, "base64");
      if (isLarge) repository.large!.push(value.path!);
    }
    return { commitOid: COMMIT, commitUrl: `${this.endpoint}/${repository.name}/commit/${COMMIT}` };
  }

  private async takeObject(request: IncomingMessage, answer: ServerResponse): Promise<unknown> {
    if (this.uploadsUntilDrop-- <= 0) {
      // Those before it have arrived when the connection breaks.
      await Promise.all(this.arriving);
      return answer.destroy();
    }
    const arriving = buffer(request);
    this.arriving.push(arriving);
    const bytes = await arriving;
    const oid = createHash("sha256").update(bytes).digest("hex");
    if (!request.url!.endsWith(oid)) return answer.writeHead(400).end();
    this.objects.set(oid, bytes);
    return answer.end();
  }

  private answerAsStorage(request: IncomingMessage, answer: ServerResponse): unknown {
    const path = request.url!;
    this.received.push({ host: "storage", path, headers: request.headers });
    if (request.method === "PUT") return this.takeObject(request, answer);
    const repository = this.repositories.find(({ name }) => path.startsWith(`/${name}/`))!;
    const file = path.slice(repository.name.length + 2);
    const content = this.replaced.get(file) ?? Buffer.from(repository.files[file]!);
    const from = this.ignoreRanges ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (from > 0 && from >= content.length) return answer.writeHead(416).end();
    const part = content.subarray(from);
    answer.writeHead(from ? 206 : 200, {
      "Content-Length": part.length,
      ...(from && { "Content-Range": `bytes ${from}-${content.length - 1}/${content.length}` }),
    });
    const limit = this.breakOff.shift();
    if (limit === undefined) return answer.end(part);
    return limit === 0 ? answer.destroy() : answer.write(part.subarray(0, limit));
  }

  /** Drops the storage's connections: where the client has told of bytes, they have arrived. */
  drop(): void {
    this.storage.closeAllConnections();
  }
}

function entryOf(repository: HostedRepository, path: string, content: Buffer | string) {
  const bytes = Buffer.from(content);
  const git = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  const entry = { type: "file", path, size: bytes.length, oid: git };
  if (!repository.large?.includes(path)) return entry;
  return {
    ...entry,
    lfs: { oid: createHash("sha256").update(bytes).digest("hex"), size: bytes.length, pointerSize: 134 },
  };
}

function json(answer: ServerResponse, value: unknown): void {
  answer.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
}

function refuse(answer: ServerResponse, status: number, code: string): void {
  answer.writeHead(status, { "Content-Type": "application/json", "X-Error-Code": code }).end('{"error":"refused"}');
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
