// SPDX-License-Identifier: GPL-2.0-or-later
// Hides what does not hold all the words; without it the page is a plain list of everything.
"use strict";
(() => {
  const form = document.getElementById("search");
  const words = document.getElementById("words");
  const count = document.getElementById("count");
  const items = [...document.querySelectorAll(".items > li")].map((node) => [node, node.textContent.toLowerCase()]);
  const show = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const [node, text] of items) {
      node.hidden = !wanted.every((word) => text.includes(word));
      found += node.hidden ? 0 : 1;
    }
    count.textContent = `${found} of ${items.length}`;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const first = items.find(([node]) => !node.hidden);
    if (first) location.href = first[0].querySelector("a").href;
  });
  words.addEventListener("input", show);
  words.value = new URLSearchParams(location.search).get("q") || "";
  show();
})();
