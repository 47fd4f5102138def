/** The rule by which a threshold was chosen, in the page's language where its words are known. */

import { element } from "./element.js";
import { number, say } from "./words.js";

const YOUDEN = /^largest sensitivity \+ specificity - 1 \(Youden\) on the validation split$/;
const AT_LEAST =
  /^largest (?:sensitivity|specificity) at a (sensitivity|specificity) of at least (\d(?:\.\d+)?) on the validation split$/;

/** The rule as an element; one that the page does not know stays in English, and says so. */
export function ruleInWords(text) {
  const least = AT_LEAST.exec(text);
  if (YOUDEN.test(text)) return element("span", {}, say("rules.youden"));
  if (least) {
    const [, rule, share] = least;
    const digits = (share.split(".")[1] ?? "").length;
    return element("span", {}, say(`rules.${rule}`, { share: number(Number(share), digits) }));
  }
  return element("span", { lang: "en" }, text);
}
