// The console's keys, commands and page changes. Every form also works without this file: it only saves page loads.
(() => {
  "use strict";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `reader_zone=${encodeURIComponent(zone).replaceAll("%2F", "/")};path=/;max-age=31536000;samesite=lax`;

  const $ = (what, from = document) => from.querySelector(what);
  const $$ = (what, from = document) => [...from.querySelectorAll(what)];
  const page = () => $("#console");
  const csrf = () => $("input[name=csrfmiddlewaretoken]")?.value || "";
  const isTyping = (node) => !!node.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true]");

  // -- saying what happened --------------------------------------------------------------------------------------------------------
  const part = (tag, className, textContent) => Object.assign(document.createElement(tag), { className, textContent });
  const said = () => {
    const place = $(".said") || document.body.appendChild(part("div", "said", ""));
    // Above the bar of actions, however many rows that has.
    place.style.setProperty("--above", `${$(".actions")?.offsetHeight || 0}px`);
    return place;
  };
  let toastTimer = 0;
  const toast = (words, { bad = false } = {}) => {
    $(".toast")?.remove();
    clearTimeout(toastTimer);
    const box = part("div", `toast${bad ? " is-bad" : ""}`, words);
    box.setAttribute("role", bad ? "alert" : "status");
    said().prepend(box);
    toastTimer = setTimeout(() => box.remove(), bad ? 10000 : 6000);
  };

  // -- taking back: what was approved lately, newest last, kept over page loads until it goes out -----------------------------------------
  const KEPT = "billing-ai-undo";
  const approvals = () => {
    let kept = [];
    try { kept = JSON.parse(sessionStorage.getItem(KEPT)) || []; } catch { /* no storage, or not ours: nothing is kept */ }
    return kept.filter((one) => one.until > Date.now());
  };
  const keep = (list) => { try { sessionStorage.setItem(KEPT, JSON.stringify(list)); } catch { /* without storage the case's own button undoes */ } };
  const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  const offerUndo = () => {
    const last = approvals().at(-1), shown = $(".undo-offer");
    // On the case itself its own button counts.
    if (!last || $(`form[data-undo] [value="${last.undo[0]}"]`)) { shown?.remove(); return; }
    const left = $(".left-words", shown || document.body) || part("span", "left-words", "");
    // Read out once a second it would drown everything else; the button says what matters.
    left.setAttribute("aria-hidden", "true");
    left.textContent = last.counts ? minutes(Math.ceil((last.until - Date.now()) / 1000)) : "";
    if (shown) return;
    const button = part("button", "undo-offer", "Undo ");
    button.type = "button";
    button.append(part("kbd", "", "u"), left);
    button.addEventListener("click", () => takeBack());
    said().append(button);
  };
  const remember = ({ undo = [], undo_seconds: seconds = 0 }) => {
    if (!undo.length || !seconds) return;
    const counts = seconds <= 3600;
    keep([...approvals(), { undo, counts, until: Date.now() + (counts ? seconds : 60) * 1000 }]);
    offerUndo();
  };
  const takeBack = async () => {
    const kept = approvals(), form = $("form[data-undo]"), body = new FormData();
    const chosen = kept.length ? kept.pop().undo : form ? new FormData(form).getAll("proposal") : [];
    if (!chosen.length) return toast("There is nothing to undo: what was approved last has gone out.");
    keep(kept);
    offerUndo();
    chosen.forEach((pk) => body.append("proposal", pk));
    body.set("question", new URLSearchParams(location.search).toString());
    const answer = await post("/console/undo/", body);
    toast(answer.said, { bad: !answer.ok });
    if (answer.to) await open(answer.to);
  };
  // What goes out soon counts down where it stands; when it should be out, the case is looked at again.
  const countDown = () => {
    offerUndo();
    $$("[data-left]").forEach((one) => {
      one.dataset.until ||= Date.now() + Number(one.dataset.left) * 1000;
      const left = Math.ceil((one.dataset.until - Date.now()) / 1000);
      one.textContent = left > 0 ? `in ${minutes(left)}` : "now";
      if (left > -3 || one.dataset.looked) return;
      one.dataset.looked = "yes";
      if (!isTyping(document.activeElement) && !$("details.act[open], dialog[open]")) open(location.href, { push: false, stay: true });
    });
  };
  setInterval(countDown, 500);

  const post = async (url, body) => {
    body.set("csrfmiddlewaretoken", csrf());
    const answer = await fetch(url, { method: "POST", body, headers: { Accept: "application/json" }, credentials: "same-origin" });
    if (answer.redirected || !(answer.headers.get("Content-Type") || "").includes("json")) {
      return { ok: false, said: answer.status === 403 ? "Your session or your rights have changed. Load the page again." : "The server could not do it. Nothing was changed as far as we know; load the page again to see." };
    }
    return answer.json();
  };

  // -- changing the inside without a page load ---------------------------------------------------------------------------------------
  const swap = (html, url, { push = true, stay = false } = {}) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("console");
    if (!fresh || !page()) { location.assign(url); return; }
    // A parsed document has no scripts, so what is meant for readers without them would come to life.
    $$("noscript", fresh).forEach((one) => one.remove());
    page().replaceWith(fresh);
    // What was refused is said once; the address of the page is that of the case.
    const address = new URL(url, location.href);
    [...address.searchParams.keys()].forEach((key) => { if (key === "refused" || key.startsWith("seen_")) address.searchParams.delete(key); });
    if (push) history.pushState({ console: true }, "", address);
    document.title = fresh.dataset.title || "Queue | Billing AI";
    const heading = $("#main h1");
    if (heading) heading.textContent = document.title.split(" | ")[0];
    if (!stay) window.scrollTo({ top: 0 });
    ready();
  };
  const open = async (url, options) => {
    page()?.classList.add("busy");
    try {
      const answer = await fetch(url, { headers: { "X-Console-Fragment": "1" }, credentials: "same-origin" });
      if (!answer.ok || answer.redirected) { location.assign(url); return; }
      swap(await answer.text(), url, options);
    } catch {
      page()?.classList.remove("busy");
      toast("The server cannot be reached. Try again in a moment.", { bad: true });
    }
  };
  window.addEventListener("popstate", () => { if (page()) open(location.href, { push: false }); });

  const send = async (form, button) => {
    const body = new FormData(form, button || undefined);
    if (form.hasAttribute("data-same-choice")) $$("[data-choice]:checked").forEach((box) => body.append("proposal", box.value));
    form.classList.add("busy");
    let answer;
    try { answer = await post(form.action, body); }
    catch { answer = { ok: false, said: "The server cannot be reached. Nothing was sent; try again in a moment." }; }
    form.classList.remove("busy");
    toast(answer.said, { bad: !answer.ok });
    if (form.hasAttribute("data-undo")) keep(approvals().filter((one) => !one.undo.some((pk) => body.getAll("proposal").includes(pk))));
    remember(answer);
    // A refused edit stays on the screen: nobody's typing is thrown away.
    if (answer.to && (answer.ok || (answer.look_again && !form.hasAttribute("data-editor")))) await open(answer.to);
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.hasAttribute("data-fetch") || !page()) return;
    event.preventDefault();
    send(form, event.submitter);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-open], a[data-queue]");
    if (!link || !page() || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    open(link.href);
  });
  // The admin's own script expects a text field beside every file field, and fails where there is none.
  document.addEventListener("change", (event) => { if (event.target.matches(".cx input[type=file]")) event.stopPropagation(); }, true);
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-submit-on-change]");
    if (form) {
      $$("select", form).forEach((one) => { one.disabled = !one.value; });
      form.submit();
    }
    if (event.target.dataset.all) $$(`input[name=${event.target.dataset.all}]`).forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches("input[name=case], [data-all]")) {
      const count = $$("input[name=case]:checked").length;
      const words = $("[data-bulk-count]");
      if (words) words.textContent = count ? `${count} selected` : "Select cases to release many at once.";
    }
  });
  // One panel at a time, and a click elsewhere closes it.
  document.addEventListener("click", (event) => $$("details.act[open]").forEach((one) => { if (!one.contains(event.target)) one.open = false; }));
  document.addEventListener("toggle", (event) => {
    const opened = event.target;
    if (!opened.open || !opened.closest?.(".actions")) return;
    if (opened.matches(".act")) $$("details.act[open]").forEach((one) => { if (one !== opened) one.open = false; });
    focusFirst(opened);
  }, true);
  const focusFirst = (opened) => {
    const first = $("[autofocus]", opened) || $("form input:not([type=hidden]), form textarea, form select, form button, .menu summary", opened);
    first?.focus();
  };
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("[data-tab]");
    if (!tab) return;
    const message = tab.closest("[data-message]");
    $$("[data-tab]", message).forEach((one) => one.setAttribute("aria-selected", String(one === tab)));
    $$("[data-show=html], pre[data-show=text]", message).forEach((one) => { one.hidden = one.dataset.show !== tab.dataset.tab; });
  });

  // What a text in another language says: asked for once, then shown or hidden by the same button.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.hasAttribute("data-gloss") || !page()) return;
    event.preventDefault();
    const place = $("[data-gloss-text]", form.closest("[data-message]")), button = $("button", form);
    if (!place.childElementCount) {
      button.disabled = true;
      let answer;
      try { answer = await post(form.action, new FormData(form)); }
      catch { answer = { ok: false, said: "The server cannot be reached. Try again in a moment." }; }
      button.disabled = false;
      if (!answer.ok) { toast(answer.said, { bad: true }); return; }
      if (answer.subject) place.append(part("p", "gloss-subject", answer.subject));
      place.append(part("p", "gloss-body", answer.text), ...[answer.by, ...answer.notes].map((said) => part("p", "small quiet", said)));
      place.hidden = true;
      button.focus();
    }
    place.hidden = !place.hidden;
    button.setAttribute("aria-expanded", String(!place.hidden));
  });

  // -- who else is here ---------------------------------------------------------------------------------------------------------------
  let beat = 0;
  const stayHere = () => {
    clearInterval(beat);
    const { beat: seconds, hereUrl } = page()?.dataset || {};
    if (!hereUrl) return;
    beat = setInterval(async () => {
      if (document.hidden || page()?.dataset.hereUrl !== hereUrl) return;
      try {
        const { others } = await post(hereUrl, new FormData());
        const words = $("[data-here]");
        if (words && others) words.textContent = others.length ? `● ${others.join(", ")} ${others.length > 1 ? "have" : "has"} this open too` : "";
      } catch { /* the next beat tries again */ }
    }, Number(seconds) * 1000);
  };

  // -- the queue's rows -------------------------------------------------------------------------------------------------------------
  const rows = () => $$("[data-row]");
  let place = -1;
  const moveTo = (index) => {
    const all = rows();
    if (!all.length) return;
    place = Math.max(0, Math.min(all.length - 1, index));
    all.forEach((row, number) => row.classList.toggle("is-here", number === place));
    $("a[data-open]", all[place]).focus();
    all[place].scrollIntoView({ block: "nearest" });
  };

  // -- keys -------------------------------------------------------------------------------------------------------------------------
  const press = (key) => {
    const found = $(`[data-hotkey="${key}"]`);
    if (!found) return false;
    if (found.tagName === "SUMMARY") {
      found.parentElement.open = !found.parentElement.open;
      // At once, not at the toggle event: fast fingers type on.
      if (found.parentElement.open) focusFirst(found.parentElement);
    }
    else found.click();
    return true;
  };
  const keys = {
    j: () => (page()?.dataset.page === "case" ? $("[data-nav=next]")?.click() : moveTo(place + 1)),
    k: () => (page()?.dataset.page === "case" ? $("[data-nav=prev]")?.click() : moveTo(place - 1)),
    o: () => $("a[data-open]", rows()[place] || document.createElement("p"))?.click(),
    x: () => { const box = $("input[name=case]", rows()[place] || document.createElement("p")); if (box) box.click(); },
    e: () => $("[data-edit]:not([hidden])")?.click(),
    q: () => $("[data-queue]")?.click(),
    u: takeBack,
    "/": () => ($("#search") || { focus: () => location.assign("/console/queue/") }).focus(),
    "?": () => help(),
  };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); palette(); return; }
    if (event.key === "Escape") {
      const panel = $("details.act[open]");
      if (panel) { panel.open = false; $("summary", panel).focus(); return; }
      if (isTyping(event.target) && !event.target.closest("dialog, [data-editor]")) { event.target.blur(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || $("dialog[open]")) return;
    if (!page()) { if (event.key === "?") help(); return; }
    const order = keys[event.key];
    if (order) { event.preventDefault(); order(); return; }
    if (page().dataset.page === "case" && press(event.key)) event.preventDefault();
  });

  // -- commands ---------------------------------------------------------------------------------------------------------------------
  const dialog = (className, label) => {
    const box = Object.assign(document.createElement("dialog"), { className });
    box.setAttribute("aria-label", label);
    box.addEventListener("close", () => box.remove());
    box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
    document.body.append(box);
    return box;
  };
  const commands = () => {
    const found = [];
    $$(".actions [data-hotkey]").forEach((one) => found.push({ title: one.firstChild.textContent.trim(), key: one.dataset.hotkey, run: () => press(one.dataset.hotkey) }));
    $$("[data-command]").forEach((one) => found.push({ title: one.textContent.trim(), run: () => { one.closest(".act").open = true; one.parentElement.open = true; } }));
    if ($("[data-edit]:not([hidden])")) found.push({ title: "Edit the text", key: "e", run: keys.e });
    if ($("[data-hotkey=t]")) found.push({ title: "Take the case", key: "t", run: () => press("t") });
    if ($("[data-gloss]")) found.push({ title: "What it says, in English", key: "g", run: () => press("g") });
    $$("#nav-sidebar a[href], .views a").forEach((one) => found.push({ title: `Go to ${one.textContent.replace(/\s+/g, " ").replace(/^ *[a-z_]+ (?=[A-Z])/, "").trim()}`, run: () => location.assign(one.href) }));
    found.push({ title: "Undo the last approval", key: "u", run: takeBack }, { title: "All keys", key: "?", run: help });
    return found;
  };
  const palette = () => {
    if ($("dialog[open]")) return;
    const box = dialog("palette", "Commands"), all = commands();
    const input = Object.assign(document.createElement("input"), { type: "text", placeholder: "A command, a customer id or an invoice number", autocomplete: "off" });
    input.setAttribute("role", "combobox"); input.setAttribute("aria-expanded", "true"); input.setAttribute("aria-controls", "palette-list"); input.setAttribute("aria-label", "Command, customer id or invoice number");
    const list = Object.assign(document.createElement("ul"), { id: "palette-list" });
    list.setAttribute("role", "listbox"); list.setAttribute("aria-label", "Commands");
    box.append(input, list);
    let shown = [], chosen = 0;
    const draw = () => {
      const wanted = input.value.trim().toLowerCase();
      shown = all.filter((one) => wanted.split(/\s+/).every((part) => one.title.toLowerCase().includes(part))).slice(0, 12);
      if (wanted.length > 2) shown.push({ title: `Search cases for “${input.value.trim()}”`, run: () => location.assign(`/console/queue/?q=${encodeURIComponent(input.value.trim())}`) });
      chosen = Math.min(chosen, Math.max(0, shown.length - 1));
      list.replaceChildren(...shown.map((one, index) => {
        const item = Object.assign(document.createElement("li"), { id: `palette-${index}` });
        item.setAttribute("role", "option"); item.setAttribute("aria-selected", String(index === chosen));
        item.append(Object.assign(document.createElement("span"), { textContent: one.title }));
        if (one.key) item.append(Object.assign(document.createElement("kbd"), { textContent: one.key }));
        item.addEventListener("click", () => { box.close(); one.run(); });
        return item;
      }));
      input.setAttribute("aria-activedescendant", shown.length ? `palette-${chosen}` : "");
      $(`#palette-${chosen}`)?.scrollIntoView({ block: "nearest" });
    };
    input.addEventListener("input", () => { chosen = 0; draw(); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); chosen = (chosen + (event.key === "ArrowDown" ? 1 : shown.length - 1)) % Math.max(1, shown.length); draw(); }
      if (event.key === "Enter") { event.preventDefault(); const one = shown[chosen]; box.close(); one?.run(); }
    });
    draw();
    box.showModal();
    input.focus();
  };
  const help = () => {
    if ($("dialog[open]")) return;
    const box = dialog("palette keys", "Keys");
    const list = [["j / k", "next, previous"], ["Enter", "open the case"], ["a", "approve and next"], ["A", "approve, stay here"], ["e", "edit the text"], ["g", "what it says, in English"], ["r", "reject"], ["s", "snooze"], ["p", "promise to pay"], ["c", "call: plan or log it"], ["n", "note"], ["t", "take the case"], ["m", "more"], ["u", "undo"], ["q", "back to the queue"], ["x", "select for a bulk release"], ["/", "search"], ["Ctrl K", "commands"], ["Esc", "close"], ["?", "these keys"]];
    box.append(Object.assign(document.createElement("h2"), { textContent: "Keys" }));
    const words = document.createElement("dl");
    list.forEach(([key, text]) => {
      const term = document.createElement("dt");
      term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      words.append(term, Object.assign(document.createElement("dd"), { textContent: text }));
    });
    box.append(words);
    box.tabIndex = -1;
    box.showModal();
    box.focus();
  };

  // Progress shows by itself. Only the inside is fetched anew: a reload would undo a button that was pressed at the same moment.
  let again = 0, isLeaving = false;
  window.addEventListener("submit", (event) => { if (!event.defaultPrevented) isLeaving = true; });
  window.addEventListener("pageshow", () => { isLeaving = false; });
  const refreshLater = () => {
    clearTimeout(again);
    const { refresh } = page()?.dataset || {};
    if (!refresh) return;
    const here = location.href;
    again = setTimeout(async () => {
      if (isLeaving || location.href !== here) return;
      try {
        const answer = await fetch(here, { headers: { "X-Console-Fragment": "1" }, credentials: "same-origin" });
        if (answer.ok && !isLeaving && location.href === here) swap(await answer.text(), here, { push: false, stay: true });
      } catch { refreshLater(); }
    }, Number(refresh) * 1000);
  };

  const ready = () => {
    place = -1;
    stayHere();
    refreshLater();
    countDown();
    document.dispatchEvent(new CustomEvent("console:ready"));
  };
  document.addEventListener("DOMContentLoaded", ready);
  window.billingConsole = { post, toast, send };
})();
