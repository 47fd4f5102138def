/** Whether the service is ready, asked again and again: often until it is, rarely after. */

import { Refused, askReady } from "./service.js";

const SOON = 1500; // milliseconds
const LATER = 20_000;

/** Polls /ready; `onchange` is called with each new state. */
export class Status {
  constructor(onchange) {
    this.state = "asking"; // asking, ready, notReady, broken, offline
    this.version = "";
    this.detail = "";
    this.onchange = onchange;
    this.timer = 0;
    this.round = 0;
    addEventListener("online", () => this.check());
    addEventListener("offline", () => this.check());
  }

  get ready() {
    return this.state === "ready";
  }

  /** Asks now; gives whether the service is ready. */
  async check() {
    clearTimeout(this.timer);
    const round = (this.round += 1); // an answer that was overtaken counts no more
    const found = await this.ask();
    if (round !== this.round) return this.ready;
    this.timer = setTimeout(() => this.check(), found.state === "ready" ? LATER : SOON);
    const changed = found.state !== this.state || found.version !== this.version;
    Object.assign(this, found);
    if (changed) this.onchange();
    return this.ready;
  }

  async ask() {
    try {
      const answer = await askReady();
      return { state: "ready", version: String(answer.model_version), detail: "" };
    } catch (error) {
      if (!(error instanceof Refused)) return { state: "offline", version: "", detail: "" };
      const state = error.error === "release_broken" ? "broken" : "notReady";
      return { state, version: "", detail: error.detail };
    }
  }
}
