// Boxes in rows, and these in numbers, as `reading/reading_order.py` has them.

import { by, highest, mean, median } from "./arithmetic.js";
import { MAX_SPREAD, MIN_GAP, MIN_NUMBER_GAP, MIN_OVERLAP, MIN_WIDTH, NUMBER_GAP } from "./constants.js";

export const across = ([x0, , x1]) => (x0 + x1) / 2;
export const along = ([, y0, , y1]) => (y0 + y1) / 2;
export const below = (edges, value) => edges.filter((edge) => edge < value).length; // how many edges

// The numbers of boxes in reading order: rows from the top, each from the left; rows may slope.
export function readingOrder(boxes) {
  const slope = slopeOf(boxes);
  const level = boxes.map((box) => [box[1], box[3]].map((y) => y - slope * across(box)));
  const share = ([top, bottom], [otherTop, otherBottom]) => {
    const common = Math.min(bottom, otherBottom) - Math.max(top, otherTop);
    return common / Math.max(Math.min(bottom - top, otherBottom - otherTop), 1);
  };
  const rows = [];
  for (const n of [...boxes.keys()].sort(by((n) => across(boxes[n])))) {
    const shares = rows.map((row) => share(level[n], level[row.at(-1)]));
    const best = highest(shares);
    if (shares[best] > MIN_OVERLAP) rows[best].push(n);
    else rows.push([n]);
  }
  return rows.sort(by((row) => mean(row.flatMap((n) => level[n]))));
}

// How far rows fall for each pixel to the right: the median over neighbours.
export function slopeOf(boxes) {
  const middles = boxes.map((box) => [across(box), along(box)]);
  const steps = middles.map(([x, y]) => middles.map(([otherX, otherY]) => [otherX - x, otherY - y]));
  const far = ([across, down]) => (Math.abs(down) < 2 * across ? Math.hypot(across, down) : Infinity);
  const away = steps.map((row) => row.map(far));
  const nearest = (distances) => distances.indexOf(Math.min(...distances));
  const right = away.map(nearest);
  const left = away.map((_, n) => nearest(away.map((row) => row[n])));
  const linked = [...boxes.keys()].filter((n) => left[right[n]] === n && away[n][right[n]] < Infinity);
  const falls = linked.map((n) => steps[n][right[n]][1] / steps[n][right[n]][0]);
  const slope = median(falls);
  return falls.length > 1 && median(falls.map((fall) => Math.abs(fall - slope))) < MAX_SPREAD ? slope : 0;
}

// The boxes of each row in numbers: parted where a gap is wide. How wide that is, the row tells, or all. A gap
// through all rows that parts numbers in half of them, or more, parts them in all.
export function inNumbers(boxes, rows, written) {
  const gaps = rows.map((row) => gapsOf(row.map((n) => boxes[n])));
  const page = cut(gaps.flat());
  const parted = rows.map((row, k) => {
    const least = cut(gaps[k]) || page || NUMBER_GAP;
    const numbers = [row.slice(0, 1)];
    for (const [place, n] of row.slice(1).entries()) {
      const sign = written.get(n) ?? "";
      if (sign === "-" || sign === " " || (!sign && gaps[k][place] > least)) numbers.push([n]);
      else numbers.at(-1).push(n);
    }
    return numbers;
  });
  const slope = slopeOf(boxes); // columns stand on rows that slope
  const level = boxes.map((box) => box.map((side, n) => side + (n % 2 ? 0 : slope * along(box))));
  const digits = parted.flat().flatMap((number, of) => number.map((n) => ({ box: level[n], number: of })));
  const ends = corridors(digits).filter(({ apart, together }) => apart && apart >= together).map(({ middle }) => middle);
  const column = (n) => below(ends, across(level[n]));
  return parted.map((row) => row.flatMap((number) => {
    const parts = [number.slice(0, 1)];
    for (const [place, n] of number.slice(1).entries()) {
      if (column(n) > column(number[place]) && !written.get(n)) parts.push([n]);
      else parts.at(-1).push(n);
    }
    return parts;
  }));
}

// The gaps that run down between all boxes, from the left: {middle, width} and of how many rows the digits to
// both sides of it are of two numbers, and of one: {apart, together}. Digits are {box, number}, in reading order.
export function corridors(digits) {
  const height = Math.max(median(digits.map(({ box: [, y0, , y1] }) => y1 - y0)), 1);
  const ordered = digits.map(({ box }) => box).sort(by(([x0]) => x0));
  let reach = -Infinity;
  const open = ordered.slice(0, -1).map(([, , x1], n) => [(reach = Math.max(reach, x1)), ordered[n + 1][0]]);
  const gaps = open.filter(([left, right]) => right - left > MIN_GAP * height).map(([left, right]) => {
    return { middle: left + (right - left) / 2, width: (right - left) / height, apart: 0, together: 0 };
  });
  const strip = digits.map(({ box }) => below(gaps.map(({ middle }) => middle), across(box)));
  for (const [n, next] of digits.slice(1).entries()) {
    // Neighbours in a row, to both sides of a gap.
    if (strip[n + 1] - strip[n] !== 1 || Math.abs(along(next.box) - along(digits[n].box)) >= height) continue;
    gaps[strip[n]][digits[n].number === next.number ? "together" : "apart"]++;
  }
  return gaps;
}

// The gaps between the boxes of a row, in units of their median height. A 1 is narrow, but stands as far
// from its neighbours as other digits.
function gapsOf(boxes) {
  const height = median(boxes.map(([, y0, , y1]) => y1 - y0));
  const wide = boxes.map(([x0, , x1]) => Math.max(x1 - x0, MIN_WIDTH * height));
  return boxes.slice(1).map(([x0, y0, x1, y1], n) => {
    const [left, top, right, bottom] = boxes[n];
    const apart = Math.hypot(x0 + x1 - left - right, y0 + y1 - top - bottom) / 2;
    return (apart - (wide[n] + wide[n + 1]) / 2) / Math.max(height, 1);
  });
}

// What parts narrow gaps from wide ones; 0 if they are not of two kinds.
function cut(gaps) {
  const ordered = gaps.map((gap) => Math.max(gap, 0)).sort(by(Number));
  const ratios = ordered.slice(1).map((wide, n) => (wide < MIN_NUMBER_GAP ? 0 : (wide + 0.2) / (ordered[n] + 0.2)));
  const best = highest(ratios);
  return ratios[best] >= 2 ? (ordered[best] + ordered[best + 1]) / 2 : 0;
}
