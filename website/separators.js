// Points, commas and minus signs, as `reading/separators.py` finds them: specks of ink beside digits.

import { by, highest, mean, range, softmax } from "./arithmetic.js";
import { HALFWAY, MARGIN, MAX_APART, MAX_BEFORE, MAX_REACH, MAX_SIZE, MAY_BE } from "./constants.js";
import { MIN_DASH, MIN_INK, MIN_SIZE, SIGNS, SURE } from "./constants.js";
import { luminance } from "./picture.js";

// What stands before digits, by their numbers: {written, doubtful}. `look` gives the logits at places.
export async function findSigns(look, picture, digits, rows) {
  const pairs = rows.flatMap((row) => row.map((n, place) => ({ n, former: digits[row[place - 1]]?.box })));
  const specks = pairs.flatMap(({ n, former }) => {
    const found = speck(picture, former, digits[n].box);
    return found ? [{ n, ...found, digit: digits[n].box, former }] : [];
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
    if (sign && speck.dark && ("- ".includes(sign) ? minus : separator) >= SURE) written.set(speck.n, sign);
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
  if (middle > HALFWAY[0] && middle < HALFWAY[1] && wide > 1.5 * high) {
    if (after > MAX_BEFORE * height) return ["", between];
    // A dash in the middle between two digits is no minus: 24-12.
    return [before > 1.5 * after + 0.1 * height ? "-" : " ", between];
  }
  if (!between || Math.max(wide, high) > 0.6) return ["", between];
  if (middle > 0.7 && middle < 1.3) return [high > Math.max(1.5 * wide, 0.15) || high > 0.25 ? "," : ".", true];
  return [base < 0.5 && former ? "'" : "", true];
}

// The {box} of a dash between two digits or before one, else of the largest speck, and whether it is as {dark}
// as ink; null if there is none.
function speck(picture, former, digit) {
  const height = digit[3] - digit[1];
  const farthest = digit[0] - MAX_REACH * height;
  const left = former ? Math.max((former[0] + former[2]) / 2, farthest) : farthest;
  const sides = [left, digit[1] - 0.2 * height, (digit[0] + digit[2]) / 2, digit[3] + 0.4 * height];
  const [x0, y0, right, bottom] = sides.map((side) => Math.trunc(Math.max(side, 0)));
  const [wide, high] = [Math.min(right, picture.width) - x0, Math.min(bottom, picture.height) - y0];
  if (Math.min(wide, high) < 3) return null;
  const grey = new Uint8Array(wide * high).map((_, n) => {
    return luminance(picture.data, 3 * ((y0 + Math.floor(n / wide)) * picture.width + x0 + (n % wide)));
  });
  const ink = inkOf(grey);
  const [largest, least] = [MAX_SIZE * height, Math.max(MIN_SIZE * height, 2)];
  const specks = pieces(ink, wide, high).filter(({ across, down }) => {
    return Math.max(across, 1.3 * down) < largest && Math.max(across, down) >= least;
  });
  // What touches digits at half height may be a dash.
  const start = former ? former[2] + MARGIN * height : farthest;
  const ends = [start, digit[0] - MARGIN * height].map((x) => clipped(x - x0, wide));
  const halfway = HALFWAY.map((share) => clipped(digit[1] + share * height - y0, high));
  const [room, tall] = [ends[1] - ends[0], halfway[1] - halfway[0]];
  const dashes = pieces(part(ink, wide, ends, halfway), room, tall, !former, false)
    .filter(({ across, down }) => across > 1.5 * down && across > MIN_DASH * height)
    .map(({ x, y, ...size }) => ({ x: x + ends[0], y: y + halfway[0], ...size }));
  const [best] = (dashes.length ? dashes : specks).sort(by(({ area }) => -area));
  if (!best) return null;
  const places = [...grey.keys()];
  const [paper, dark] = [0, 1].map((kind) => mean(places.filter((n) => ink[n] === kind).map((n) => grey[n])));
  const within = (n) => {
    const [x, y] = [(n % wide) - best.x, Math.floor(n / wide) - best.y];
    return x >= 0 && x < best.across && y >= 0 && y < best.down;
  };
  const contrast = places.filter(within).map((n) => (grey[n] - paper) / (dark - paper));
  const box = [x0 + best.x, y0 + best.y, x0 + best.x + best.across, y0 + best.y + best.down];
  return { box, dark: Math.max(...contrast) > MIN_INK };
}

// The rows and columns between these of ink that is so wide.
function part(ink, wide, [left, right], [top, bottom]) {
  const row = (y) => [...ink.subarray(y * wide + left, y * wide + right)];
  return Uint8Array.from(range(Math.max(bottom - top, 0)).flatMap((n) => row(top + n)));
}

const clipped = (value, most) => Math.min(Math.max(Math.trunc(value), 0), most);

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

// The pieces of ink, with corners joined: {x, y, across, down, area} of each; none that touches an edge, the
// left and the right one if so.
function pieces(ink, wide, high, left = true, right = true) {
  const found = [];
  const rest = ink.slice();
  for (let start = rest.indexOf(1); start >= 0; start = rest.indexOf(1, start)) {
    const [box, pixels] = [[wide, high, 0, 0], [start]];
    rest[start] = 0;
    for (const n of pixels) {
      const [x, y] = [n % wide, Math.floor(n / wide)];
      [box[0], box[1]] = [Math.min(box[0], x), Math.min(box[1], y)];
      [box[2], box[3]] = [Math.max(box[2], x + 1), Math.max(box[3], y + 1)];
      for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, high - 1); row++) {
        for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, wide - 1); column++) {
          const next = row * wide + column;
          if (rest[next]) pixels.push(next);
          rest[next] = 0;
        }
      }
    }
    const [x0, y0, x1, y1] = box;
    const inside = y0 > 0 && y1 < high && (x0 > 0 || !left) && (x1 < wide || !right);
    if (inside) found.push({ x: x0, y: y0, across: x1 - x0, down: y1 - y0, area: pixels.length });
  }
  return found;
}
