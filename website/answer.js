// Readings as the server answers them (`web/server.py`): `described` for /api/read, `explained` for
// /api/explain.

import { highest, mean, softmax } from "./arithmetic.js";
import { PATCHES, READ, SHOWN } from "./constants.js";
import { CROP, classify, digitsOf, networks, stacked, turned } from "./reader.js";

export function described({ rows, missing, seen, turns = 0 }, { picture, width, height }) {
  const digits = digitsOf(rows);
  const [across, down] = [width / picture.width, height / picture.height];
  const back = (x, y) => {
    const [wide, high] = [picture.width, picture.height];
    const [left, top] = [[x, y], [wide - y, x], [wide - x, high - y], [y, high - x]][turns];
    return [across * left, down * top];
  };
  const boxBack = ([x0, y0, x1, y1]) => {
    const [[ax, ay], [bx, by]] = [back(x0, y0), back(x1, y1)];
    return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
  };
  const whole = (box) => {
    const [x0, y0, x1, y1] = boxBack(box).map(Math.round);
    return [x0, y0, Math.max(x1, x0 + 1), Math.max(y1, y0 + 1)];
  };
  const placed = (place) => {
    const [x, y] = back(place.x, place.y);
    const probabilities = softmax(place.logits).map((p) => place.score * p);
    const size = place.size * Math.max(across, down);
    return { x, y, size, score: place.score, box: boxBack(place.box), probabilities };
  };
  const numbered = ({ digits, signs, signsSure }) => {
    const boxes = digits.map(({ box }) => whole(box));
    const side = (n, choice) => choice(...boxes.map((box) => box[n]));
    const text = digits.map(({ digit }, n) => signs[n] + digit).join("");
    const confidence = digits.reduce((all, digit) => all * digit.confidence, 1);
    const sure = signsSure && digits.every((digit) => digit.sure);
    const box = [side(0, Math.min), side(1, Math.min), side(2, Math.max), side(3, Math.max)];
    return { text, value: valueOf(text), confidence, sure, box };
  };
  const numbers = rows.map((row) => row.map(numbered));
  const shown = seen?.slice(0, SHOWN); // more would only cover each other on the page
  return {
    text: numbers.map((row) => row.map(({ text }) => text).join(" ")).join("/"),
    sure: digits.length > 0 && !missing && digits.every(({ sure }) => sure),
    why: digits.length ? "" : missing || "no digits found", // the page asks it of nothing else
    turns, width, height,
    numbers: numbers.flat(),
    digits: digits.map((digit) => ({ ...digit, box: whole(digit.box), frame: packed(digit.frame) })),
    seen: shown && {
      picture: [width, height],
      looked_at: seen.length,
      none: seen.slice(digits.length).filter(({ score }) => score <= READ).length,
      places: shown.map(placed),
      ink: packed(shown.flatMap(({ ink }) => [...upright(ink, turns)]), 255),
    },
  };
}

// What a number is worth; null where its separators can be read in two ways (`reading/result.py`).
function valueOf(text) {
  const [marks, parts] = [text.match(/[.,']/g) ?? [], text.replace("-", "").split(/[.,']/)];
  const last = marks.at(-1);
  const decimal = last && last !== "'" && !marks.slice(0, -1).includes(last);
  const [thousands, decimals] = decimal ? [parts.slice(0, -1), parts.at(-1)] : [parts, ""];
  const grouped = ([first, ...others]) => first.length <= 3 && others.every((part) => part.length === 3);
  const kinds = new Set(marks.slice(0, thousands.length - 1));
  if (thousands.length > 1 && (kinds.size > 1 || !grouped(thousands))) return null;
  if (marks.length === 1 && decimals && grouped([...thousands, decimals]) && thousands[0] !== "0") return null;
  const worth = Number(`${thousands.join("")}.${decimals || 0}`);
  return text.startsWith("-") ? -worth : worth;
}

// Ink as it lies in the picture before it was turned.
function upright(ink, turns) {
  for (let quarter = turns; quarter % 4; quarter++) {
    ink = turned({ data: ink, width: CROP, height: CROP }).data;
  }
  return ink;
}

// Values as base64, a byte each.
function packed(values, scale = 1) {
  const bytes = Uint8ClampedArray.from(values, (value) => value * scale);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

// What the answer to a frame rests on (`reading/explanation.py`), and the network's feature maps.
export async function explained(frame) {
  const { probabilities, ...stages } = await networks.classifier.run({ frames: stacked([frame]) });
  const digit = highest(probabilities.data);
  const patched = PATCHES.map((patch) => frame.map((value, n) => (patch.includes(n) ? 0 : value)));
  const falls = (await classify(patched)).map((row) => Math.max(probabilities.data[digit] - row[digit], 0));
  const fall = [...frame.keys()].map((n) => mean(falls.filter((_, k) => PATCHES[k].includes(n))));
  const most = Math.max(...fall);
  return {
    digit,
    fall: { most, map: packed(fall, 255 / Math.max(most, 1e-6)) },
    stages: Object.values(stages).map(({ data, dims: [, ...shape] }) => {
      return { shape, maps: packed(data, 255 / Math.max(...data, 1e-6)) };
    }),
  };
}
