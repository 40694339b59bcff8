// What the page asks, answered in the browser itself; `server.js` asks a server.
"use strict";

const WHERE = "in this browser";
const facts = async () => (await fetch("model.json")).json();
const encoded = (sheet) => sheet;

// The worker, once there is a page to show how much of it is loaded.
let reader = new Promise((resolve) => addEventListener("DOMContentLoaded", resolve)).then(started);

function started() {
  const worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => progress(data);
  const error = "this browser cannot run the reader: open the page in a newer one";
  worker.failed = new Promise((resolve) => { worker.fail = resolve; });
  worker.onerror = () => { worker.fail({ error }); progress({ ready: true, error }); };
  return worker;
}

async function request(_, path, body) {
  const worker = await reader;
  const { port1, port2 } = new MessageChannel();
  const answered = new Promise((resolve) => { port1.onmessage = ({ data }) => resolve(data); });
  worker.postMessage({ path, body }, [port2]);
  const answer = await Promise.race([answered, worker.failed]);
  if (answer.broken && worker === (await reader)) {
    // A runtime that ran out of memory reads nothing more: whoever waits for it is told, and another begins.
    worker.fail(answer);
    worker.terminate();
    reader = Promise.resolve(started());
  }
  if (answer.error) throw Object.assign(new Error(sentence(answer.error)), { pause: 0 });
  return answer;
}

function progress({ loaded, all, ready, error }) {
  const bar = byId("loading");
  bar.hidden = Boolean(ready);
  if (!ready) {
    Object.assign(bar, { max: all, value: loaded });
    return notice(`The reader is being loaded: ${megabytes(loaded)} of ${megabytes(all)}.`);
  }
  notice(error ? sentence(error) : "");
  // Where nothing can be kept, the page reads all the same, while there is a network.
  navigator.serviceWorker?.register("service.js").catch(() => {});
}
