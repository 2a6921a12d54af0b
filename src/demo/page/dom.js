// What all parts of the page need of the document.

/** Degrees on the colour wheel; neighbours on the list are easy to tell apart. */
const HUES = [212, 24, 152, 282, 340, 90, 188, 48];

/** @param {string} id @returns {any} the element, which the page has */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {Element} root @param {string} selector @returns {any} the element, which is there */
export const find = (root, selector) => root.querySelector(selector);

/** A copy of the element in a template. @param {string} id @returns {HTMLElement} */
export const copyOf = (id) => byId(id).content.firstElementChild.cloneNode(true);

/**
 * @param {string} name
 * @param {{class?: string, text?: string}} [more]
 * @param {(Node | string)[]} children
 */
export function element(name, more = {}, ...children) {
  const made = document.createElement(name);
  if (more.class) made.className = more.class;
  if (more.text !== undefined) made.textContent = more.text;
  made.append(...children);
  return made;
}

/** @param {string} name @param {Record<string, string | number>} attributes */
export function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  place(made, attributes);
  return made;
}

/** @param {Element} element @param {Record<string, string | number>} attributes */
export function place(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
}

/** Colours an element as the node of that id, which is `n` and a number. @param {any} element @param {string | undefined} id */
export function tint(element, id) {
  element.classList.toggle("untinted", !id);
  const hue = HUES[(Number(id?.slice(1)) - 1) % HUES.length];
  if (id) element.style.setProperty("--hue", String(hue));
}

/** Sets a text only where it changes, so that screen readers and selections are left in peace. @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Of a button. Not `disabled`: a button that is must give up the keyboard's focus. @param {Element} button @param {boolean} can */
export function enable(button, can) {
  button.setAttribute("aria-disabled", String(!can));
}

/** @param {Element} button */
export const isEnabled = (button) => button.getAttribute("aria-disabled") !== "true";

/** Tells those who do not see the page what has happened: the newest only, since much may happen. @param {string} text */
export const say = (text) => write(byId("said"), text);

/** Milliseconds since the Unix epoch, with what fraction the browser gives. */
export const now = () => performance.timeOrigin + performance.now();

/** @param {number} ms */
export function duration(ms) {
  if (ms >= 10_000) return `${Math.round(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
