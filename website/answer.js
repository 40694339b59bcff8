// Readings as the server answers them (`web/server.py`): `described` for /api/read, `explained` for
// /api/explain.

import { CROP, SIDE, clamp, highest, mean, softmax, tooWide } from "./reader.js";

export function described({ rows, missing, seen, turns }, picture, width, height, { read, shown }) {
  const digits = rows.flat();
  const text = rows.map((row) => row.map(({ digit }) => digit).join("")).join("/");
  const sure = digits.length > 0 && !missing && digits.every((digit) => digit.sure);
  const back = (x, y) => {
    const [wide, high] = [picture.width, picture.height];
    const [across, down] = [[x, y], [wide - y, x], [wide - x, high - y], [y, high - x]][turns];
    return [(across * width) / wide, (down * height) / high];
  };
  const boxBack = ([x0, y0, x1, y1]) => {
    const [[ax, ay], [bx, by]] = [back(x0, y0), back(x1, y1)];
    return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
  };
  const whole = (box) => {
    const [x0, y0, x1, y1] = boxBack(box).map(Math.round);
    return [x0, y0, Math.max(x1, x0 + 1), Math.max(y1, y0 + 1)];
  };
  return {
    text, sure, turns, width, height,
    why: sure ? "" : why(digits, missing),
    digits: digits.map((digit) => ({ ...digit, box: whole(digit.box), frame: packed(digit.frame) })),
    seen: seen && overview(seen, digits.length, { read, most: shown, back, boxBack, turns, width, height }),
  };
}

function why(digits, missing) {
  const doubtful = digits.filter(({ sure }) => !sure).sort((one, other) => one.confidence - other.confidence);
  if (!doubtful.length) return missing || (digits.length ? "" : "no digits found");
  const [{ digit, confidence, probabilities, box }] = doubtful;
  if (tooWide(box)) return `the ${digit} is wide for one digit`;
  const [first, second] = probabilities.map((_, n) => n).sort((one, other) => probabilities[other] - probabilities[one]);
  return probabilities[second] >= (1 - confidence) / 2 ? `the ${first} could be ${second}` : `the ${first} may be no digit`;
}

// What was looked at; more places than `most` would only cover each other on the page.
function overview(seen, digits, { read, most, back, boxBack, turns, width, height }) {
  const shown = seen.slice(0, most);
  const places = shown.map((place) => {
    const [x, y] = back(place.x, place.y);
    const [x0, y0, x1, y1] = boxBack([place.x - place.size, place.y - place.size, place.x, place.y]);
    const probabilities = softmax(place.logits).map((p) => place.score * p);
    return { x, y, size: Math.max(x1 - x0, y1 - y0), score: place.score, box: boxBack(place.box), probabilities };
  });
  const none = seen.slice(digits).filter(({ score }) => score <= read).length;
  const ink = shown.flatMap((place) => [...upright(place.ink, turns)]);
  return { picture: [width, height], looked_at: seen.length, none, places, ink: packed(ink, 255) };
}

// Ink as it lies in the picture before it was turned.
function upright(ink, turns) {
  const last = CROP - 1;
  const from = [(x, y) => [x, y], (x, y) => [y, last - x], (x, y) => [last - x, last - y], (x, y) => [last - y, x]][turns];
  return ink.map((_, n) => {
    const [x, y] = from(n % CROP, Math.floor(n / CROP));
    return ink[y * CROP + x];
  });
}

// Values as base64, a byte each.
function packed(values, scale = 1) {
  let text = "";
  for (const value of values) text += String.fromCharCode(Math.round(clamp(value * scale, 0, 255)));
  return btoa(text);
}

// What the answer to a frame rests on (`reading/explanation.py`), and the network's feature maps.
export async function explained(reader, frame) {
  const { patch, step } = reader.constants;
  const { probabilities, ...stages } = await reader.classifier.run({ frames: reader.stacked([frame]) });
  const digit = highest([...probabilities.data]);
  const patches = [];
  for (let y = step - patch; y < SIDE; y += step) for (let x = step - patch; x < SIDE; x += step) patches.push([x, y]);
  const within = ([x, y], n) => {
    const [across, down] = [(n % SIDE) - x, Math.floor(n / SIDE) - y];
    return across >= 0 && across < patch && down >= 0 && down < patch;
  };
  const covered = await reader.classify(patches.map((place) => frame.map((value, n) => (within(place, n) ? 0 : value))));
  const falls = covered.map((row) => Math.max(probabilities.data[digit] - row[digit], 0));
  const fall = Array.from(frame, (_, n) => mean(falls.filter((_, k) => within(patches[k], n))));
  const most = Math.max(...fall);
  return {
    digit,
    fall: { most, map: packed(fall, 255 / Math.max(most, 1e-6)) },
    stages: Object.values(stages).map(({ data, dims }) => {
      const strongest = data.reduce((one, other) => Math.max(one, other), 1e-6);
      return { shape: dims.slice(1), maps: packed(data, 255 / strongest) };
    }),
  };
}
