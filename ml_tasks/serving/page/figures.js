/** The figures of metrics.json on the test patients, each with its interval, as a table. */

import { element } from "./element.js";
import { scrolled } from "./markdown.js";
import { known, number, say, told } from "./words.js";

const LEVELS = ["patient", "breast", "image"]; // what counts first: a woman, not a film
const AT_SPECIFICITY = /^sensitivity_at_specificity_(\d(?:\.\d+)?)$/;

/** Heading, counts and table; a sentence where the release brings no figures. */
export function figures(metrics, positive) {
  const title = element("h3", {}, say("model.figures"));
  const test = metrics.levels?.test ?? {};
  const levels = LEVELS.filter((level) => test[level]?.figures);
  if (levels.length === 0) return [title, element("p", { class: "quiet" }, say("model.noFigures"))];
  const counts = test.patient ?? test[levels[0]];
  const values = {
    patients: number(counts.patients, 0),
    positives: number(counts.positives, 0),
    positive: told("classes", positive).text,
  };
  return [
    title,
    element("p", {}, say("model.tested", values), " ", say("model.interval")),
    table(levels, test),
  ];
}

function table(levels, test) {
  const heads = levels.map((level) => element("th", { scope: "col" }, known("levels", level)));
  const rows = Object.keys(test[levels[0]].figures).map((name) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, nameOf(name)),
      ...levels.map((level) => element("td", {}, estimate(test[level].figures[name]))),
    ),
  );
  const made = element(
    "table",
    { class: "figures" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, say("model.figure")), ...heads)),
    element("tbody", {}, ...rows),
  );
  return scrolled(made, say("model.figures"));
}

function nameOf(name) {
  const at = AT_SPECIFICITY.exec(name);
  if (at) return say("sensitivityAt", { share: number(Number(at[1]), 2) });
  return known("figures", name) ?? name.replaceAll("_", " ");
}

/** A value and its interval, `0.95 [0.92, 0.98]`; a comma between decimal commas would mislead. */
function estimate(found) {
  if (typeof found?.value !== "number") return say("model.notComputable");
  const value = number(found.value, 3);
  if (typeof found.low !== "number" || typeof found.high !== "number") {
    return `${value} (${say("model.noInterval")})`;
  }
  return `${value} [${number(found.low, 3)} – ${number(found.high, 3)}]`;
}
