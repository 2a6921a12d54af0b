// The names of messages that were seen, the newest so many of them.

/** A bounded set; the oldest name gives way. It takes a name in, and says whether it is new. @param {number} max */
export function createSeen(max) {
  /** @type {Set<string>} */
  const names = new Set();
  return (/** @type {string[]} */ ...parts) => {
    const name = JSON.stringify(parts);
    if (names.has(name)) return false;
    names.add(name);
    const [oldest] = names;
    if (names.size > max) names.delete(oldest);
    return true;
  };
}
