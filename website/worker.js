// Reads pictures beside the page, so that the pen never waits for it.

import { described, explained } from "./answer.js";
import { opened } from "./picture.js";
import { Reader } from "./reader.js";

// The runtime reserves as much memory as there could ever be, 4 GB, which phones refuse.
const PAGES = 256 * 16; // of 64 kB: 256 MiB
const { Memory } = WebAssembly;
WebAssembly.Memory = function (limits) {
  return new Memory({ ...limits, maximum: Math.min(limits.maximum ?? PAGES, PAGES) });
};

const ready = start().catch(({ message }) => {
  throw new Error(`the reader does not start (${message}): close other tabs and load this page again, or open it in another browser`);
});
ready.catch(() => {}).then(() => postMessage({ ready: true })); // or it never will be

onmessage = async ({ data: { id, path, body } }) => {
  try {
    const reader = await ready;
    postMessage({ id, answer: await answered(reader, new URL(path, "http://page"), body) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};

async function answered(reader, { pathname, searchParams }, body) {
  if (pathname === "/api/explain") return explained(reader, new Uint8Array(await body.arrayBuffer()));
  const { picture, width, height } = await opened(body, reader.constants.working_size);
  const reading = await reader.read(picture, searchParams.get("single") === "true");
  return described(reading, picture, width, height, reader.constants);
}

async function start() {
  const constants = await (await fetch("constants.json")).json();
  const files = Object.keys(constants.bytes);
  const all = files.reduce((total, file) => total + constants.bytes[file], 0);
  let loaded = 0;
  const load = async (file) => {
    const response = await fetch(file);
    if (!response.ok) throw new Error(`${file} cannot be loaded: status ${response.status}`);
    const bytes = new Uint8Array(constants.bytes[file]);
    let at = 0;
    for (const stream = response.body.getReader(); ; ) {
      const { done, value } = await stream.read();
      if (done) return bytes;
      bytes.set(value, at);
      at += value.length;
      loaded += value.length;
      postMessage({ loaded, all });
    }
  };
  const [runtime, ort, ...graphs] = await Promise.all([load(files[0]), import("./ort.wasm.bundle.min.mjs"), ...files.slice(1).map(load)]);
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: runtime.buffer });
  const sessions = {};
  for (const [n, name] of ["detect", "look", "classifier"].entries()) {
    sessions[name] = await ort.InferenceSession.create(graphs[n], { executionProviders: ["wasm"] });
  }
  return new Reader(ort, sessions, constants);
}
