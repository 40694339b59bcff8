// Points, commas and minus signs, as `reading/separators.py` finds them: specks of ink beside digits.

import { by, highest, softmax } from "./arithmetic.js";
import { MAX_APART, MAX_BEFORE, MAX_SIZE, MAY_BE, MIN_SIZE, SIGNS, SURE } from "./constants.js";

// What stands before digits, by their numbers: {written, doubtful}. `look` gives the logits at places.
export async function findSigns(look, picture, digits, rows) {
  const pairs = rows.flatMap((row) => row.map((n, place) => ({ n, former: digits[row[place - 1]]?.box })));
  const specks = pairs.flatMap(({ n, former }) => {
    const box = speck(picture, former, digits[n].box);
    return box ? [{ n, box, digit: digits[n].box, former }] : [];
  });
  const [written, doubtful] = [new Map(), new Set()];
  const places = specks.map(({ n, box: [x0, y0, x1, y1] }) => {
    return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, size: digits[n].size };
  });
  const logits = specks.length ? await look(places) : [];
  for (const [k, speck] of specks.entries()) {
    const probabilities = softmax(logits[k]);
    const [separator, minus] = SIGNS.map((sign) => probabilities[sign]);
    const [sign, between] = signOf(speck);
    if (sign && ("- ".includes(sign) ? minus : separator) >= SURE) written.set(speck.n, sign);
    else if (sign || Math.max(minus, between * separator) >= MAY_BE) doubtful.add(speck.n);
  }
  return { written, doubtful };
}

// The sign that may be where a speck is, of its size; whether one may be between two digits.
function signOf({ box, digit, former }) {
  const height = digit[3] - digit[1];
  const [wide, high] = [(box[2] - box[0]) / height, (box[3] - box[1]) / height];
  const [top, base] = [(box[1] - digit[1]) / height, (box[3] - digit[1]) / height];
  const [before, after] = [former ? box[0] - former[2] : Infinity, digit[0] - box[2]];
  // Before the first digit of a row only the way to that counts.
  const between = (former ? before : 0) + after + wide * height < MAX_APART * height;
  const middle = (top + base) / 2;
  if (middle > 0.25 && middle < 0.75 && wide > 1.5 * high) {
    // A dash in the middle between two digits is no minus: 24-12.
    return [before > 1.5 * after + 0.1 * height ? "-" : " ", between];
  }
  if (!between || Math.max(wide, high) > 0.6) return ["", between];
  if (middle > 0.7 && middle < 1.3) return [high > Math.max(1.5 * wide, 0.15) || high > 0.25 ? "," : ".", true];
  return [base < 0.5 && former ? "'" : "", true];
}

// The box of the largest speck of ink between two digits, or before one; null if there is none.
function speck(picture, former, digit) {
  const height = digit[3] - digit[1];
  const farthest = digit[0] - MAX_BEFORE * height;
  const left = former ? Math.max((former[0] + former[2]) / 2, farthest - height) : farthest;
  const sides = [left, digit[1] - 0.2 * height, (digit[0] + digit[2]) / 2, digit[3] + 0.4 * height];
  const [x0, y0, right, bottom] = sides.map((side) => Math.trunc(Math.max(side, 0)));
  const [wide, high] = [Math.min(right, picture.width) - x0, Math.min(bottom, picture.height) - y0];
  if (Math.min(wide, high) < 3) return null;
  const grey = new Uint8Array(wide * high).map((_, n) => {
    const pixel = 3 * ((y0 + Math.floor(n / wide)) * picture.width + x0 + (n % wide));
    const [red, green, blue] = picture.data.subarray(pixel, pixel + 3);
    return (9798 * red + 19235 * green + 3735 * blue + 16384) >> 15;
  });
  const [largest, least] = [MAX_SIZE * height, Math.max(MIN_SIZE * height, 2)];
  const specks = components(inkOf(grey), wide, high).filter(({ box: [left, top, right, bottom] }) => {
    const [across, down] = [right - left, bottom - top];
    const inside = left > 0 && top > 0 && right < wide && bottom < high;
    return inside && Math.max(across, 1.3 * down) < largest && Math.max(across, down) >= least;
  });
  const [best] = specks.sort(by(({ area }) => -area));
  return best ? best.box.map((side, n) => side + (n % 2 ? y0 : x0)) : null;
}

// Which pixels are ink: the fewer of those above Otsu's threshold and the others.
function inkOf(grey) {
  const counts = new Array(256).fill(0);
  for (const value of grey) counts[value]++;
  const total = counts.reduce((all, count, value) => all + count * value, 0);
  let [below, weight] = [0, 0];
  const spread = counts.map((count, value) => {
    [below, weight] = [below + count, weight + count * value];
    const above = grey.length - below;
    return below && above ? below * above * (weight / below - (total - weight) / above) ** 2 : 0;
  });
  const threshold = highest(spread);
  const bright = grey.map((value) => Number(value > threshold));
  const light = bright.reduce((count, one) => count + one, 0);
  return 2 * light > grey.length ? bright.map((one) => 1 - one) : bright;
}

// The connected components of ink, with corners joined: {box, area} of each.
function components(ink, wide, high) {
  const found = [];
  const left = ink.slice();
  for (let start = left.indexOf(1); start >= 0; start = left.indexOf(1, start)) {
    const [box, pixels] = [[wide, high, 0, 0], [start]];
    left[start] = 0;
    for (const n of pixels) {
      const [x, y] = [n % wide, Math.floor(n / wide)];
      [box[0], box[1]] = [Math.min(box[0], x), Math.min(box[1], y)];
      [box[2], box[3]] = [Math.max(box[2], x + 1), Math.max(box[3], y + 1)];
      for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, high - 1); row++) {
        for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, wide - 1); column++) {
          const next = row * wide + column;
          if (left[next]) pixels.push(next);
          left[next] = 0;
        }
      }
    }
    found.push({ box, area: pixels.length });
  }
  return found;
}
