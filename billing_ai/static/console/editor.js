// The text of a message, edited in place: facts are chips that can be moved or taken out whole, never broken.
(() => {
  "use strict";
  const $ = (what, from = document) => from.querySelector(what);
  const $$ = (what, from = document) => [...from.querySelectorAll(what)];

  // What the surface says as a template: chips by what they stand for, blocks and breaks as line ends.
  const template = (surface) => {
    let out = "";
    const walk = (node) => {
      if (node.nodeType === Node.TEXT_NODE) { out += node.data; return; }
      if (node.nodeType !== Node.ELEMENT_NODE) return;
      if (node.dataset.raw !== undefined) { out += node.dataset.raw; return; }
      if (node.tagName === "BR") { out += "\n"; return; }
      if (/^(DIV|P)$/.test(node.tagName) && out && !out.endsWith("\n")) out += "\n";
      node.childNodes.forEach(walk);
    };
    surface.childNodes.forEach(walk);
    return out.replaceAll("\u00a0", " ").replace(/\n+$/, "");
  };

  const chip = (raw, shown, title) => {
    const made = Object.assign(document.createElement("span"), { className: "chip", textContent: shown, title });
    made.contentEditable = "false";
    made.dataset.raw = raw;
    return made;
  };

  const insert = (node) => {
    const selection = getSelection();
    if (!selection.rangeCount) return;
    const range = selection.getRangeAt(0);
    range.deleteContents();
    range.insertNode(node);
    range.setStartAfter(node);
    range.collapse(true);
    selection.removeAllRanges();
    selection.addRange(range);
  };

  const setUp = (form) => {
    const message = form.closest("[data-message]"), view = $("[data-view]", message), button = $("[data-edit]", message);
    const surfaces = $$("[data-part]", form), findings = $("[data-findings]", form);
    const original = surfaces.map((one) => one.innerHTML);
    let timer = 0, asked = 0, last = surfaces[surfaces.length - 1];
    button.hidden = false;

    const take = () => surfaces.forEach((one) => { const field = form.elements[one.dataset.part]; field.value = one.dataset.part === "subject" ? template(one).replaceAll("\n", " ") : template(one); });
    const show = (answer) => {
      findings.replaceChildren(...(answer.findings || []).map((one) => {
        const item = document.createElement("li"), icon = Object.assign(document.createElement("span"), { className: `material-symbols-outlined f-${one.severity}`, textContent: one.severity === "block" ? "block" : one.severity === "person" ? "visibility" : "info" });
        icon.setAttribute("aria-hidden", "true");
        const words = document.createElement("span");
        words.append(Object.assign(document.createElement("strong"), { textContent: one.title }), one.found ? `: “${one.found}” ` : " ", Object.assign(document.createElement("span"), { className: "quiet", textContent: one.expected ? `(${one.expected})` : "" }));
        item.append(icon, words);
        return item;
      }));
      if (!answer.ok) findings.append(Object.assign(document.createElement("li"), { textContent: answer.said }));
      if (answer.ok && !answer.findings.length) findings.append(Object.assign(document.createElement("li"), { className: "quiet", textContent: "Nothing stands against this text." }));
      if (answer.sms) findings.append(Object.assign(document.createElement("li"), { className: "quiet", textContent: `${answer.sms.segments} segment(s), ${answer.sms.units} characters, ${answer.sms.encoding}` }));
      mark(answer.findings || []);
    };
    // The places that may not be sent are underlined where they stand in the words themselves.
    const mark = (list) => {
      if (!window.Highlight || !CSS.highlights) return;
      const ranges = [];
      list.filter((one) => one.found && one.severity !== "note").forEach((one) => surfaces.forEach((surface) => {
        const walker = document.createTreeWalker(surface, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
          const node = walker.currentNode, at = node.data.indexOf(one.found);
          if (at < 0 || node.parentElement.closest("[data-raw]")) continue;
          const range = new Range(); range.setStart(node, at); range.setEnd(node, at + one.found.length); ranges.push(range);
        }
      }));
      CSS.highlights.set("not-to-be-sent", new Highlight(...ranges));
    };
    const check = async () => {
      take();
      const mine = ++asked, body = new FormData();
      body.set("subject", form.elements.subject.value);
      body.set("body", form.elements.body.value);
      try {
        const answer = await window.billingConsole.post(form.dataset.check, body);
        if (mine === asked) show(answer);
      } catch { findings.textContent = "The check could not be made; the server will check when you keep the text."; }
    };

    button.addEventListener("click", () => {
      form.hidden = false; view.hidden = true; button.hidden = true;
      surfaces[surfaces.length - 1].focus();
      check();
    });
    const cancel = () => {
      surfaces.forEach((one, index) => { one.innerHTML = original[index]; });
      form.hidden = true; view.hidden = false; button.hidden = false; button.focus();
      CSS.highlights?.delete("not-to-be-sent");
    };
    $("[data-cancel]", form).addEventListener("click", cancel);
    surfaces.forEach((surface) => {
      surface.addEventListener("focus", () => { last = surface; });
      surface.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(check, 600); });
      surface.addEventListener("paste", (event) => { event.preventDefault(); document.execCommand("insertText", false, event.clipboardData.getData("text/plain")); });
      surface.addEventListener("drop", (event) => event.preventDefault());
      surface.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); cancel(); }
        else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); }
        else if (event.key === "Enter") { event.preventDefault(); if (surface.dataset.part === "body") document.execCommand("insertText", false, "\n"); }
        else if ((event.ctrlKey || event.metaKey) && ["b", "i", "u"].includes(event.key.toLowerCase())) event.preventDefault();
      });
    });
    $$("[data-insert]", form).forEach((one) => one.addEventListener("mousedown", (event) => event.preventDefault()));
    $$("[data-insert]", form).forEach((one) => one.addEventListener("click", () => {
      if (!last.contains(getSelection().anchorNode)) { last.focus(); getSelection().selectAllChildren(last); getSelection().collapseToEnd(); }
      insert(chip(one.dataset.insert, one.dataset.shown, one.textContent));
      check();
    }));
    form.addEventListener("submit", take, true);
  };
  document.addEventListener("console:ready", () => $$("form[data-editor]").forEach(setUp));
})();
