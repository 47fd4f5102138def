/** How the service is: one line, louder where images cannot be answered. */

import { element } from "./element.js";
import { say } from "./words.js";

/** The line for a status; `moved` where results of another version are shown. */
export function bannerOf(status, moved) {
  if (status.ready) {
    const version = element("code", {}, status.version);
    const line = element("p", { class: "state ready" }, `${say("service.ready")} `, version);
    const note = moved && element("p", { class: "box warn", role: "status" }, say("service.moved"));
    return element("div", {}, line, note);
  }
  if (status.state === "asking") return element("p", { class: "state" }, say("service.asking"));
  const kind = status.state === "notReady" ? "warn" : "bad";
  const detail = status.state === "broken" ? element("p", { lang: "en", class: "small" }, status.detail) : null;
  return element("div", { class: `box ${kind}`, role: "alert" }, element("p", {}, say(`service.${status.state}`)), detail);
}
