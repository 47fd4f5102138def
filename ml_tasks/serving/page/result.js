/** One image's card: where it stands in the queue, its result in words, or why there is none. */

import { bar, shares } from "./bar.js";
import { button, element, pair } from "./element.js";
import { copy, save } from "./export.js";
import { meaningOf } from "./model.js";
import { picture } from "./picture.js";
import { ruleInWords } from "./rule.js";
import { known, percent, say, seconds, size, told } from "./words.js";

/** What a refusal means and what to do about it, in the page's language. */
export function reason(refusal) {
  const [meaning, advice] = known("refusals", refusal.error) ?? known("refusals", "other");
  return { meaning, advice };
}

/** The card of an item; `actions` are retry(item) and remove(item). */
export function card(item, waiting, actions) {
  return element(
    "article",
    { class: `card ${item.state}`, tabindex: "-1", "aria-label": item.name },
    element(
      "header",
      { class: "row spread" },
      element("h3", {}, item.name, " ", element("span", { class: "quiet" }, size(item.file.size))),
      button(say("card.remove"), () => actions.remove(item), {
        class: "plain",
        "aria-label": say("card.removeNamed", { name: item.name }),
        "data-act": "remove",
      }),
    ),
    ...body(item, waiting, actions),
  );
}

function body(item, waiting, actions) {
  if (item.state === "answered") return [answered(item)];
  if (item.state === "refused") return [refused(item, actions)];
  const text = {
    waiting: () => say(waiting),
    sending: () => say("card.sending"),
    busy: () => say("card.busy", { seconds: seconds(item.again) }),
  };
  return [element("p", { class: "turn" }, text[item.state]())];
}

function refused(item, actions) {
  const { meaning, advice } = reason(item.refusal);
  const detail = item.refusal.detail
    ? [pair(say("card.serviceSays"), element("span", { lang: "en" }, item.refusal.detail))]
    : [];
  return element(
    "div",
    { class: "box bad" },
    element("p", {}, element("strong", {}, `${say("card.noAnswer")} `), meaning),
    element("dl", {}, pair(say("card.whatToDo"), advice), ...detail),
    item.refusal.error === "folder" ? null : button(say("card.retry"), () => actions.retry(item)),
  );
}

function answered(item) {
  return element("div", { class: "halves" }, picture(item), element("div", {}, ...words(item)));
}

function words(item) {
  const { answer } = item;
  const isPositive = answer.prediction === answer.positive_class;
  return [
    warnings(answer.quality ?? []),
    verdict(answer, isPositive),
    likelihood(answer, isPositive),
    facts(answer),
    actionsOf(item),
  ];
}

function warnings(quality) {
  if (quality.length === 0) return null;
  const lines = quality.map((warning) => {
    const meaning = known("qualities", warning.code);
    const detail = element("span", { lang: "en", class: meaning && "small quiet" }, warning.text);
    return element("li", {}, meaning && `${meaning} `, detail);
  });
  return element(
    "div",
    { class: "box warn" },
    element("p", {}, element("strong", {}, say("card.quality"))),
    element("ul", {}, ...lines),
  );
}

function verdict(answer, isPositive) {
  const name = told("classes", answer.prediction);
  const written = meaningOf(answer.model_version, answer.prediction);
  const meaning = written && told("meanings", written);
  return element(
    "div",
    { class: `verdict ${isPositive ? "for" : "against"}` },
    element("p", { class: "quiet" }, say("card.answer")),
    element(
      "p",
      { class: "big" },
      element("strong", { lang: name.lang }, name.text),
      meaning && element("span", { lang: meaning.lang }, meaning.text),
    ),
    element("p", {}, say(isPositive ? "card.positive" : "card.negative")),
  );
}

function likelihood(answer, isPositive) {
  const positive = told("classes", answer.positive_class).text;
  const { probability, threshold } = shares(answer);
  const apart = Math.sign(answer.probability - answer.threshold);
  const side = say(`card.${["below", "at", "above"][apart + 1]}`);
  return element(
    "div",
    { class: "likelihood" },
    element("p", {}, element("strong", {}, say("card.probability", { positive })), ` (${say("card.calibrated")})`),
    bar(answer, isPositive),
    element("p", {}, say("card.sentence", { probability, side, threshold })),
  );
}

function facts(answer) {
  const prediction = told("classes", answer.prediction).text;
  const confidence = say("card.confidenceTold", {
    words: known("confidences", answer.confidence_words) ?? answer.confidence_words,
    share: percent(answer.confidence),
    prediction,
  });
  return element(
    "dl",
    {},
    pair(say("card.confidence"), confidence),
    pair(say("card.rule"), ruleInWords(answer.threshold_rule)),
    pair(say("card.version"), element("code", {}, answer.model_version)),
  );
}

function actionsOf(item) {
  const said = element("span", { class: "quiet", role: "status" });
  return element(
    "div",
    { class: "row" },
    button(say("card.copy"), async () => {
      said.textContent = say((await copy([item])) ? "card.copied" : "card.notCopied");
    }),
    button(say("card.save"), () => save([item], item.name)),
    said,
  );
}
