// Light or dark: as the system says, until somebody chooses. A classic script, since modules run only after the first paint.
"use strict";

(() => {
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("timerec-theme");
  } catch {
    // storage may be forbidden; then the choice lasts as long as the page
  }

  const isDark = () => (chosen ? chosen === "dark" : prefersDark.matches);
  const show = () => {
    root.dataset.theme = isDark() ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) button.textContent = isDark() ? "Light" : "Dark";
    if (button) button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };

  show();
  prefersDark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme").addEventListener("click", () => {
      chosen = isDark() ? "light" : "dark";
      try {
        localStorage.setItem("timerec-theme", chosen);
      } catch {
        // as above
      }
      show();
    });
  });
})();
