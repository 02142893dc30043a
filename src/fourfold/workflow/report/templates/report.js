// Language and theme: the page is complete without this; it only adds the two switches.
(function () {
  "use strict";
  var root = document.documentElement;
  var titles = JSON.parse(document.getElementById("titles").textContent);

  function setLanguage(language) {
    root.lang = language === "zh" ? "zh-Hans" : "en";
    root.dataset.language = language;
    document.title = titles[language];
    document.querySelectorAll("[data-set-language]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.setLanguage === language));
    });
  }

  function isDark() {
    if (root.dataset.theme) return root.dataset.theme === "dark";
    return window.matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function setTheme(theme) {
    root.dataset.theme = theme;
    document.querySelector("[data-set-theme]").setAttribute("aria-pressed", String(isDark()));
  }

  document.querySelectorAll("[data-set-language]").forEach(function (button) {
    button.addEventListener("click", function () { setLanguage(button.dataset.setLanguage); });
  });
  document.querySelector("[data-set-theme]").addEventListener("click", function () {
    setTheme(isDark() ? "light" : "dark");
  });

  // report.html#zh,dark opens in that language and theme.
  location.hash.slice(1).split(",").forEach(function (word) {
    if (word === "en" || word === "zh") setLanguage(word);
    if (word === "light" || word === "dark") setTheme(word);
  });
  document.querySelector("[data-set-theme]").setAttribute("aria-pressed", String(isDark()));
})();
