// What the page asks, answered in the browser itself; `server.js` asks a server.
"use strict";

const WHERE = "in this browser";
const facts = async () => (await fetch("model.json")).json();

const asked = new Map(); // what was asked and is not answered yet, by its number
let reader = null; // the worker, once it is started
let questions = 0;

async function post(path, body) {
  reader ??= begin();
  const id = questions++;
  const answer = await new Promise((resolve) => {
    asked.set(id, resolve);
    reader.then((worker) => worker.postMessage({ id, path, body }));
  });
  if (answer.error) throw Object.assign(new Error(sentence(answer.error)), { pause: 0 });
  return answer;
}

async function begin() {
  await offline();
  const worker = new Worker("worker.js", { type: "module" });
  worker.onerror = () => failed("the reader did not start");
  worker.onmessage = ({ data }) => {
    if (data.id !== undefined) {
      asked.get(data.id)(data.answer ?? data);
      asked.delete(data.id);
    } else if (data.failed) failed(data.failed);
    else progress(data);
  };
  return worker;
}

// Once the service worker is there, all that is loaded passes through it, and is kept.
async function offline() {
  try {
    await navigator.serviceWorker.register("service.js");
    await navigator.serviceWorker.ready;
  } catch {} // without one it reads all the same, while there is a network
}

function progress({ loaded, all, ready }) {
  const bar = byId("loading");
  bar.hidden = Boolean(ready);
  if (ready) return notice("");
  bar.max = all;
  bar.value = loaded;
  notice(`The reader is being loaded: ${megabytes(loaded)} of ${megabytes(all)}.`);
}

function failed(reason) {
  byId("loading").hidden = true;
  const error = `${reason}. Close other tabs and load this page again, or open it in another browser`;
  for (const resolve of asked.values()) resolve({ error });
  asked.clear();
}

addEventListener("DOMContentLoaded", () => { reader ??= begin(); });
