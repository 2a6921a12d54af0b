// Elements, found, made and written to.

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no #${id}`);
  return found;
}

/** @param {string} id @returns {HTMLInputElement} */
export function input(id) {
  return /** @type {HTMLInputElement} */ (byId(id));
}

/**
 * An element with a class and a text.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} [name] @param {string} [text]
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** @param {"path" | "text" | "svg" | "title"} tag @param {Record<string, string | number>} [attributes] */
export function svg(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/**
 * Sets a text only where it changes, so that screen readers and selections are left in peace.
 * @param {Element} element @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @type {Map<string, number>} */
const hues = new Map();
/** Degrees on the colour wheel; neighbours on the list are easy to tell apart. */
const HUES = [212, 24, 152, 282, 340, 90, 188, 48, 255, 5, 125, 310, 230, 70, 170, 0];
/** For all others: each is far from those before it. */
const GOLDEN_ANGLE = 137.508;

/**
 * Colours an element as the node of that id is coloured, for as long as the page is open.
 * @param {HTMLElement | SVGElement} element @param {string} id
 */
export function tint(element, id) {
  const hue = hues.get(id) ?? HUES[hues.size] ?? (hues.size * GOLDEN_ANGLE) % 360;
  hues.set(id, hue);
  element.style.setProperty("--hue", hue.toFixed(1));
}
