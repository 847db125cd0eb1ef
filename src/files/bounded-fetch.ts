/** What a request may take. */
export interface FetchBounds {
  /** Milliseconds without a byte after which the connection counts as broken. */
  silence: number;
  /** Milliseconds for the whole answer. */
  deadline: number;
  /** Bytes of the answer, after it was unpacked. */
  maxBytes: number;
  signal?: AbortSignal | undefined;
}

/** Milliseconds without a byte, unless somebody says otherwise. */
export const SILENCE = 30_000;

/** A small answer, such as a listing's page. */
export const SMALL_ANSWER = { deadline: 60_000, maxBytes: 2 ** 25 };

/** Longest time that a timer can be set to, milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** Milliseconds that a large answer may take: a connection that gives less than 10 kB a second is given up. */
export const deadlineFor = (bytes: number): number => Math.min(60_000 + bytes / 10, LONGEST);

/**
 * `fetch`, of which the answer and its body come to an end: by silence, by the deadline or by too many bytes they fail
 * with an error that says so; by the signal with its reason.
 */
export async function boundedFetch(url: string | URL, init: RequestInit, bounds: FetchBounds): Promise<Response> {
  const { silence, deadline, maxBytes, signal } = bounds;
  const broken = new AbortController();
  const fail = (reason: string) => () => broken.abort(new Error(reason));
  const late = setTimeout(fail(`it takes longer than ${deadline / 1000} seconds`), deadline);
  /** Only while somebody waits: a slow disk is not the server's silence. */
  const unlessSilent = async <Value>(promise: Promise<Value>): Promise<Value> => {
    const quiet = setTimeout(fail(`nothing came for ${silence / 1000} seconds`), silence);
    try {
      return await promise;
    } catch (error) {
      clearTimeout(late);
      throw broken.signal.aborted ? broken.signal.reason : error;
    } finally {
      clearTimeout(quiet);
    }
  };
  const either = signal ? AbortSignal.any([broken.signal, signal]) : broken.signal;
  const response = await unlessSilent(fetch(url, { ...init, signal: either }));
  const reader = response.body?.getReader();
  if (!reader) {
    clearTimeout(late);
    return response;
  }
  let received = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await unlessSilent(reader.read());
        received += value?.length ?? 0;
        if (received > maxBytes) {
          fail(`it sends more than ${maxBytes} bytes`)();
          throw broken.signal.reason;
        }
        if (!done) return controller.enqueue(value);
        clearTimeout(late);
        controller.close();
      },
      cancel(reason) {
        clearTimeout(late);
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  const { status, statusText, headers } = response;
  return Object.defineProperty(new Response(body, { status, statusText, headers }), "url", { value: response.url });
}
