// The sheet, what was read on it, and why. No library; what is asked is asked through `request`.
"use strict";

const byId = (id) => document.getElementById(id);

// Places on the sheet are in thousandths of its width, so that they outlive a change of size.
const WIDTH = 1000;
const HEIGHT = 667;
// What is read has 0.3 pixels a unit, as reading takes time by the pixel, and a margin, so that
// what is written up to the edge of the sheet does not look like the edge of a sheet.
const SCALE = 0.3;
const MARGIN = 40;

// Bytes of a picture that the server takes.
const LARGEST = 20_000_000;

// Milliseconds after a pen was seen for which touches are those of the hand that holds it.
const HAND_RESTS = 3000;

// Between a digit and its box.
const GAP = 4;

const sheet = byId("ink").getContext("2d");
const seenView = byId("seen").getContext("2d");
const raster = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

let strokes = []; // [{points: [{x, y, width}]}], the last one may still be growing
let history = []; // what `strokes` was before each change
let growing = null; // {pointer, stroke, touch}, by the pointer's number and whether it is a finger
let penSeen = -Infinity; // when a pen was last over the sheet
let picture = null; // {blob, single, label} where one is shown instead of the sheet
let reading = null; // what the server answered, with boxes in pixels of the `body` that was sent
let chosen = 0; // which of the digits is looked into
let pen = null; // the point written last, until a digit is chosen by hand

// --- Drawing ------------------------------------------------------------------------------

function fitSheet() {
  const box = byId("ink").getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  sheet.canvas.width = Math.max(1, Math.round(box.width * ratio));
  sheet.canvas.height = Math.max(1, Math.round(box.height * ratio));
  redraw();
}

function redraw() {
  const scale = sheet.canvas.width / WIDTH;
  sheet.setTransform(1, 0, 0, 1, 0, 0);
  sheet.clearRect(0, 0, sheet.canvas.width, sheet.canvas.height);
  sheet.setTransform(scale, 0, 0, scale, 0, 0);
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  sheet.strokeStyle = sheet.fillStyle = ink;
  raster.setTransform(1, 0, 0, 1, 0, 0);
  raster.canvas.width = Math.round((WIDTH + 2 * MARGIN) * SCALE);
  raster.canvas.height = Math.round((HEIGHT + 2 * MARGIN) * SCALE);
  raster.fillStyle = "white";
  raster.fillRect(0, 0, raster.canvas.width, raster.canvas.height);
  raster.setTransform(SCALE, 0, 0, SCALE, MARGIN * SCALE, MARGIN * SCALE);
  raster.strokeStyle = raster.fillStyle = "black";
  for (const stroke of strokes) drawFrom(stroke, 0);
}

// Draws a stroke from one of its points on: curves from the middle of each piece to the middle
// of the next, so that there are no corners.
function drawFrom(stroke, first) {
  const { points } = stroke;
  for (const context of [sheet, raster]) {
    context.lineCap = context.lineJoin = "round";
    for (let n = first; n < points.length; n++) {
      const [here, before] = [points[n], points[Math.max(n - 1, 0)]];
      const start = n > 1 ? middle(points[n - 2], before) : before;
      const end = n > 0 ? middle(before, here) : here;
      context.beginPath();
      context.lineWidth = (before.width + here.width) / 2;
      context.moveTo(start.x, start.y);
      context.quadraticCurveTo(before.x, before.y, end.x, end.y);
      // The piece up to the pen itself: the next point's curve will lie on it. A line of no length
      // would leave no dot.
      if (n === points.length - 1) context.lineTo(here.x + 0.1, here.y);
      context.stroke();
    }
  }
}

const middle = (one, other) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });

function pointsOf(event) {
  const box = byId("ink").getBoundingClientRect();
  const width = Number(byId("width").value);
  const events = event.getCoalescedEvents?.() ?? [];
  return (events.length ? events : [event]).map((e) => ({
    x: ((e.clientX - box.left) / box.width) * WIDTH,
    y: ((e.clientY - box.top) / box.width) * WIDTH,
    width: e.pointerType === "pen" && e.pressure ? width * (0.4 + 1.2 * e.pressure) : width,
  }));
}

function penDown(event) {
  const touch = event.pointerType === "touch";
  if (event.button !== 0 || (touch && event.timeStamp - penSeen < HAND_RESTS)) return;
  if (growing?.touch && event.pointerType === "pen") undo();
  if (growing) return;
  event.preventDefault();
  byId("ink").setPointerCapture(event.pointerId);
  const stroke = { points: pointsOf(event).slice(-1) };
  change([...strokes, stroke]);
  growing = { pointer: event.pointerId, stroke, touch };
}

function penMoves(event) {
  if (event.pointerType === "pen") penSeen = event.timeStamp;
  if (growing?.pointer !== event.pointerId) return;
  const { points } = growing.stroke;
  const first = points.length;
  points.push(...pointsOf(event));
  pen = points.at(-1);
  drawFrom(growing.stroke, first);
  ask();
}

function penUp(event) {
  if (event.pointerType === "pen") penSeen = event.timeStamp;
  if (growing?.pointer !== event.pointerId) return;
  // A touch that the system takes for something else, such as the ball of a hand.
  if (growing.touch && event.type === "pointercancel") return undo();
  growing = null;
  keepSheet();
  ask();
}

function change(next) {
  history.push(strokes);
  strokes = next;
  update();
}

function undo() {
  if (picture) return showPicture(null);
  if (!history.length) return;
  growing = null;
  strokes = history.pop();
  update();
}

function clear() {
  if (picture) return showPicture(null);
  growing = null;
  if (strokes.length) change([]);
}

function update() {
  remark = "";
  keepSheet();
  redraw();
  byId("hint").hidden = Boolean(picture || strokes.length);
  byId("undo").disabled = !picture && !history.length;
  byId("clear").disabled = !picture && !strokes.length;
  byId("undo").hidden = byId("pen").hidden = Boolean(picture);
  byId("clear").textContent = picture ? "Back to the sheet" : "Clear";
  ask();
}

// The sheet outlives a reload, in this tab alone, unless the browser keeps nothing.
const KEPT = "mnist-digits: the sheet";

function keepSheet() {
  try {
    const rounded = (_, value) => (typeof value === "number" ? Number(value.toFixed(1)) : value);
    sessionStorage.setItem(KEPT, JSON.stringify(strokes, rounded));
  } catch {}
}

function restoreSheet() {
  try {
    strokes = JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {}
  history = strokes.map((_, n) => strokes.slice(0, n));
}

// --- Pictures -----------------------------------------------------------------------------

function showPicture(next) {
  if (picture) URL.revokeObjectURL(picture.url);
  picture = next && { ...next, url: URL.createObjectURL(next.blob) };
  const image = byId("picture").querySelector("img");
  byId("picture").hidden = !picture;
  byId("picture").classList.toggle("tiny", Boolean(picture?.single));
  if (picture) image.src = picture.url;
  else image.removeAttribute("src");
  image.alt = picture ? "The picture that is read" : "";
  for (const button of byId("strip").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(picture?.button === button));
  }
  growing = null;
  chosen = 0;
  subject++;
  show(null);
  update();
}

let brought = 0; // how many files, of which only the last one is wanted

// A file is copied at once: once it is removed or changed, or where it is a folder, sending it
// would fail as if there were no server. Of what kind it is, its name may say wrongly.
async function bring({ files, types }) {
  const all = [...files];
  const file = all.find((one) => one.size) ?? all[0];
  if (!file) {
    return say(
      types.includes("text/uri-list")
        ? "This is a link, and nothing is loaded from elsewhere: save the picture, and open the file."
        : "There is no picture in it: only pictures can be read here.",
    );
  }
  if (file.size > LARGEST) return say(`${file.name} has more than ${LARGEST / 1e6} MB: make it smaller.`);
  const number = ++brought;
  byId("answer").ariaBusy = "true";
  try {
    const blob = new Blob([await file.arrayBuffer()]);
    if (number !== brought) return;
    showPicture({ blob, single: false });
    if (all.length > 1) say(`Of ${all.length} files only one is read: ${file.name}.`);
  } catch {
    say(`${file.name} cannot be read: is it a folder?`);
    work(); // no longer busy, unless with something else
  }
}

// Where what is read lies on the page's sheet, and how large a pixel of it is there.
function rasterOnSheet() {
  const unit = byId("ink").clientWidth / WIDTH;
  return { x: -MARGIN * unit, y: -MARGIN * unit, scale: unit / SCALE };
}

function pictureOnSheet() {
  const image = byId("picture").querySelector("img");
  const style = getComputedStyle(image);
  const padding = parseFloat(style.paddingLeft);
  const [wide, high] = [image.clientWidth - 2 * padding, image.clientHeight - 2 * padding];
  const { width, height } = reading;
  const scale = Math.min(wide / width, high / height);
  return { x: padding + (wide - scale * width) / 2, y: padding + (high - scale * height) / 2, scale };
}

// --- Asking -------------------------------------------------------------------------------

// One question at a time; when it is answered, the newest state of the sheet is the next.
let wanted = false;
let asking = false;
let subject = 0; // changes whenever an answer that is on its way is no longer wanted

function ask() {
  wanted = true;
  if (!picture && !strokes.length) {
    subject++;
    show(null);
  }
  work();
}

async function work() {
  if (asking) return;
  asking = true;
  byId("answer").ariaBusy = "true";
  while (wanted || unexplained()) {
    try {
      await (wanted ? read() : explain());
      notice(remark);
    } catch (error) {
      notice(error.message);
      if (error.pause) await new Promise((resolve) => setTimeout(resolve, error.pause));
    }
  }
  asking = false;
  byId("answer").ariaBusy = "false";
}

async function read() {
  wanted = false;
  const asked = question();
  if (!asked) return;
  const about = subject;
  try {
    const shown = Boolean(picture) && !asked.single;
    const answer = await request("POST", `/api/read?details=true&single=${asked.single}&pixels=${shown}`, asked.body);
    if (about === subject) show({ ...answer, body: asked.body });
  } catch (error) {
    if (error.pause) wanted = true;
    else if (about === subject) show(null);
    throw error;
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

// What is to be read now: {body, single}, or null for an empty sheet.
function question() {
  if (picture) return { body: picture.blob, single: picture.single };
  if (!strokes.length) return null;
  const { width, height } = raster.canvas;
  return { body: encoded(raster.getImageData(0, 0, width, height)), single: false };
}

let explained = ""; // the frame that the maps on the page belong to

// Only once the pen rests: while it moves, answers come first.
function unexplained() {
  const digit = reading?.digits[chosen];
  return !growing && Boolean(digit) && digit.frame !== explained;
}

async function explain() {
  const { frame } = reading.digits[chosen];
  let answer;
  try {
    answer = await request("POST", "/api/explain", new Blob([bytes(frame)]));
  } catch (error) {
    // What was refused is not asked again.
    if (!error.pause) explained = frame;
    throw error;
  }
  explained = frame;
  if (reading?.digits[chosen]?.frame !== frame) return;
  drawFall(bytes(frame), answer);
  [0, 1].forEach((stage) => drawStage(stage, answer.stages[stage]));
}

const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

// --- Showing ------------------------------------------------------------------------------

function show(answer) {
  const focused = byId("text").contains(document.activeElement);
  reading = answer;
  if (answer?.seen) answer.seen.ink = bytes(answer.seen.ink);
  if (answer?.pixels) byId("picture").querySelector("img").src = answer.pixels;
  forgetSaid();
  chosen = Math.max(0, Math.min(followed(), (answer?.digits.length ?? 0) - 1));
  showText();
  choose(chosen);
  // The buttons are new ones: who has come here with the keyboard stays here.
  if (focused) (byId("text").querySelectorAll("button")[chosen] ?? byId("text")).focus({ preventScroll: true });
  speak();
  dispatchEvent(new Event("read")); // for what else shows it
}

// The digit that was written last, as long as no other was chosen by hand.
function followed() {
  if (!pen || !reading || picture) return chosen;
  const [x, y] = [(pen.x + MARGIN) * SCALE, (pen.y + MARGIN) * SCALE];
  const found = reading.digits.findIndex(({ box: [x0, y0, x1, y1] }) => {
    return x0 - 5 <= x && x <= x1 + 5 && y0 - 5 <= y && y <= y1 + 5;
  });
  return found < 0 ? chosen : found;
}

function showText() {
  const rows = reading?.text ? reading.text.split("/") : [];
  const longest = Math.max(1, ...rows.map((row) => row.length));
  const size = Math.max(1.5, Math.min(6.5, 27 / longest, 6.5 / Math.max(1, rows.length)));
  byId("text").style.setProperty("--size", `${size}rem`);
  byId("text").classList.toggle("nothing", !rows.length);
  if (!rows.length) {
    byId("text").textContent = reading ? "No digit found" : "Nothing yet";
    return;
  }
  let n = 0;
  byId("text").replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("div");
      line.append(...[...row].map((letter) => (/\d/.test(letter) ? digitButton(n++) : letter)));
      return line;
    }),
  );
}

function digitButton(n) {
  const digit = reading.digits[n];
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("role", "radio");
  button.textContent = digit.digit;
  button.classList.toggle("doubtful", !digit.sure);
  button.setAttribute("aria-label", `${digit.digit}${digit.sure ? "" : ", not sure"}`);
  button.addEventListener("click", () => look(n));
  return button;
}

// What was chosen by hand stays chosen, until the pen goes on.
function look(n) {
  pen = null;
  choose(n);
  work();
}

function choose(n) {
  chosen = n;
  const buttons = [...byId("text").querySelectorAll("button")];
  buttons.forEach((button, place) => {
    button.setAttribute("aria-checked", String(place === n));
    button.tabIndex = place === n ? 0 : -1;
  });
  const digit = reading?.digits[n];
  showVerdict(digit);
  showBars(digit);
  showBoxes();
  drawFrame(digit);
  showControls();
  sketch();
}

function showVerdict(digit) {
  const verdict = byId("verdict");
  const strong = document.createElement("strong");
  if (!digit) {
    verdict.textContent = "";
  } else {
    strong.textContent = reading.sure ? "Sure." : "Not sure.";
    const why = reason(digit);
    verdict.replaceChildren(strong, why && ` ${why}`);
  }
}

function reason(digit) {
  if (picture?.label !== undefined) {
    const right = digit.digit === picture.label;
    return `MNIST’s label is ${picture.label}: the network is ${right ? "right" : "wrong"}.`;
  }
  if (reading.sure) return "";
  if (!digit.sure) {
    const order = digit.probabilities.map((p, n) => [p, n]).sort((a, b) => b[0] - a[0]);
    const [[, first], [likely, second]] = order;
    if (likely >= 0.02) return `This may be a ${first} or a ${second}.`;
    const [x0, y0, x1, y1] = digit.box;
    return x1 - x0 > 2 * (y1 - y0) ? "It is wider than digits are." : `If this is a digit, it is a ${first}.`;
  }
  return reading.digits.every((other) => other.sure)
    ? "There is something that it does not take for a digit."
    : "It is sure of this digit, but not of those marked with “?”.";
}

const percent = (p) => (p > 0.9995 ? ">99.9%" : `${(Math.floor(1000 * p) / 10).toFixed(1)}%`);

function showBars(digit) {
  [...byId("bars").children].forEach((bar, n) => {
    const p = digit?.probabilities[n] ?? 0;
    bar.classList.toggle("best", digit?.digit === n);
    bar.querySelector(".fill").style.transform = `scaleX(${p})`;
    bar.querySelector(".value").textContent = digit ? percent(p) : "";
  });
}

function showBoxes() {
  const found = reading?.digits ?? [];
  if (!found.length) return byId("boxes").replaceChildren();
  const { x, y, scale } = picture ? pictureOnSheet() : rasterOnSheet();
  byId("boxes").replaceChildren(
    ...found.map((digit, n) => {
      const box = document.createElement("div");
      const [x0, y0, x1, y1] = digit.box.map((side) => side * scale);
      box.style.left = `${x + x0 - GAP}px`;
      box.style.top = `${y + y0 - GAP}px`;
      box.style.width = `${x1 - x0 + 2 * GAP}px`;
      box.style.height = `${y1 - y0 + 2 * GAP}px`;
      box.classList.toggle("doubtful", !digit.sure);
      box.classList.toggle("chosen", n === chosen);
      return box;
    }),
  );
}

let speaking = 0;

// Told to screen readers once it has settled, not at every stroke.
function speak() {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    const rows = reading?.text.split("/").map(spelled) ?? [];
    const found = reading?.text ? `${rows.join(", next row ")}. ` : "No digit found";
    byId("spoken").textContent = reading ? found + byId("verdict").textContent : "";
  }, 700);
}

const SIGNS = { ".": "point", ",": "comma", "'": "apostrophe", "-": "minus" };
const spelled = (row) => row.split(" ").map((number) => [...number].map((one) => SIGNS[one] ?? one).join(" ")).join(", ");

function notice(text) {
  if (byId("notice").textContent === text) return;
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

let remark = ""; // of what was brought, until there is something else on the sheet

function say(text) {
  remark = text;
  notice(text);
}

// --- Inside the networks ------------------------------------------------------------------

const GROUND = [18, 17, 15];
const LIGHT = [250, 247, 240];
const GLOW = [255, 106, 61];
const mix = (one, other, share) => one.map((value, n) => value + (other[n] - value) * share);

function paint(canvas, width, height, colour) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [red, green, blue, alpha = 255] = colour(x, y);
      image.data.set([red, green, blue, alpha], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
}

// What was looked at on the whole sheet: places, and the ink of those that are digits.

// Of the digits in their order, over and over; they differ for the colour-blind, too.
const OWN = [[86, 180, 233], [240, 228, 66], [255, 128, 64], [60, 205, 150], [230, 140, 195], [170, 155, 255]];
const NOBODYS = [150, 146, 138];
const SHEET = [30, 28, 25];
// The ink of a place has so many pixels along a side, which is two sizes long.
const CROP = 56;
const crop = document.createElement("canvas");
let sketched = 0;

// Told at once, but drawn only after the frame that shows the answer, which it must not delay.
function sketch() {
  tellSeen(reading?.seen);
  sketched ||= requestAnimationFrame(() => {
    setTimeout(() => {
      sketched = 0;
      drawSeen(reading?.seen);
    });
  });
}

const counted = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

function tellSeen(seen) {
  const digits = counted(reading?.digits.length || "no", "digit");
  let caption = "Each place that may have a digit is looked at. The surer one is, the larger its ring.";
  if (reading) caption = seen ? lookedAt(seen) : "This is one digit already: there is nothing to find.";
  if (reading?.turns) caption += ` To be read it was turned against the clock by ${90 * reading.turns} degrees.`;
  byId("seen-caption").textContent = caption;
  byId("seen").setAttribute("aria-label", `The reader sees ${seen ? digits : "nothing yet"}`);
}

function lookedAt({ looked_at: all, none }) {
  if (!all) return `No place was looked at: ${reading.why}.`;
  const digits = reading.digits.length;
  const passed = all - digits - none;
  const counts = [[digits, counted(digits, "digit")], [none, `${none} judged to be none`], [passed, `${passed} passed over`]];
  const parts = counts.filter(([count]) => count).map(([, words]) => words);
  return `${counted(all, "place")} looked at: ${parts.join(", ")}.`;
}

function drawSeen(seen) {
  const { canvas } = seenView;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (!seen) return;
  const [wide, high] = seen.picture;
  const scale = Math.min(canvas.width / wide, canvas.height / high);
  seenView.translate((canvas.width - scale * wide) / 2, (canvas.height - scale * high) / 2);
  seenView.scale(scale, scale);
  seenView.fillStyle = rgb(SHEET);
  seenView.fillRect(0, 0, wide, high);
  const digits = seen.places.slice(0, reading.digits.length);
  digits.forEach((place, n) => drawInk(place, inkOf(seen, n), OWN[n % OWN.length]));
  seen.places.forEach((place, n) => drawRing(place, n < digits.length, n === chosen, ratio / scale));
}

const rgb = (colour) => `rgb(${colour.join(" ")})`;
const inkOf = (seen, n) => seen.ink.subarray(n * CROP ** 2, (n + 1) * CROP ** 2);

function drawInk({ x, y, size }, ink, colour) {
  paint(crop, CROP, CROP, (across, down) => [...colour, ink[CROP * down + across]]);
  seenView.drawImage(crop, x - size, y - size, 2 * size, 2 * size);
}

// The surer, the larger; but no ring hides what is small.
function drawRing({ x, y, size, score }, digit, looked, unit) {
  const most = Math.min(unit, size / 28);
  seenView.beginPath();
  seenView.arc(x, y, (2 + 5 * score) * most, 0, 2 * Math.PI);
  seenView.fillStyle = digit && looked ? "white" : rgb(GROUND);
  seenView.strokeStyle = digit ? "white" : rgb(NOBODYS);
  seenView.lineWidth = 1.75 * most;
  seenView.fill();
  seenView.stroke();
}

const shade = (value) => mix(GROUND, LIGHT, value / 255);

// The ink as it was seen, or the frame itself, where nothing had to be found.
function drawFrame(digit) {
  const place = digit && reading.seen?.places[chosen];
  const [side, pixels] = place ? [CROP, inkOf(reading.seen, chosen)] : [28, bytes(digit?.frame ?? "")];
  paint(byId("frame"), side, side, (x, y) => shade(pixels[side * y + x] ?? 0));
  const most = Math.max(...(place?.probabilities ?? []));
  const alone = place && `: this look alone says ${place.probabilities.indexOf(most)}, ${percent(most)}`;
  byId("frame-caption").textContent =
    digit && !place ? "The digit in 28 × 28 pixels, as in MNIST." : `Its ink in a square of twice its size${alone ?? ""}.`;
  if (digit) return;
  explained = "";
  for (const id of ["fall", "stage-0", "stage-1"]) paint(byId(id), 1, 1, () => GROUND);
  byId("fall-caption").textContent = "Where covering a part makes it less certain.";
}

function drawFall(pixels, { digit, fall }) {
  const map = bytes(fall.map);
  // A fall of a hundredth is drawn faintly, not as brightly as one of a half.
  const strength = Math.min(1, fall.most * 4);
  paint(byId("fall"), 28, 28, (x, y) => {
    const n = 28 * y + x;
    return mix(mix(GROUND, LIGHT, (0.45 * pixels[n]) / 255), GLOW, (0.9 * strength * map[n]) / 255);
  });
  byId("fall-caption").textContent =
    fall.most < 0.02
      ? `No part decides: whichever is covered, it stays a ${digit}.`
      : `With the bright part covered, ${digit} loses up to ${Math.round(100 * fall.most)} points of a hundred.`;
}

function drawStage(stage, features) {
  const canvas = byId(`stage-${stage}`);
  const caption = byId(`stage-${stage}-caption`);
  if (!features) {
    paint(canvas, 1, 1, () => GROUND);
    caption.textContent = "This model does not show what goes on inside.";
    return;
  }
  const [count, height, width] = features.shape;
  const maps = bytes(features.maps);
  const columns = Math.ceil(Math.sqrt(count));
  const [across, down] = [width + 1, height + 1];
  paint(canvas, columns * across + 1, columns * down + 1, (x, y) => {
    const [column, row] = [Math.floor((x - 1) / across), Math.floor((y - 1) / down)];
    const [left, top] = [x - 1 - column * across, y - 1 - row * down];
    const n = row * columns + column;
    if (x < 1 || y < 1 || left >= width || top >= height || n >= count) return GROUND;
    return shade(20 + 235 * Math.sqrt(maps[(n * height + top) * width + left] / 255));
  });
  caption.textContent = `${stage ? "Parts of digits" : "Strokes and edges"}: ${count} maps of ${height}\u00a0×\u00a0${width}.`;
}

// --- Samples, and what the model is -------------------------------------------------------

async function showSamples() {
  const samples = await (await fetch("samples.json")).json();
  const groups = [samples.filter((s) => s.answer === s.label), samples.filter((s) => s.answer !== s.label)];
  byId("strip").replaceChildren(
    ...groups.map((group) => {
      const row = document.createElement("div");
      row.className = "group";
      row.style.setProperty("--count", group.length);
      row.append(...group.map(sampleButton));
      return row;
    }),
  );
  byId("samples").hidden = !samples.length;
}

function sampleButton({ index, label, pixels }) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", `Test digit ${index}, a ${label}`);
  button.setAttribute("aria-pressed", "false");
  const canvas = document.createElement("canvas");
  const frame = bytes(pixels);
  paint(canvas, 28, 28, (x, y) => Array(3).fill(frame[28 * y + x]));
  const caption = document.createElement("span");
  caption.textContent = label;
  button.append(canvas, caption);
  button.addEventListener("click", () => {
    canvas.toBlob((blob) => showPicture({ blob, single: true, label, button }));
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    byId("desk").scrollIntoView({ behavior, block: "nearest" });
  });
  return button;
}

const megabytes = (size) => `${(size / 1e6).toFixed(1)} MB`;

async function showFacts() {
  const { recipe, result, bytes: size, detector_bytes: detector, teach } = await facts();
  if (teach && !lesson) seeLesson().catch((error) => notice(error.message));
  // Of a network that was exported before it was measured there is none.
  const accuracy = result?.test_accuracy;
  const right = accuracy && `, ${(100 * accuracy).toFixed(2)}% of MNIST’s 10,000 test digits right`;
  byId("facts").textContent =
    `The network that names digits: recipe ${recipe.name}, ${megabytes(size)}${right ?? ""}; ` +
    `those that find them: ${megabytes(detector)}. ` +
    `All run ${WHERE}; nothing leaves it.`;
}

// --- Events -------------------------------------------------------------------------------

// Such keys are the browser's own: Alt and an arrow goes back.
const modified = (event) => event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;

function keyPressed(event) {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
  } else if (event.key === "Escape") {
    clear();
  } else if (event.key.startsWith("Arrow") && event.target.type !== "range" && !modified(event)) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const buttons = byId("text").querySelectorAll("button");
    const inText = byId("text").contains(event.target);
    // Up and down scroll the page, unless a digit has the focus.
    if (!buttons.length || (!inText && event.key.match(/Up|Down/))) return;
    event.preventDefault();
    look((chosen + step + buttons.length) % buttons.length);
    if (inText) buttons[chosen].focus();
  } else {
    teachingKey(event);
  }
}

function pictureClicked(event) {
  if (!reading?.digits.length) return;
  const box = byId("picture").getBoundingClientRect();
  const { x, y, scale } = pictureOnSheet();
  const [across, down] = [(event.clientX - box.left - x) / scale, (event.clientY - box.top - y) / scale];
  const hit = reading.digits.findIndex(({ box: [x0, y0, x1, y1] }) => x0 <= across && across <= x1 && y0 <= down && down <= y1);
  if (hit >= 0) look(hit);
}

function start() {
  for (let digit = 0; digit < 10; digit++) {
    const bar = document.createElement("li");
    bar.innerHTML = `<span>${digit}</span><span class="track"><span class="fill"></span></span><span class="value"></span>`;
    byId("bars").append(bar);
  }
  const [ink, paper] = [byId("ink"), byId("paper")];
  ink.addEventListener("pointerdown", penDown);
  ink.addEventListener("pointermove", penMoves);
  for (const end of ["pointerup", "pointercancel"]) ink.addEventListener(end, penUp);
  byId("undo").addEventListener("click", undo);
  byId("clear").addEventListener("click", clear);
  byId("open").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", (event) => { bring(event.target); event.target.value = ""; });
  byId("picture").addEventListener("click", pictureClicked);
  const image = byId("picture").querySelector("img");
  // What this browser cannot show is seen once it is read.
  for (const kind of ["load", "error"]) {
    image.addEventListener(kind, () => image.classList.toggle("unseen", kind === "error"));
  }
  document.addEventListener("keydown", keyPressed);
  document.addEventListener("paste", (event) => bring(event.clipboardData));
  document.addEventListener("dragover", (event) => { event.preventDefault(); paper.classList.add("dropping"); });
  document.addEventListener("dragleave", () => paper.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    paper.classList.remove("dropping");
    bring(event.dataTransfer);
  });
  new ResizeObserver(() => { fitSheet(); showBoxes(); sketch(); }).observe(paper);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  startControls();
  restoreSheet();
  fitSheet();
  show(null);
  update();
  showSamples().catch(() => {});
  showFacts().catch(() => {});
}

start();
