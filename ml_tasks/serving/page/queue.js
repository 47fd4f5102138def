/** The images in turn: one at a time to the service, waiting for the key, the model, a free place. */

import { Refused, Unreachable, askPrediction } from "./service.js";

export const MOST = 64; // images on the page: each keeps its two pictures in memory
const TRIES = 20; // at a full queue, before the image is given up
const DEFAULT_WAIT = 2; // seconds, where the service names none

/** One image and what became of it. */
export class Item {
  constructor(file, isFolder) {
    this.file = file;
    this.name = file.name;
    this.state = "waiting"; // waiting, sending, busy, answered, refused
    this.answer = null;
    this.refusal = null;
    this.asked = null; // when the answer came
    this.again = 0; // seconds until the next try
    this.tries = 0; // that found the queue full
    this.breaks = 0; // transfers that broke off
    this.map = true;
    this.opacity = 80; // percent
    if (isFolder) this.refuse("folder", "");
  }

  get done() {
    return this.state === "answered" || this.state === "refused";
  }

  refuse(error, detail) {
    this.state = "refused";
    this.refusal = { error, detail };
  }
}

/** Whether the turn came too late, which a full queue explains; a film that is slow again does not. */
function isLate(refusal, item) {
  return refusal.error === "timed_out" && item.tries < 2;
}

/** The images of the page; `onchange(item)` follows each of them. */
export class Queue {
  constructor(status, onchange) {
    this.items = [];
    this.status = status;
    this.locked = false; // a key is asked for
    this.onchange = onchange;
    this.running = false;
  }

  remove(item) {
    this.items = this.items.filter((other) => other !== item);
  }

  retry(item) {
    Object.assign(item, { state: "waiting", refusal: null, tries: 0, breaks: 0 });
    this.onchange(item);
    this.run();
  }

  unlock() {
    this.locked = false;
    this.run();
  }

  /** Goes on until nothing waits, or nothing can be asked. */
  async run() {
    if (this.running) return;
    this.running = true;
    try {
      for (let item; (item = this.next()); ) await this.judge(item);
    } finally {
      this.running = false;
    }
  }

  next() {
    if (this.locked || !this.status.ready) return undefined;
    return this.items.find((item) => item.state === "waiting");
  }

  async judge(item) {
    this.move(item, "sending");
    try {
      item.answer = await askPrediction(item.file);
      item.asked = new Date();
      this.move(item, "answered");
    } catch (error) {
      if (error instanceof Unreachable) await this.silent(item);
      else if (error instanceof Refused) await this.refused(item, error);
      else throw error;
    }
  }

  /** No answer: the service is away, and the image waits; or it is there and the transfer broke off. */
  async silent(item) {
    if ((await this.status.check()) && (item.breaks += 1) > 1) {
      item.refuse("broken_off", "");
      this.onchange(item);
    } else this.move(item, "waiting");
  }

  async refused(item, refusal) {
    if (refusal.status === 401) {
      this.locked = true;
      this.move(item, "waiting");
    } else if (refusal.error === "not_ready" || refusal.error === "release_broken") {
      this.move(item, "waiting");
      await this.status.check();
    } else if (refusal.error === "busy" || refusal.status === 429 || isLate(refusal, item)) {
      await this.busy(item, refusal);
    } else {
      item.refuse(refusal.error, refusal.detail);
      this.onchange(item);
    }
  }

  async busy(item, refusal) {
    item.tries += 1;
    if (item.tries >= TRIES) {
      item.refuse("still_busy", refusal.detail);
      this.onchange(item);
      return;
    }
    for (item.again = Math.ceil(refusal.retryAfter ?? DEFAULT_WAIT); item.again > 0; item.again -= 1) {
      this.move(item, "busy");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    this.move(item, "waiting");
  }

  move(item, state) {
    item.state = state;
    this.onchange(item);
  }
}
