export interface FetchBounds {
  /** Timeout without data, in milliseconds. */
  silence: number;
  /** Timeout for the whole response, in milliseconds. */
  deadline: number;
  /** Upper limit on the decompressed response, in bytes. */
  maxBytes: number;
  signal?: AbortSignal | undefined;
}

/** Default timeout without data, in milliseconds. */
export const SILENCE = 30_000;

/** Limits of a small response, such as a page of a listing. */
export const SMALL_ANSWER = { deadline: 60_000, maxBytes: 2 ** 25 };

/** Longest delay of a timer, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** Timeout of a large response, in milliseconds. A connection slower than 10 kB/s is given up. */
export const deadlineFor = (bytes: number): number => Math.min(60_000 + bytes / 10, LONGEST);

/**
 * `fetch` with limits on the response and its body. Beyond a limit, both fail with an error that names it; after an
 * abort, with the signal's reason.
 */
export async function boundedFetch(url: string | URL, init: RequestInit, bounds: FetchBounds): Promise<Response> {
  const { silence, deadline, maxBytes, signal } = bounds;
  const broken = new AbortController();
  const fail = (reason: string) => () => broken.abort(new Error(reason));
  const deadlineTimer = setTimeout(fail(`it takes longer than ${deadline / 1000} seconds`), deadline);
  /** Runs only while a read is pending: a slow consumer does not count as a silent server. */
  const withTimeout = async <Value>(promise: Promise<Value>): Promise<Value> => {
    const silenceTimer = setTimeout(fail(`no data arrived for ${silence / 1000} seconds`), silence);
    try {
      return await promise;
    } catch (error) {
      clearTimeout(deadlineTimer);
      throw broken.signal.aborted ? broken.signal.reason : error;
    } finally {
      clearTimeout(silenceTimer);
    }
  };
  const combined = signal ? AbortSignal.any([broken.signal, signal]) : broken.signal;
  const response = await withTimeout(fetch(url, { ...init, signal: combined }));
  const reader = response.body?.getReader();
  if (!reader) {
    clearTimeout(deadlineTimer);
    return response;
  }
  let received = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await withTimeout(reader.read());
        received += value?.length ?? 0;
        if (received > maxBytes) {
          fail(`it sends more than ${maxBytes} bytes`)();
          throw broken.signal.reason;
        }
        if (!done) return controller.enqueue(value);
        clearTimeout(deadlineTimer);
        controller.close();
      },
      cancel(reason) {
        clearTimeout(deadlineTimer);
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  const { status, statusText, headers } = response;
  return Object.defineProperty(new Response(body, { status, statusText, headers }), "url", { value: response.url });
}
