// Keeps what the page has loaded, so that the next time nothing is. VERSION and FILES are filled in.
const CACHE = "draw-and-see VERSION";
const FILES = [];

addEventListener("install", (event) => event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES))));

addEventListener("activate", (event) => event.waitUntil(tidied().then(() => clients.claim())));

addEventListener("fetch", (event) => event.respondWith(kept(event)));

async function tidied() {
  const old = (await caches.keys()).filter((name) => name.startsWith("draw-and-see") && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function kept(event) {
  const { request } = event;
  const cache = await caches.open(CACHE);
  const found = await cache.match(request, { ignoreSearch: true });
  if (found) return found;
  const response = await fetch(request);
  if (response.ok && request.method === "GET") event.waitUntil(cache.put(request, response.clone()));
  return response;
}
