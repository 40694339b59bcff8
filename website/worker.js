// Reads pictures beside the page, so that the pen never waits for it.

import { described, explained } from "./answer.js";
import { BYTES } from "./constants.js";
import { InferenceSession, env } from "./ort.wasm.bundle.min.mjs";
import { opened } from "./picture.js";
import { networks, read } from "./reader.js";
import { tabled } from "./tables.js";

// The runtime reserves as much memory as there could ever be, 4 GB, which phones refuse.
const PAGES = 256 * 16; // of 64 kB: 256 MiB
WebAssembly.Memory = class extends WebAssembly.Memory {
  constructor(limits) {
    super({ ...limits, maximum: PAGES });
  }
};

const started = start();
started.then(() => postMessage({ ready: true }), ({ message: error }) => postMessage({ ready: true, error }));

onmessage = async ({ data: { path, body }, ports: [port] }) => {
  try {
    await started;
  } catch ({ message: error }) {
    return port.postMessage({ error });
  }
  try {
    port.postMessage(path === "/api/explain" ? await explain(body) : await describe(path, body));
  } catch ({ message }) {
    const broken = /OrtRun|memory/i.test(message);
    const error = broken ? `the browser gave too little memory (${message}): try a smaller picture` : message;
    port.postMessage({ error, broken });
  }
};

const explain = async (frame) => explained(new Uint8Array(await frame.arrayBuffer()));

async function describe(path, source) {
  const file = await opened(source);
  if (path === "/api/table") return tabled(file);
  return described(await read(file.picture, path.includes("single=true")), file);
}

async function start() {
  const files = Object.keys(BYTES);
  const all = files.reduce((total, file) => total + BYTES[file], 0);
  const stop = new AbortController();
  let loaded = 0;
  const load = async (file) => {
    const response = await fetch(file, { signal: stop.signal });
    if (!response.ok) throw new Error(`${file} cannot be loaded: status ${response.status}`);
    const counted = new TransformStream({
      transform(part, stream) {
        loaded += part.length;
        postMessage({ loaded, all });
        stream.enqueue(part);
      },
    });
    return new Response(response.body.pipeThrough(counted)).arrayBuffer();
  };
  try {
    const [runtime, ...graphs] = await Promise.all(files.map(load));
    Object.assign(env.wasm, { numThreads: 1, wasmBinary: runtime });
    for (const [n, name] of ["detect", "look", "classifier"].entries()) {
      networks[name] = await InferenceSession.create(graphs[n], { executionProviders: ["wasm"], enableCpuMemArena: false, enableMemPattern: false });
    }
  } catch ({ message }) {
    stop.abort();
    const remedy = "close other tabs and load this page again, or open it in another browser";
    throw new Error(`the reader does not start (${message}): ${remedy}`);
  }
}
