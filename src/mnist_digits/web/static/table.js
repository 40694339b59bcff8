// The table beside the photo: its cells are marked there, corrected here, and taken as CSV. What else is
// read, and shown, is in draw.js.
"use strict";

let tabled; // the picture whose table is shown or asked for; null if there is none
let grid = []; // its cells by rows: {row, column, read, why, corners, input, box}
let cell = null; // the one that is chosen
let leftOut = []; // what was read at its rim, but seems to be letters

// The table of what was read last, once it is to be seen and the pen rests; `answered` where that is new.
async function readGrid(answered) {
  const body = reading?.body ?? null;
  if (!byId("table").hidden && !body && asking && !answered) {
    tabled = undefined;
    return showGrid(null, "The photo is being read …", true);
  }
  if (byId("table").hidden || growing || body === tabled) return mark();
  tabled = body;
  showGrid(null, body ? "The table is being read …" : "Open a photo of a table, or draw one.", Boolean(body));
  if (!body) return;
  try {
    const told = await request("POST", "/api/table", body);
    if (body === tabled) showGrid(told, "");
  } catch ({ message, pause }) {
    if (body !== tabled) return;
    showGrid(null, message, Boolean(pause));
    if (pause) setTimeout(() => { if (body === tabled) { tabled = undefined; readGrid(); } }, pause);
  }
}

function showGrid(told, words, busy = false) {
  const rows = told?.rows ?? [];
  leftOut = told?.left_out ?? [];
  grid = rows.map((row, r) => row.map((_, c) => newCell(told.cells[r * row.length + c])));
  const heads = rows[0]?.map((_, c) => heading(c + 1, "col")) ?? [];
  const body = grid.map((row, r) => line(heading(r + 1, "row"), ...row.map(({ box }) => box)));
  byId("cells").querySelector("table").replaceChildren(line(document.createElement("td"), ...heads), ...body);
  byId("cells").style.setProperty("--longest", Math.max(2, ...rows.flat().map((text) => text.length)));
  byId("cells").hidden = byId("take").hidden = !told;
  byId("found").textContent = words;
  byId("table").ariaBusy = String(busy);
  if (told) changed();
  chooseCell(told && grid[0][0]);
}

function line(...cells) {
  const row = document.createElement("tr");
  row.append(...cells);
  return row;
}

const heading = (textContent, scope) => Object.assign(document.createElement("th"), { textContent, scope });

function newCell({ row, column, text, why = "", corners }) {
  const [box, input] = ["td", "input"].map((name) => document.createElement(name));
  const one = { row, column, read: text, why, corners, input, box };
  Object.assign(input, { value: text, tabIndex: -1, autocomplete: "off", enterKeyHint: "next" });
  input.addEventListener("focus", () => { chooseCell(one); input.select(); });
  input.addEventListener("input", changed);
  input.addEventListener("keydown", (event) => cellKey(event, one));
  box.append(input);
  return one;
}

const inDoubt = ({ why, read, input }) => (input.value === read ? why : "");

// What cells look like and are called, and the CSV: anew after every change.
function changed() {
  const cells = grid.flat();
  for (const one of cells) {
    const [why, { row, column, read, input, box }] = [inDoubt(one), one];
    box.classList.toggle("doubtful", Boolean(why));
    box.classList.toggle("corrected", input.value !== read);
    box.title = why;
    input.ariaLabel = `Row ${row + 1}, column ${column + 1}${why && `, in doubt: ${why}`}`;
  }
  const [rows, columns] = [counted(grid.length, "row"), counted(grid[0].length, "column")];
  const gone = leftOut.length ? ` Left out as letters: ${leftOut.join(" ")}.` : "";
  byId("found").textContent = `${rows}, ${columns}, ${cells.filter(inDoubt).length || "none"} in doubt.${gone}`;
  byId("csv").href = `data:text/csv;charset=utf-8,${encodeURIComponent(written(",") + "\n")}`;
  byId("copied").textContent = "";
  mark();
}

function chooseCell(one) {
  if (cell) cell.input.tabIndex = -1;
  cell = one;
  if (cell) cell.input.tabIndex = 0;
  mark();
}

// Where the cell is in the photo, and what speaks against it.
function mark() {
  const place = cell && reading && !byId("table").hidden;
  const { x, y, scale } = place ? (picture ? pictureOnSheet() : rasterOnSheet()) : {};
  const points = place ? cell.corners.map(([across, down]) => [x + scale * across, y + scale * down]) : [];
  byId("place").querySelector("polygon").setAttribute("points", points.join(" "));
  const why = cell && inDoubt(cell);
  byId("doubt").textContent = why ? `Row ${cell.row + 1}, column ${cell.column + 1}: ${why}. Enter confirms it.` : "";
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], Enter: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// To the left and right the arrows leave a cell only from its ends; Escape takes back what was typed.
function cellKey(event, one) {
  const { key, isComposing } = event;
  const { row, column, read, input } = one;
  if (isComposing || modified(event)) return;
  if (key === "Enter") one.why = "";
  if (key === "Escape") input.value = read;
  if (key === "Enter" || key === "Escape") changed();
  const within = key === "ArrowLeft" ? input.selectionStart > 0 : key === "ArrowRight" && input.selectionEnd < input.value.length;
  if (within || !STEPS[key]) return;
  event.preventDefault();
  const [down, right] = STEPS[key];
  grid[row + down]?.[column + right]?.input.focus();
}

function written(delimiter) {
  const quoted = (text) => (text.includes(delimiter) || text.includes('"') ? `"${text.replaceAll('"', '""')}"` : text);
  return grid.map((row) => row.map(({ input }) => quoted(input.value)).join(delimiter)).join("\n");
}

// A page that comes from another computer without HTTPS has no clipboard but that of its copy event.
async function copy() {
  const text = written("\t");
  const put = (event) => { event.preventDefault(); event.clipboardData.setData("text/plain", text); };
  document.addEventListener("copy", put, { once: true });
  const copied = document.execCommand("copy") || (await navigator.clipboard?.writeText(text).then(() => true, () => false));
  document.removeEventListener("copy", put);
  byId("copied").textContent = copied ? "Copied." : "This browser does not let the page copy.";
}

function openTab(tab) {
  for (const other of byId("tabs").children) {
    other.ariaSelected = String(other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
  byId("boxes").hidden = tab.id === "table-tab";
  readGrid();
}

function startTable() {
  const tabs = [...byId("tabs").children];
  for (const [n, tab] of tabs.entries()) {
    tab.addEventListener("click", () => openTab(tab));
    tab.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key) || modified(event)) return;
      event.stopPropagation();
      openTab(tabs[1 - n]);
      tabs[1 - n].focus();
    });
  }
  // Keys, and text that is pasted, are not the sheet's here.
  byId("table").addEventListener("keydown", (event) => event.stopPropagation());
  byId("table").addEventListener("paste", (event) => event.clipboardData.files.length || event.stopPropagation());
  byId("answer").role = "tabpanel";
  byId("tabs").hidden = false;
  byId("copy").addEventListener("click", copy);
  addEventListener("read", readGrid);
  new ResizeObserver(mark).observe(byId("paper"));
}

startTable();
