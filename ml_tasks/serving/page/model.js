/** What the release says of its model: the figures, the gate's verdict, the card, the lineage. */

import { element, pair } from "./element.js";
import { figures } from "./figures.js";
import { markdown } from "./markdown.js";
import { ruleInWords } from "./rule.js";
import { known, percent, say, told } from "./words.js";

let described = null; // as /v1/model gave it

export function describe(model) {
  described = model;
}

/** What a class of this model stands for; null where it is not known, or of another version. */
export function meaningOf(version, name) {
  if (described?.model_version !== version) return null;
  const meanings = described.class_meaning ?? {};
  return Object.hasOwn(meanings, name) ? String(meanings[name]) : null;
}

/** The section's content; `state` is loading, locked, failed or known. */
export function modelSection(state, detail) {
  if (described === null) {
    const text = state === "failed" ? say("model.failed", { reason: detail }) : say(`model.${state}`);
    return [element("p", { class: "quiet" }, text)];
  }
  return [
    facts(described),
    ...figures(described.metrics ?? {}, described.positive_class),
    ...verdict(described.decision ?? {}),
    ...card(described.model_card ?? ""),
    ...lineage(described.lineage ?? {}),
  ];
}

function facts(model) {
  const classes = model.classes.map((name) => {
    const meaning = meaningOf(model.model_version, name);
    const text = told("classes", name).text;
    return meaning === null ? text : `${text} (${told("meanings", meaning).text})`;
  });
  return element(
    "dl",
    { class: "columns" },
    pair(say("model.version"), element("code", {}, model.model_version)),
    pair(say("model.tells"), classes.join(", ")),
    pair(say("model.threshold"), percent(model.threshold, 2)),
    pair(say("model.rule"), ruleInWords(model.threshold_rule ?? "")),
  );
}

function verdict(decision) {
  if (!decision.verdict) return [];
  const words = known("verdicts", decision.verdict) ?? decision.verdict;
  const rules = (decision.rules ?? []).map((each) =>
    element("li", {}, element("strong", {}, known("verdicts", each.verdict) ?? each.verdict), " – ",
      element("span", { lang: "en" }, String(each.sentence))),
  );
  return [element("h3", {}, say("model.gate", { verdict: words })), element("ul", {}, ...rules)];
}

function card(text) {
  if (text.trim() === "") return [];
  return [
    element(
      "details",
      {},
      element("summary", {}, element("h3", {}, say("model.card"), " ", english())),
      element("div", { class: "prose", lang: "en" }, ...markdown(text, 4)),
    ),
  ];
}

function english() {
  return element("span", { class: "quiet" }, `(${say("model.english")})`);
}

function lineage(content) {
  if (Object.keys(content).length === 0) return [];
  return [
    element(
      "details",
      {},
      element("summary", {}, element("h3", {}, say("model.lineage"))),
      element("p", { class: "quiet" }, say("model.lineageHelp")),
      element("dl", { class: "hashes", lang: "en" }, ...pairs(content, "")),
    ),
  ];
}

/** Nested objects as one list: `parents, records: gate`. */
function pairs(content, above) {
  return Object.entries(content).flatMap(([name, value]) => {
    const title = above === "" ? named(name) : `${above}, ${named(name)}`;
    if (value !== null && typeof value === "object") return pairs(value, title);
    return [pair(title, element("code", {}, String(value)))];
  });
}

function named(key) {
  return key.replaceAll("_", " ").replace("sha256", "SHA-256");
}
