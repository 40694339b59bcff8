// What the page keeps and learns from, if its server was started with --teach FOLDER. What is on
// the sheet, and what was read of it, is in draw.js.
"use strict";

let lesson = null; // what /api/teach answered; null where nothing is kept
let said = {}; // the digits of this reading that were corrected, by their place
let keeping = Promise.resolve(); // one picture after the other

async function startTeaching(enabled) {
  if (enabled) await askLesson();
  else byId("folder").textContent = "Nothing that you draw is kept once this tab is closed.";
}

async function askLesson(method = "GET", path = "/api/teach") {
  try {
    const response = await fetch(path, { method, signal: AbortSignal.timeout(30000) });
    const answer = await response.json();
    if (!response.ok) throw new Error(sentence(answer.error));
    showLesson(answer);
  } catch (error) {
    if (method !== "GET" || !lesson) notice(error.message);
  }
  // Also when the server has gone away, as it may come back.
  if (method === "GET" && lesson?.state === "teaching") setTimeout(askLesson, 1000);
}

// --- Confirming and correcting ------------------------------------------------------------

// MNIST's own test digits are not to be learned from: they tell how good a network is.
const teachable = () => Boolean(lesson && reading?.digits.length && picture?.label === undefined);

function forgetSaid() {
  said = {};
  byId("kept").textContent = "";
}

function showControls() {
  byId("correction").hidden = !lesson;
  for (const button of byId("correction").querySelectorAll("button")) button.disabled = !teachable();
  byId("or").textContent = reading?.digits.length > 1 ? "or the underlined digit is" : "or it is";
  [...byId("labels").children].forEach((button, digit) => {
    button.setAttribute("aria-pressed", String(said[chosen] === digit));
  });
  if (Object.keys(said).length) byId("verdict").textContent = "Corrected by you.";
}

function correct(digit) {
  said[chosen] = digit;
  const button = byId("text").querySelectorAll("button")[chosen];
  button.textContent = digit;
  button.classList.remove("doubtful");
  button.setAttribute("aria-label", `${digit}, corrected`);
  showControls();
  keep();
}

// The text that was read, with what was corrected.
function label() {
  let place = 0;
  return reading.text.replace(/\d/g, (digit) => said[place++] ?? digit);
}

function keep() {
  const [about, text] = [reading, label()];
  keeping = keeping.then(() => send(about, text));
}

// The same picture twice is kept once, so that it does no harm to send it again.
async function send(about, text) {
  for (;;) {
    try {
      const answer = await post(`/api/teach/examples?label=${text}`, about.body);
      notice(remark);
      showLesson({ ...lesson, examples: answer.examples });
      if (about === reading) byId("kept").textContent = `Kept as ${text.split("/").join(", ")}.`;
      return;
    } catch (error) {
      notice(error.message);
      if (!error.pause) return;
      await new Promise((resolve) => setTimeout(resolve, error.pause));
    }
  }
}

// A digit corrects the one that is chosen, Enter confirms all of them.
function teachingKey(event) {
  if (!teachable() || modified(event) || event.repeat) return;
  const inText = byId("text").contains(event.target);
  if (/^[0-9]$/.test(event.key)) {
    event.preventDefault();
    correct(Number(event.key));
  } else if (event.key === "Enter" && (inText || event.target === document.body)) {
    event.preventDefault();
    keep();
  }
}

// --- Teaching -----------------------------------------------------------------------------

function showLesson(next) {
  const before = lesson;
  lesson = next;
  const { folder, examples, state, progress } = lesson;
  const pictures = `${examples} picture${examples === 1 ? "" : "s"}`;
  byId("folder").textContent = `What you confirm or correct is kept in the folder ${folder}: ${pictures}.`;
  const going = state === "teaching";
  byId("teach").hidden = false;
  byId("teach").disabled = going || examples < 2;
  byId("teach").textContent = going ? "Teaching …" : "Teach";
  showProgress(going ? progress : null);
  byId("back").hidden = !lesson.before || going;
  byId("lesson").textContent = going ? "" : told(lesson);
  showControls();
  if (before && before.network !== lesson.network) newNetwork();
}

// Until the first network is taught nobody knows how far it is.
function showProgress(progress) {
  byId("progress").hidden = !progress;
  if (progress?.[1]) [byId("progress").value, byId("progress").max] = progress;
  else byId("progress").removeAttribute("value");
}

function newNetwork() {
  explained = "";
  showFacts().catch(() => {});
  ask();
}

function told({ error, notice: remark, report, examples }) {
  const sentences = [remark && `${sentence(remark)} The network that the page was started with reads.`];
  if (error) sentences.push(sentence(error), "The network is the same as before.");
  else if (report) sentences.push(...compared(report));
  else if (examples < 2) sentences.push("With two and more, the network can be taught your hand.");
  else sentences.push("Teach the network with them: it takes a minute or two.");
  return sentences.filter(Boolean).join(" ");
}

const share = ({ right, accuracy }) => `${right} (${Math.round(100 * accuracy)}%)`;

function compared({ verdict, used, pictures, left_out: left, before, after, test_errors_before: was, test_errors: is, test_images: all }) {
  const sentences = [
    {
      better: "The taught network reads your hand better, and is in use.",
      worse: "The taught network reads your hand worse, and is not used.",
      unclear: "The taught network is in use; whether it reads your hand better is not clear.",
      unknown: "The taught network is in use; with ten pictures and more it is measured how much that helps.",
    }[verdict],
  ];
  // After teaching, each picture is read by a network that was taught with the others.
  if (after) sentences.push(`Of ${pictures} pictures it read ${share(before)} right before, and ${share(after)} after, each without having been taught it.`);
  else sentences.push(`Of ${pictures} pictures ${share(before)} were read right before.`);
  sentences.push(`MNIST’s ${all.toLocaleString("en")} test digits: ${was} wrong before, ${is} after.`);
  if (left) sentences.push(`${left} could not be learned from.`);
  return used || verdict === "worse" ? sentences : [];
}

// --- Events -------------------------------------------------------------------------------

function startControls() {
  byId("labels").replaceChildren(
    ...Array.from({ length: 10 }, (_, digit) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = digit;
      button.setAttribute("aria-keyshortcuts", String(digit));
      button.addEventListener("click", () => correct(digit));
      return button;
    }),
  );
  byId("right").addEventListener("click", keep);
  byId("teach").addEventListener("click", async () => {
    await askLesson("POST");
    askLesson();
  });
  byId("back").addEventListener("click", () => askLesson("DELETE", "/api/teach/network"));
}
