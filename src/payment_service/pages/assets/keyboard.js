// Keyboard shortcuts: / searches, j and k move through the rows, Enter opens, ? lists the keys.
"use strict";

const rows = () => [...document.querySelectorAll("tbody tr")].filter((row) => row.querySelector("a[href]"));

function select(step) {
  const all = rows();
  if (!all.length) return;
  const now = all.findIndex((row) => row.hasAttribute("data-selected"));
  const next = all[Math.min(Math.max(now + step, 0), all.length - 1)];
  if (now >= 0) all[now].removeAttribute("data-selected");
  next.setAttribute("data-selected", "");
  const link = next.querySelector("a[href]");
  link.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function search() {
  const box = document.querySelector('input[type="search"]');
  if (box) {
    box.focus();
    box.select();
  } else {
    location.assign("/payments");
  }
}

const actions = { "/": search, j: () => select(1), k: () => select(-1), "?": () => document.querySelector("#keys").showModal() };

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
});
