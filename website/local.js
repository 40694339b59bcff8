// What the page asks, answered in the browser itself; `server.js` asks a server.
"use strict";

const WHERE = "in this browser";
const facts = async () => (await fetch("model.json")).json();

const asked = new Map(); // what was asked and is not answered yet, by its number
let questions = 0;
let reader = null; // the worker, once it is started

async function request(_, path, body) {
  const worker = await (reader ??= begin());
  const id = questions++;
  const answer = await new Promise((resolve) => {
    asked.set(id, resolve);
    worker.postMessage({ id, path, body });
  });
  if (answer.error) throw Object.assign(new Error(sentence(answer.error)), { pause: 0 });
  return answer;
}

async function begin() {
  await offline();
  const worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => {
    if (data.id === undefined) return progress(data);
    asked.get(data.id)(data.answer ?? data);
    asked.delete(data.id);
  };
  worker.onerror = () => {
    for (const resolve of asked.values()) resolve({ error: "this browser is too old to read: open the page in another one" });
    asked.clear();
  };
  return worker;
}

// Once the service worker is there, all that is loaded passes through it, and is kept. Without one
// the page reads all the same, while there is a network.
async function offline() {
  try {
    await navigator.serviceWorker.register("service.js");
    const patience = new Promise((resolve) => setTimeout(resolve, 3000)); // where it fails, it is never ready
    await Promise.race([navigator.serviceWorker.ready, patience]);
  } catch {}
}

function progress({ loaded, all, ready }) {
  const bar = byId("loading");
  bar.hidden = Boolean(ready);
  if (ready) return notice("");
  bar.max = all;
  bar.value = loaded;
  notice(`The reader is being loaded: ${megabytes(loaded)} of ${megabytes(all)}.`);
}

addEventListener("DOMContentLoaded", () => { reader ??= begin(); });
