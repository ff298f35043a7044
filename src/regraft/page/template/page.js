"use strict";
// Sorting, filtering and choosing a job. What was chosen stands in the page's address, so that it
// can be shared: #q=digits&strategy=finetune&sort=test/acc&order=descending&job=3
(() => {
  const root = document.documentElement;
  const jobs = new Map([...document.querySelectorAll(".job")].map((one) => [one.dataset.job, one]));
  root.classList.add("js");
  const show = (number) => {
    for (const [key, one] of jobs) one.classList.toggle("chosen", key === number);
  };
  const listing = document.getElementById("listing");
  if (!listing) {
    show(jobs.keys().next().value);
    return;
  }

  const filter = document.querySelector("#jobs form");
  const choice = document.querySelector("#details form");
  const body = listing.tBodies[0];
  const heads = [...listing.tHead.rows[0].cells];
  const keys = heads.map((head) => head.dataset.key);
  const rows = [...body.rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const fields = [...filter.elements].filter((field) => field.name);
  const state = { sort: "", order: "", job: "" };

  heads.forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(head));
    head.append(button);
  });

  function sortBy(head) {
    const key = head.dataset.key;
    const first = head.classList.contains("n") && key !== "job" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    state.order = state.sort === key && state.order === first ? other : first;
    state.sort = key;
    keep();
  }

  // What a row is sorted by: a number where there is one, else its text; nothing comes last.
  function valueOf(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.textContent;
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  }

  function compare(a, b) {
    if (a === "" || b === "") return 0;
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function sorted() {
    const column = keys.indexOf(state.sort);
    if (column < 0) return rows;
    const sign = state.order === "descending" ? -1 : 1;
    return rows
      .map((row, index) => ({ row, index, value: valueOf(row, column) }))
      .sort((a, b) => (a.value === "") - (b.value === "") || sign * compare(a.value, b.value) || a.index - b.index)
      .map((one) => one.row);
  }

  function apply() {
    const words = filter.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = fields.filter((field) => field.name !== "q" && field.value !== "");
    let left = 0;
    rows.forEach((row, index) => {
      const fits = words.every((word) => texts[index].includes(word))
        && wanted.every((field) => row.cells[keys.indexOf(field.name)].textContent === field.value);
      row.hidden = !fits;
      left += fits;
    });
    body.append(...sorted());
    heads.forEach((head) => {
      if (head.dataset.key === state.sort) head.setAttribute("aria-sort", state.order);
      else head.removeAttribute("aria-sort");
    });
    filter.querySelector("output").textContent = `${left} of ${rows.length} jobs`;
    rows.forEach((row) => row.classList.toggle("chosen", row.dataset.job === state.job));
    choice.elements.job.value = state.job;
    show(state.job);
  }

  function keep() {
    const said = new URLSearchParams();
    for (const field of fields) if (field.value) said.set(field.name, field.value);
    if (state.sort) { said.set("sort", state.sort); said.set("order", state.order); }
    if (state.job !== document.body.dataset.first) said.set("job", state.job);
    history.replaceState(null, "", `#${said}`);
    apply();
  }

  // What the address says; a link to a part of the page, such as #reading, chooses nothing.
  function follow() {
    const hash = location.hash.slice(1);
    const link = /^job-(\d+)$/.exec(hash);
    if (link) {
      if (jobs.has(link[1])) state.job = link[1];
    } else if (hash.includes("=") || !state.job) {
      const said = new URLSearchParams(hash.includes("=") ? hash : "");
      filter.reset();
      for (const field of fields) if (said.has(field.name)) field.value = said.get(field.name);
      for (const field of fields) if (field.selectedIndex === -1) field.value = "";
      state.sort = keys.includes(said.get("sort")) ? said.get("sort") : "";
      state.order = said.get("order") === "descending" ? "descending" : "ascending";
      state.job = jobs.has(said.get("job")) ? said.get("job") : document.body.dataset.first;
    }
    if (!jobs.has(state.job)) state.job = jobs.keys().next().value;
    apply();
    if (link && jobs.has(link[1])) jobs.get(link[1]).scrollIntoView();
  }

  function choose(number) {
    state.job = number;
    keep();
  }

  // Of the rows that are left, in their order.
  function step(by) {
    const left = [...body.rows].filter((row) => !row.hidden).map((row) => row.dataset.job);
    if (!left.length) return;
    const at = left.indexOf(state.job);
    choose(left[at < 0 ? 0 : (at + by + left.length) % left.length]);
  }

  filter.addEventListener("input", keep);
  filter.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("reset", () => setTimeout(keep));
  choice.elements.job.addEventListener("change", () => choose(choice.elements.job.value));
  choice.elements.previous.addEventListener("click", () => step(-1));
  choice.elements.next.addEventListener("click", () => step(1));
  window.addEventListener("hashchange", follow);
  follow();
})();
