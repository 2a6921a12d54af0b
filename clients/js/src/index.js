// The client of a Ringpost cluster. How it works: README.md.

export { connect } from "./client.js";
export { RingpostError } from "./errors.js";
