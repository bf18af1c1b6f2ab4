// Light, dark, or what the system prefers. `theme.js` puts the choice into force when the page is loaded again.

import { h } from "./parts.js";

const CHOICES = { system: "System", light: "Light", dark: "Dark" };

export function themeSwitch() {
  const { dataset } = document.documentElement;
  const choose = ({ target }) => {
    dataset.theme = target.value;
    localStorage.setItem("jobrunner-theme", target.value);
  };
  const options = Object.entries(CHOICES).map(([value, label]) =>
    h("option", { value, selected: value === dataset.theme }, label),
  );
  return h("label", { class: "theme" }, h("span", null, "Theme"), h("select", { on: { change: choose } }, options));
}
