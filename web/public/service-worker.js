// Keeps the page's own files, so that it works without a network, and adds the headers that let it use threads where a host does
// not send them. The build puts the lists of files, and so a new name of the cache, in place of the next lines' texts.
const FILES = "__FILES__".split(" ");
const LATER = "__LATER__".split(" ");
const CACHE = `aflora-page-${FILES.join().length}-__VERSION__`;

const isolating = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(FILES))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  const forget = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith("aflora-page-") && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(forget());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(answer(request));
});

/** The page itself comes from the network where there is one, since it may be newer; all else has its contents' hash in its name. */
async function answer(request) {
  const kept = () => caches.open(CACHE).then((cache) => cache.match(request, { ignoreSearch: true }));
  if (request.mode === "navigate") {
    const response = await fetch(request).catch(kept);
    return response ? isolated(response) : Response.error();
  }
  return isolated((await kept()) ?? (await fetched(request)));
}

/** What is large and not every browser's is kept once it was asked for. */
async function fetched(request) {
  const response = await fetch(request);
  if (response.ok && LATER.some((name) => request.url.endsWith(name))) {
    const cache = await caches.open(CACHE);
    // Without room for it the page computes all the same.
    await cache.put(request, response.clone()).catch(() => undefined);
  }
  return response;
}

function isolated(response) {
  if (response.type === "opaqueredirect" || response.type === "error") return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(isolating)) headers.set(name, value);
  const { status, statusText, body } = response;
  return new Response(body, { status, statusText, headers });
}
