// Keeps the page's changing part up to date: at once when somebody has answered, else every few seconds.
"use strict";
(() => {
  const zh = document.documentElement.lang.startsWith("zh");
  const lang = zh ? "zh" : "en";
  const words = zh
    ? { live: "实时更新", lost: "连接断开，正在重试", news: "有新的回答" }
    : { live: "updated live", lost: "connection lost, trying again", news: "a new answer has come in" };
  const part = document.getElementById("live");
  const link = document.getElementById("link");
  const EVERY_MS = 5000;

  // The browser's own zone, unless another one was chosen. UTC is shown anyway.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const unset = !/(?:^|;\s*)tminus_zone=/.test(document.cookie);
  if (unset && zone && !/UTC$/.test(zone) && /^[A-Za-z0-9/_+-]{1,64}$/.test(zone)) {
    document.cookie = `tminus_zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax`;
  }

  let running = false, again = false, shown = null, answers = null;
  const say = (text) => { if (link.textContent !== text) link.textContent = text; };
  // The time alone is no reason to replace what somebody may be reading.
  const lasting = (text) => text.replace(/<p class="now">[^]*?<\/p>/, "");

  async function refresh() {
    if (running) { again = true; return; }
    running = true;
    try {
      const answer = await fetch(`/live?lang=${lang}`, { cache: "no-store" });
      if (answer.ok) {
        const text = await answer.text();
        if (lasting(text) !== shown) {
          shown = lasting(text);
          const parsed = new DOMParser().parseFromString(text, "text/html");
          // Whoever stands on a ticket's link stays on it.
          const focused = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
          part.replaceChildren(...parsed.body.childNodes);
          if (focused) [...part.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
        }
      }
    } catch (_) { /* the stream says so */ }
    running = false;
    if (again) { again = false; refresh(); }
  }

  const events = new EventSource("/feedback/events");
  events.addEventListener("figures", (event) => {
    say(answers !== null && answers !== event.lastEventId ? words.news : words.live);
    answers = event.lastEventId;
    refresh();
  });
  events.onerror = () => say(words.lost);
  setInterval(refresh, EVERY_MS);
  refresh();
})();
