// Keeps all of the site, so that the next time nothing is loaded. VERSION and FILES are filled in.
const CACHE = `${registration.scope} VERSION`;
const FILES = [];

// Of what the page has just loaded the browser asks only whether it has changed.
const install = async () =>
  (await caches.open(CACHE)).addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));

async function tidy() {
  const own = (await caches.keys()).filter((name) => name.startsWith(`${registration.scope} `));
  await Promise.all(own.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

const kept = async (request) =>
  (await caches.match(request, { cacheName: CACHE, ignoreSearch: true })) ?? fetch(request);

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(tidy()));
addEventListener("fetch", (event) => event.respondWith(kept(event.request)));
