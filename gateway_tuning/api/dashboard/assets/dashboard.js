// Parts of a page that live: asked for again and replaced, as long as somebody looks and types nothing in them.
"use strict";

const parts = [...document.querySelectorAll("[data-live]")];

async function renew() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
  if (answer.redirected) location.reload(); // the session has ended
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (fresh && !old.contains(document.activeElement) && old.innerHTML !== fresh.innerHTML) {
      const open = [...old.querySelectorAll("details[open][id]")].map((element) => element.id);
      old.replaceChildren(...fresh.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    }
  }
  document.documentElement.dataset.renewed = String(Date.now());
}

function wait() {
  const seconds = Math.min(...parts.map((part) => Number(part.dataset.live)));
  setTimeout(async () => {
    if (!document.hidden) await renew().catch(() => {}); // the next turn tries again
    wait();
  }, seconds * 1000);
}

if (parts.length > 0) wait();
