// Numbers and times as people read them.

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** @param {number | undefined} number */
export function count(number) {
  if (number === undefined) return NONE;
  return number < 1e6 ? whole.format(number) : short(number, ["", " k", " M", " G", " T"], 1000);
}

/** @param {number | undefined} number per second */
export function rate(number) {
  if (number === undefined) return NONE;
  if (number > 0 && number < 10) return number.toFixed(1);
  return number < 1e5 ? whole.format(number) : short(number, ["", " k", " M", " G"], 1000);
}

/** @param {number | undefined} number */
export function bytes(number) {
  return number === undefined ? NONE : short(number, [" B", " KiB", " MiB", " GiB", " TiB"], 1024);
}

/** @param {number} number @param {string[]} units @param {number} step */
function short(number, units, step) {
  let value = number;
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return `${unit > 0 && value < 100 ? value.toFixed(1) : whole.format(value)}${units[unit]}`;
}

/** @param {number} share 0 to 1 */
export function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}

/** A duration that is the bound of a bucket. @param {number | undefined} seconds */
export function duration(seconds) {
  if (seconds === undefined) return NONE;
  if (seconds === Infinity) return "> 15 s";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  return seconds < 1 ? `${+(seconds * 1000).toPrecision(2)} ms` : `${+seconds.toPrecision(2)} s`;
}

/** How long something runs. @param {number | undefined} ms */
export function age(ms) {
  if (ms === undefined) return NONE;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** @param {number} ms since the Unix epoch */
export function time(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}
