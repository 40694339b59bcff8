// What the page asks, asked of the server that it came from.
"use strict";

const WHERE = "on the computer that serves this page";
const facts = () => request("GET", "/api/model");

async function request(method, path, body) {
  let response;
  try {
    response = await fetch(path, { method, body, signal: AbortSignal.timeout(30000) });
  } catch {
    const message = "The server does not answer. What you drew is kept; trying again …";
    throw Object.assign(new Error(message), { pause: 700 });
  }
  const answer = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (response.ok) return answer;
  if (response.status === 503) {
    const pause = 1000 * (Number(response.headers.get("Retry-After")) || 1);
    throw Object.assign(new Error("The server is busy; trying again …"), { pause });
  }
  throw Object.assign(new Error(sentence(answer.error)), { pause: 0 });
}

// The sheet as a PGM file, the simplest that there is: to make and to take apart a PNG would take
// longer than all the rest of the way.
function encoded({ data, width, height }) {
  const head = new TextEncoder().encode(`P5 ${width} ${height} 255\n`);
  const file = new Uint8Array(head.length + width * height);
  file.set(head);
  for (let n = 0; n < width * height; n++) file[head.length + n] = data[4 * n];
  return new Blob([file], { type: "image/x-portable-graymap" });
}
