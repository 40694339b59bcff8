// Tables, as `reading/tables.py` reads them: the page turned, its digits and lines made straight, and parted
// into cells.

import { by, highest, mean, range, unique } from "./arithmetic.js";
import { MAX_CELLS, MAX_LEAN, MIN_SURE, MIN_UPRIGHT, RIM_CONFIDENCE } from "./constants.js";
import { crosses, findGrid } from "./grid.js";
import { greyOf } from "./picture.js";
import { digitsOf, likely, moreDigits, search } from "./reader.js";
import { slopeOf } from "./reading_order.js";
import { straightened } from "./rulings.js";
import { corners, inverse, lean, moved, product, swapped, turnedBy, warpedBox } from "./straight.js";

// The table in an opened picture, as /api/table answers it; the corners are in pixels of the file.
export async function tabled({ picture, width, height }) {
  const page = await pageOf(picture);
  const { numbers, digits, seen } = page;
  const sure = digits.filter((digit) => digit.sure).length;
  let found = "";
  if (numbers.length < 2) {
    const [only] = numbers;
    found = only ? `found only ${textOf(only.digits, only.signs)}` : page.missing || "found no digits";
  } else if (sure < Math.max(MIN_SURE * digits.length, 1)) {
    found = `of ${digits.length} places read as digits ${sure || "none"} are sure`;
  }
  if (found) throw new Error(`there is no table in the picture: ${found}`);
  const { matrix, grid, kept, gone, leftOut } = laidOut(page);
  const [high, wide] = [grid.rows.length - 1, grid.columns.length - 1];
  if (high * wide > MAX_CELLS) {
    throw new Error(`the table has more than ${MAX_CELLS} cells: photograph parts of it`);
  }
  const back = inverse(product(matrix, page.matrix));
  const displayed = (point) => {
    const [x, y] = moved(point, back);
    return [(x * width) / picture.width, (y * height) / picture.height].map(Math.round);
  };
  const others = seen.slice(digits.length).filter(likely(seen.slice(0, digits.length)));
  const doubts = others.map(({ box }) => placeOf(grid, warpedBox(box, matrix)));
  const places = kept.map((digit) => ({ ...digit, ...placeOf(grid, digit.straight) }));
  const letters = gone.map(({ box }) => placeOf(grid, warpedBox(box, matrix)));
  const crossed = ({ straight }) => {
    const [down, across] = [straight, swapped(straight)];
    return grid.columns.some((line) => crosses(line, down)) || grid.rows.some((line) => crosses(line, across));
  };
  const cells = range(high * wide).map((n) => {
    const [row, column] = [Math.floor(n / wide), n % wide];
    const here = (place) => place.row === row && place.column === column;
    const mine = places.filter(here).sort(by(({ straight }) => straight[0]));
    let why = doubt(mine, doubts.some(here));
    if (mine.some(crossed)) why ||= "a digit lies on a line";
    if (letters.some(here)) why ||= "something was left out as letters";
    if (mine.length && !grid.sure) why ||= "the columns may be others";
    const box = [grid.columns[column], grid.rows[row], grid.columns[column + 1], grid.rows[row + 1]];
    // A minus is of a number only at its beginning, and another sign only inside of it.
    const signs = mine.map(({ sign }, n) => sign.replaceAll(n ? /-/g : /[.,']/g, "").trim());
    return { row, column, text: textOf(mine, signs), sure: !why, why, corners: corners(box).map(displayed) };
  });
  const rows = range(high).map((row) => cells.slice(row * wide, (row + 1) * wide).map(({ text }) => text));
  return { rows, cells, left_out: leftOut };
}

const textOf = (digits, signs) => digits.map(({ digit }, n) => signs[n] + digit).join("");

// The picture turned so that its rows run to the right, the way up in which most is sure.
async function pageOf(picture) {
  const better = (one, other) => (other.sure > one.sure ? other : one);
  const upright = async (degrees) => {
    const ways = [];
    for (let quarter = 0; quarter < 4; quarter++) {
      const { page, matrix } = turnedBy(picture, degrees + 90 * quarter);
      const { rows, missing, seen } = await search(page);
      const digits = digitsOf(rows);
      const sure = digits.filter((digit) => digit.sure).length;
      ways.push({ degrees: degrees + 90 * quarter, picture: page, matrix, numbers: rows.flat(), digits, missing, seen, sure });
      if (3 * sure >= 2 * digits.length + MIN_UPRIGHT) break;
    }
    return ways.reduce(better);
  };
  const degrees = lean(picture);
  const page = await upright(Math.abs(degrees) > MAX_LEAN ? degrees : 0);
  const fall = (Math.atan(slopeOf(page.digits.map(({ box }) => box))) * 180) / Math.PI;
  return Math.abs(fall) > MAX_LEAN ? better(page, await upright(page.degrees + fall)) : page;
}

// The matrix that makes a page straight, its grid, and the digits that count: those of rows and columns at
// the rim that are of letters do not.
function laidOut({ picture, numbers }) {
  const all = numbers.flatMap((number, n) => {
    return number.digits.map((digit, k) => ({ ...digit, number: n, of: number, sign: number.signs[k] }));
  });
  const grey = greyOf(picture);
  let kept = all;
  while (true) {
    const { matrix, rulings } = straightened(grey, kept.map(({ box }) => box));
    const straight = kept.map((digit) => ({ ...digit, straight: warpedBox(digit.box, matrix) }));
    const grid = findGrid(straight.map((digit) => ({ ...digit, box: digit.straight })), rulings);
    const places = straight.map((digit) => placeOf(grid, digit.straight));
    const rims = ["row", "column"].flatMap((side) => {
      const ends = places.map((place) => place[side]);
      return [Math.min(...ends), Math.max(...ends)].map((end) => ends.map((one) => one === end));
    });
    // One at a time: letters above a column of digits do not speak against it.
    const confidences = rims.map((rim) => mean(kept.filter((_, n) => rim[n]).map(({ confidence }) => confidence)));
    const worst = highest(confidences.map((confidence) => -confidence));
    const left = kept.filter((_, n) => !rims[worst][n]);
    if (confidences[worst] >= RIM_CONFIDENCE || !left.some(({ sure }) => sure)) {
      const gone = all.filter((digit) => !kept.includes(digit));
      const texts = unique(gone.map(({ number }) => number)).map((number) => {
        return gone.filter((digit) => digit.number === number).map(({ digit }) => digit).join("");
      });
      return { matrix, grid, kept: straight, gone, leftOut: texts };
    }
    kept = left;
  }
}

function placeOf({ rows, columns }, [x0, y0, x1, y1]) {
  const before = (edges, value) => edges.filter((edge) => edge < value).length - 1;
  return { row: before(rows, (y0 + y1) / 2), column: before(columns, (x0 + x1) / 2) };
}

// What speaks against a cell with digits that were read as parts of numbers.
function doubt(digits, mayBeMore) {
  const doubtful = digits.filter(({ sure }) => !sure).sort(by(({ confidence }) => confidence));
  if (doubtful.length) return doubtOf(doubtful[0]);
  if (digits.some(({ of }) => !of.signsSure)) return "there may be a point, a comma or a minus";
  if (mayBeMore) return moreDigits(digits.length);
  return new Set(digits.map(({ number }) => number)).size > 1 ? "there may be two numbers" : "";
}

// What speaks against a digit that is not sure (`reading/result.py`).
function doubtOf({ digit, confidence, probabilities, box: [x0, y0, x1, y1] }) {
  if (x1 - x0 > 2 * (y1 - y0)) return `the ${digit} is wide for one digit`;
  const second = highest(probabilities.map((one, n) => (n === digit ? -1 : one)));
  const another = probabilities[second] >= (1 - confidence) / 2;
  return another ? `the ${digit} could be ${second}` : `the ${digit} may be no digit`;
}
