/* The page is whole without it: sorting, one table at a time, and a cell's record beside its number. */
document.documentElement.classList.add("js");

const opened = (element) => {
  for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
};

const reveal = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (!target) return;
  opened(target);
  target.scrollIntoView();
};

const mark = () => {
  for (const link of document.querySelectorAll("#tables a")) {
    const of = document.getElementById(link.hash.slice(1));
    link.toggleAttribute("aria-current", of.open);
  }
};

for (const table of document.querySelectorAll("details.table")) {
  table.addEventListener("toggle", mark);
  table.querySelector("summary").addEventListener("click", (event) => event.preventDefault());
}
addEventListener("hashchange", reveal);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) reveal();
});

/* A cell's record, as its link would lead to. */
const dialog = document.createElement("dialog");
dialog.setAttribute("aria-label", "A cell");
document.body.append(dialog);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.of");
  if (event.target === dialog) dialog.close();
  if (!link) return;
  event.preventDefault();
  const record = document.getElementById(link.hash.slice(1)).cloneNode(true);
  const heading = document.createElement("h3");
  heading.textContent = record.querySelector("summary").textContent;
  const form = document.createElement("form");
  form.method = "dialog";
  form.innerHTML = "<button>close</button>";
  record.querySelector("summary").remove();
  dialog.replaceChildren(form, heading, ...record.childNodes);
  dialog.showModal();
});

/* Sorted, the rows of all groups stand below each other with their group's heading; a third click
   brings back the order of the file. */
const number = (row, column) => {
  const cell = row.cells[column];
  if (!cell) return null;
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
};

const sort = (table, column, sign) => {
  const rows = [...table.querySelectorAll("tbody:not(.sorted) > tr:not(.group)")];
  const compare = (a, b) => {
    const [one, other] = [number(a, column), number(b, column)];
    if (one !== null && other !== null) return sign * (one - other);
    if (one !== null || other !== null) return one === null ? 1 : -1;
    const text = (row) => row.cells[column]?.textContent.trim() ?? "";
    return sign * text(a).localeCompare(text(b), undefined, { numeric: true });
  };
  const body = document.createElement("tbody");
  body.className = "sorted";
  for (const row of rows.sort(compare)) {
    const copy = row.cloneNode(true);
    const group = row.parentElement.querySelector("tr.group th > span");
    copy.classList.toggle("unrun", row.classList.contains("unrun"));
    if (group) {
      const small = document.createElement("small");
      small.textContent = group.firstChild.textContent.trim() || group.textContent.trim();
      copy.cells[0].prepend(small);
    }
    body.append(copy);
  }
  return body;
};

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const next = { descending: "ascending", ascending: null }[was] ?? (was ? null : "descending");
      for (const other of heads) other.removeAttribute("aria-sort");
      table.querySelector("tbody.sorted")?.remove();
      table.classList.toggle("resorted", next !== null);
      if (next === null) return;
      head.setAttribute("aria-sort", next);
      table.append(sort(table, column, next === "descending" ? -1 : 1));
    });
  });
}

reveal();
mark();
