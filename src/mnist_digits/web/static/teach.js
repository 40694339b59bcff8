// What the page keeps and learns from, if its server was started with --teach FOLDER. What is on
// the sheet, and what was read of it, is in draw.js.
"use strict";

let lesson = null; // what /api/teach answered; null where nothing is kept
let doing = Promise.resolve(); // one thing after the other

// Whether it was done. A server that does not answer is asked again: to keep or take back the same
// picture twice does no harm.
function teacher(method, path, body) {
  doing = doing.then(() => untilDone(method, path, body));
  return doing;
}

async function untilDone(method, path, body) {
  try {
    await request(method, `/api/teach${path}`, body);
    await seeLesson();
    notice(remark);
    return true;
  } catch (error) {
    notice(error.message);
    seeLesson().catch(() => {});
    if (!error.pause) return false;
    await new Promise((resolve) => setTimeout(resolve, error.pause));
    return untilDone(method, path, body);
  }
}

// MNIST's own test digits are not to be learned from: they tell how good a network is.
const teachable = () => Boolean(lesson && reading && picture?.label === undefined);

// What was read, as far as it is learned from: digits in rows, without signs.
const digitsRead = () => reading?.text.replace(/[^\d/ ]/g, "") ?? "";

function forgetSaid() {
  byId("said").value = digitsRead();
  byId("kept").textContent = "";
}

function showControls() {
  byId("correction").hidden = !lesson;
  for (const control of byId("correction").elements) control.disabled = !teachable();
  for (const button of byId("labels").children) button.disabled ||= !reading.digits.length;
  if (teachable() && byId("said").value !== digitsRead()) byId("verdict").textContent = "Corrected by you.";
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

async function keep() {
  const [about, text] = [reading, byId("said").value.replace(/\s/g, "")];
  showControls();
  const kept = await teacher("POST", `/examples?label=${encodeURIComponent(text)}`, about.body);
  if (kept && about === reading) byId("kept").textContent = `Kept as ${text.replaceAll("/", ", ")}.`;
}

async function takeBack() {
  if (await teacher("DELETE", `/examples/${lesson.last.file}`)) byId("kept").textContent = "Taken back.";
}

// A digit corrects the one that is chosen, Enter confirms all of them.
function teachingKey(event) {
  if (!teachable() || byId("answer").hidden || !reading.digits.length || modified(event) || event.repeat) return;
  const free = byId("text").contains(event.target) || event.target === document.body;
  if (!/^[0-9]$/.test(event.key) && !(event.key === "Enter" && free)) return;
  event.preventDefault();
  if (event.key === "Enter") keep();
  else correct(Number(event.key));
}

async function seeLesson() {
  const before = lesson;
  lesson = await request("GET", "/api/teach");
  const { folder, examples, last, progress, error, report, network, networks } = lesson;
  byId("folder").textContent = `What you confirm or correct is kept in the folder ${folder}: ${counted(examples, "picture")}.`;
  byId("school").hidden = false;
  byId("teach").disabled = progress || examples < 2;
  // Until the first network is taught nobody knows how many there will be.
  const done = progress?.[1] ? ` ${progress.join(" of ")}` : "";
  byId("teach").textContent = progress ? `Teaching …${done}` : "Teach";
  byId("forget").hidden = !last;
  byId("forget").textContent = last && `Take back ${last.label.replaceAll("/", ", ")}`;
  byId("networks").hidden = progress || !networks.length;
  byId("network").replaceChildren(...["", ...networks].map((name) => new Option(name || "as it came", name, false, name === network)));
  byId("lesson").textContent = error && sentence(error);
  byId("report").textContent = report;
  showControls();
  if (!before || before.network === network) return;
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
  byId("teach").addEventListener("click", () => teacher("POST", ""));
  byId("forget").addEventListener("click", takeBack);
  byId("network").addEventListener("change", ({ target }) => teacher("PUT", `/network?name=${encodeURIComponent(target.value)}`));
  setInterval(() => lesson?.progress && seeLesson().catch(() => {}), 1000);
}
