// The ruled lines of a sheet, where they are seen once it lies straight (`reading/rulings.py`).

import { median, range, unique } from "./arithmetic.js";
import {
  AROUND_HEIGHTS, AROUND_WIDTHS, BAND, DRIFT, HEIGHT, MAX_SIDE, MAX_POINTS, MAX_SHARE, MIN_CONTRAST, MIN_LENGTH, MIN_LINES, NEAR, REACH,
} from "./constants.js";
import { IDENTITY, extent, homography, product, swapped, warped, warpedBox } from "./straight.js";

// The matrix that makes a page straight, by its lines, or if it has none by its digits: {matrix, rulings}.
// Lines are also looked for where the digits make it straight.
export function straightened(picture, boxes) {
  const by = (matrix) => {
    const straight = boxes.map((box) => warpedBox(box, matrix));
    return { matrix, straight, rulings: findRulings(picture, matrix, straight) };
  };
  let seen;
  for (const byDigits of [false, true]) {
    seen = by(byDigits ? homography(boxes, boxes, boxes) : IDENTITY);
    const { low, high } = extent(seen.straight);
    const [down, across] = seen.rulings.map(pointsOf);
    const needed = MIN_LINES / seen.rulings[0].step / BAND;
    if (down.length > needed * (high[1] - low[1]) && across.length > needed * (high[0] - low[0])) {
      const some = (points) => points.filter((_, n) => n % (Math.floor(points.length / MAX_POINTS) + 1) === 0);
      return by(product(homography(seen.straight, some(down), some(across).map(swapped)), seen.matrix));
    }
  }
  return seen;
}

// Lines that run down, and with x and y exchanged those that run across: of each {seen, start, step}.
export function findRulings(picture, matrix, boxes) {
  const digits = extent(boxes);
  const height = median(boxes.map(([, y0, , y1]) => y1 - y0));
  const around = [0, 1].map((n) => AROUND_HEIGHTS * height + AROUND_WIDTHS * (digits.high[n] - digits.low[n]));
  const [x, y] = digits.low.map((side, n) => side - around[n]);
  const sides = [0, 1].map((n) => digits.high[n] - digits.low[n] + 2 * around[n]);
  const step = Math.max(height / HEIGHT, Math.max(...sides) / MAX_SIDE);
  const toPlaces = [[1 / step, 0, -x / step], [0, 1 / step, -y / step], [0, 0, 1]];
  const [wide, high] = sides.map((side) => Math.ceil(side / step));
  const { data } = warped(picture, product(toPlaces, matrix), wide, high);
  const grey = (column, row) => data[row * wide + column];
  const [beside, above] = around.map((side) => Math.trunc(side / step));
  const down = seenIn(grey, wide, high, beside, above);
  const across = seenIn((row, column) => grey(column, row), high, wide, above, beside);
  return [{ seen: down, start: [x, y], step }, { seen: across, start: [y, x], step }];
}

// Whether a thin line runs down near each place, in each band of a picture, that reaches so far beyond the
// digits to both sides.
function seenIn(grey, wide, high, beside, above) {
  const bands = range(Math.floor(high / BAND)).map((band) => {
    const profile = new Float32Array(wide);
    for (let x = 0; x < wide; x++) {
      for (let row = 0; row < BAND; row++) profile[x] += grey(x, band * BAND + row) / BAND;
    }
    return Uint8Array.from(profile, (middle, x) => {
      if (x < REACH || x >= wide - REACH) return 0;
      const [left, right] = [middle - profile[x - REACH], middle - profile[x + REACH]];
      return Math.max(Math.min(left, right), Math.min(-left, -right)) > MIN_CONTRAST;
    });
  });
  // Where, around the digits, too much is seen as lines, it is texture.
  const [reach, rows] = [2 * HEIGHT, Math.floor((2 * HEIGHT) / BAND)];
  const across = bands.map((line) => sums(line, reach));
  const around = transposed(transposed(across).map((column) => sums(column, rows)));
  const most = MAX_SHARE * (2 * reach + 1) * (2 * rows + 1);
  const margin = Math.floor(above / BAND);
  const lines = bands.map((line, band) => line.map((one, x) => {
    const inner = band >= margin && band < bands.length - margin && x >= beside && x < wide - beside;
    return inner || around[band][x] < most ? one : 0;
  }));
  const near = lines.map((line) => widened(line, DRIFT));
  for (let x = 0; x < wide; x++) {
    for (let band = 0, end; band < near.length; band = end + 1) {
      for (end = band; near[end]?.[x]; ) end++;
      if (end - band < MIN_LENGTH / BAND) for (let n = band; n < end; n++) lines[n][x] = 0;
    }
  }
  return lines;
}

// For each place, the share of the bands at these y in which a line is near.
export function shares({ seen, start, step }, ys) {
  const at = (y) => Math.min(Math.max(Math.trunc((y - start[1]) / step / BAND), 0), seen.length - 1);
  const bands = unique(ys.map(at)).map((band) => widened(seen[band], NEAR));
  return range(seen[0].length).map((x) => bands.filter((band) => band[x]).length / bands.length);
}

// That at x, of the way from y = low to high.
export function shareAt(rulings, x, low, high) {
  const band = rulings.step * BAND;
  const way = range(Math.ceil((high - low) / band)).map((n) => low + n * band);
  return shares(rulings, [...way, high])[Math.round((x - rulings.start[0]) / rulings.step)] ?? 0;
}

// Where lines are: x and y twice, as of boxes.
function pointsOf({ seen, start, step }) {
  return seen.flatMap((line, band) => {
    const y = start[1] + step * BAND * (band + 0.5);
    const places = range(line.length).filter((x) => line[x]);
    return places.map((x) => [start[0] + step * x, y, start[0] + step * x, y]);
  });
}

// For each place, the sum of the values up to so many places to both sides.
function sums(values, reach) {
  let sum = 0;
  for (let n = 0; n < reach; n++) sum += values[n] ?? 0;
  return Uint16Array.from(values, (_, n) => (sum += (values[n + reach] ?? 0) - (values[n - reach - 1] ?? 0)));
}

const transposed = (rows) => range(rows[0].length).map((n) => Uint16Array.from(rows, (row) => row[n]));

function widened(line, by) {
  const result = new Uint8Array(line.length);
  line.forEach((one, x) => { if (one) result.fill(1, Math.max(x - by, 0), x + by + 1); });
  return result;
}
