// What the page keeps and learns from, if its server was started with --teach FOLDER. What is on
// the sheet, and what was read of it, is in draw.js.
"use strict";

let lesson = null; // what /api/teach answered; null where nothing is kept
let keeping = Promise.resolve(); // one picture after the other
let waiting = 0; // for the next look at a network that is being taught

async function askLesson(method = "GET", path = "/api/teach") {
  try {
    const response = await fetch(path, { method, signal: AbortSignal.timeout(30000) });
    const answer = await response.json();
    if (!response.ok) throw new Error(sentence(answer.error));
    showLesson(answer);
  } catch (error) {
    if (method !== "GET" || !lesson) notice(error.message);
    if (lesson) showLesson(lesson);
  }
}

// MNIST's own test digits are not to be learned from: they tell how good a network is.
const teachable = () => Boolean(lesson && reading && picture?.label === undefined);
const inRows = (text) => text.split("/").join(", ");

function forgetSaid() {
  byId("said").value = reading?.text ?? "";
  byId("kept").textContent = "";
}

function showControls() {
  byId("correction").hidden = !lesson;
  for (const control of byId("correction").elements) control.disabled = !teachable();
  for (const button of byId("labels").children) button.disabled ||= !reading.digits.length;
  if (teachable() && byId("said").value !== reading.text) byId("verdict").textContent = "Corrected by you.";
}

// The digit that is chosen, also in the text that is kept.
function correct(digit) {
  let place = 0;
  byId("said").value = byId("said").value.replace(/\d/g, (old) => (place++ === chosen ? digit : old));
  const button = byId("text").querySelectorAll("button")[chosen];
  button.textContent = digit;
  button.classList.remove("doubtful");
  button.setAttribute("aria-label", `${digit}, corrected`);
  keep();
}

function keep() {
  const [about, text] = [reading, byId("said").value.replace(/\s/g, "")];
  showControls();
  keeping = keeping.then(() => send(about, text));
}

// The same picture twice is kept once, so that it does no harm to send it again.
async function send(about, text) {
  try {
    showLesson(await post(`/api/teach/examples?label=${encodeURIComponent(text)}`, about.body));
    notice(remark);
    const digits = text.replace(/\D/g, "").length;
    const unlike = digits > 1 && digits !== about.digits.length;
    const learned = unlike ? ` It is learned from once ${digits} digits are found in it.` : "";
    if (about === reading) byId("kept").textContent = `Kept as ${inRows(text)}.${learned}`;
  } catch (error) {
    notice(error.message);
    if (!error.pause) return;
    await new Promise((resolve) => setTimeout(resolve, error.pause));
    await send(about, text);
  }
}

// A digit corrects the one that is chosen, Enter confirms all of them.
function teachingKey(event) {
  if (!teachable() || !reading.digits.length || modified(event) || event.repeat) return;
  const free = byId("text").contains(event.target) || event.target === document.body;
  if (!/^[0-9]$/.test(event.key) && !(event.key === "Enter" && free)) return;
  event.preventDefault();
  if (event.key === "Enter") keep();
  else correct(Number(event.key));
}

function showLesson(next) {
  const before = lesson ?? next;
  lesson = next;
  const { folder, examples, last, progress, error, report, network, networks } = lesson;
  byId("folder").textContent = `What you confirm or correct is kept in the folder ${folder}: ${counted(examples, "picture")}.`;
  byId("teach").hidden = byId("minimum").hidden = false;
  byId("teach").disabled = progress || examples < 2;
  byId("teach").textContent = progress ? "Teaching …" : "Teach";
  byId("forget").hidden = !last;
  byId("forget").textContent = last ? `Take back ${inRows(last.label)}` : "";
  byId("progress").hidden = !progress;
  // Until the first network is taught nobody knows how far it is.
  if (progress?.[1]) [byId("progress").value, byId("progress").max] = progress;
  else byId("progress").removeAttribute("value");
  byId("networks").hidden = progress || !networks.length;
  byId("network").replaceChildren(...["", ...networks].map((name) => new Option(name || "as it came", name, false, name === network)));
  byId("lesson").textContent = error && sentence(error);
  byId("report").textContent = report;
  showControls();
  clearTimeout(waiting);
  if (progress) waiting = setTimeout(askLesson, 1000);
  if (before.examples > examples) byId("kept").textContent = "Taken back.";
  if (before.network === network) return;
  explained = "";
  showFacts().catch(() => {});
  // What is being typed is not to be lost.
  if (document.activeElement !== byId("said")) ask();
}

function startControls() {
  for (const button of byId("labels").children) button.addEventListener("click", () => correct(Number(button.textContent)));
  byId("correction").addEventListener("submit", (event) => { event.preventDefault(); keep(); });
  // Keys and what is pasted there are not the sheet's.
  for (const kind of ["keydown", "paste"]) byId("said").addEventListener(kind, (event) => event.stopPropagation());
  byId("teach").addEventListener("click", () => askLesson("POST"));
  byId("forget").addEventListener("click", () => askLesson("DELETE", `/api/teach/examples/${lesson.last.file}`));
  byId("network").addEventListener("change", ({ target }) => askLesson("PUT", `/api/teach/network?name=${encodeURIComponent(target.value)}`));
}
