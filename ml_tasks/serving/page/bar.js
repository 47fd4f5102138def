/** The probability on a scale from 0 to 100 %, with the threshold from which on it is positive. */

import { element } from "./element.js";
import { digitsApart, percent, say, told } from "./words.js";

/** Probability and threshold in as many digits as keep them apart. */
export function shares(answer) {
  const digits = digitsApart(answer.probability, answer.threshold);
  return {
    probability: percent(answer.probability, digits),
    threshold: percent(answer.threshold, digits),
  };
}

/** The scale as one picture with its sentence, for those who do not see it. */
export function bar(answer, isPositive) {
  const { probability, threshold } = shares(answer);
  const positive = told("classes", answer.positive_class).text;
  const label = say("card.bar", { positive, probability, threshold });
  const kind = isPositive ? "for" : "against";
  return element(
    "div",
    { class: "scale", role: "img", "aria-label": label },
    placed(element("span", { class: "limit" }, say("card.threshold", { threshold, positive })), answer.threshold),
    element(
      "div",
      { class: "track" },
      wide(element("span", { class: `fill ${kind}` }), answer.probability),
      wide(element("span", { class: "beyond" }), 1 - answer.threshold),
      placed(element("span", { class: "mark" }), answer.threshold),
    ),
    element("div", { class: "ends" }, element("span", {}, percent(0, 0)), element("span", {}, percent(1, 0))),
  );
}

// By the style object, since the policy allows no style attribute.
function wide(made, share) {
  made.style.width = `${share * 100}%`;
  return made;
}

function placed(made, share) {
  made.style.setProperty("--at", `${share * 100}%`);
  return made;
}
